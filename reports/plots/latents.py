"""The channels of the latents of one picture, in grey."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ...bench.errors import RunFolderError
from ...bench.store.kept import read_kept_latents
from ...bench.store.run import StoredRun
from ..pictures.selection import latents_picture
from ..tables.run import codec_names
from .grid import Cell, Row, draw_rows
from .style import NothingToShowError, Plot, own_stem, styled

CHANNELS_A_ROW = 8


@styled
def latents(run: StoredRun) -> list[Plot]:
    """Draw a figure a codec that has latents: every channel, stretched to its own range."""
    image_id = latents_picture(run)
    if image_id is None:
        autoencoders = any(codec.latent_channels for codec in run.record.codecs)
        raise NothingToShowError(
            "no latents were kept; run with --keep all"
            if autoencoders
            else "no codec of the run has latents"
        )
    plots: list[Plot] = []
    for name in codec_names(run):
        path = run.latents_path(name, image_id)
        if path is not None:
            plots.append(_draw(name, image_id, _read(path), own_stem("latents", name, plots)))
    return plots


def _read(path: Path) -> np.ndarray:
    try:
        return read_kept_latents(path).astype(np.float32)
    except RunFolderError as error:
        raise NothingToShowError(str(error)) from error


def _draw(name: str, image_id: str, channels: np.ndarray, stem: str) -> Plot:
    count, height, width = channels.shape
    columns = min(CHANNELS_A_ROW, count if count <= CHANNELS_A_ROW else _columns(count))
    cells = [_cell(place, channel) for place, channel in enumerate(channels)]
    rows = [
        Row([*cells[start : start + columns], *[None] * (columns - len(cells[start:]))])
        for start in range(0, count, columns)
    ]
    title = f"{name}: {count} × {height} × {width} latents of {image_id}"
    rows[0] = Row(rows[0].cells, title)
    caption = (
        f"Latents of {image_id} under {name}: {count} channels of {width} × {height}, raw (not "
        "multiplied by the scaling factor). Each channel is stretched from its least value (black) "
        "to its greatest (white), which are written below it."
    )
    return Plot(stem, caption, draw_rows(rows), has_pictures=True)


def _columns(count: int) -> int:
    """Return how many channels stand in a row: as even as can be, so that no row is short."""
    return math.ceil(count / math.ceil(count / CHANNELS_A_ROW))


def _cell(place: int, channel: np.ndarray) -> Cell:
    finite = channel[np.isfinite(channel)]
    if not finite.size:
        return Cell(np.zeros(channel.shape), f"{place}", "no finite value", value_range=(0, 1))
    low, high = float(finite.min()), float(finite.max())
    lost = channel.size - finite.size
    note = f"{low:.3g} … {high:.3g}".replace("-", "−")
    note += f"\n{lost} not finite" if lost else ""
    pixels = np.where(np.isfinite(channel), channel, low)
    top = high if high > low else low + 1
    return Cell(pixels, f"{place}", note, value_range=(low, top), colours="gray", nearest=True)
