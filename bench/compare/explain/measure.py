"""Every reading of every kept pair of a run, each picture read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import RunFolderError
from ...records import WHOLE, ImageRef, Progress
from ...store.kept import read_kept
from .readings import Instruments, Pair, Reading
from .variants import Stored, Values, Variant

if TYPE_CHECKING:
    from ...store.run import StoredRun

Key = tuple[str, Reading | Stored]
"""A codec and a reading."""


@dataclass
class Measured:
    """What every codec's readings gave: (value, pixels) of each picture, or why there are none."""

    values: dict[Key, list[tuple[float, int]]] = field(
        default_factory=dict[Key, list[tuple[float, int]]]
    )
    reasons: dict[Key, str] = field(default_factory=dict[Key, str])

    def columns(self, key: Key) -> tuple[Values, Values]:
        """Return the values [N] of a reading and the pixels [N] that each stands for."""
        table: Values = np.asarray(self.values[key], dtype=np.float64)
        return table[:, 0], table[:, 1]


def measure(
    run: StoredRun,
    codecs: Sequence[str],
    variants: Sequence[Variant],
    instruments: Instruments,
    progress: Progress,
) -> Measured:
    """Compute every reading of every kept pair; each picture is read once.

    Raises: RunFolderError for a picture that cannot be read.
    """
    measured = Measured()
    # A dict keeps the order of the variants, in which neighbours share their work.
    readings = dict.fromkeys(variant.reading for variant in variants)
    stored = [reading for reading in readings if isinstance(reading, Stored)]
    computed = [reading for reading in readings if not isinstance(reading, Stored)]
    with_pictures: list[str] = []
    for name in codecs:
        for reading in stored:
            _take_stored(measured, run, name, reading)
        reason = _unkept(run, name)
        if reason is None:
            with_pictures.append(name)
        else:
            measured.reasons |= {(name, reading): reason for reading in computed}
    images = run.record.images
    for done, image in enumerate(images):
        progress("explaining", done, len(images))
        reference = _read(run.reference_path(image.image_id), image)
        for name in with_pictures:
            kept = run.reconstruction_path(name, image.image_id)
            reconstruction = _read(kept, image)
            if reference is not None and reconstruction is not None:
                pair = Pair(reference, reconstruction, instruments)
                for reading in computed:
                    _take(measured, name, reading, pair)
    progress("explaining", len(images), len(images))
    return measured


def _take(measured: Measured, codec: str, reading: Reading, pair: Pair) -> None:
    from ....metrics import MetricError

    key = (codec, reading)
    if key in measured.reasons:
        return
    try:
        value = reading.of(pair)
    except MetricError as error:
        measured.reasons[key] = str(error)
        return
    height_px, width_px = pair.reference.shape[:2]
    pixels = (height_px - 2 * reading.shave_px) * (width_px - 2 * reading.shave_px)
    measured.values.setdefault(key, []).append((value, pixels))


def _take_stored(measured: Measured, run: StoredRun, codec: str, reading: Stored) -> None:
    scores = run.scores
    rows = scores[
        (scores["codec"] == codec)
        & (scores["region"] == WHOLE)
        & (scores["variant"] == reading.fingerprint)
        & scores["value"].notna()
    ]
    pixels = {image.image_id: image.width_px * image.height_px for image in run.record.images}
    values = [
        (10 ** (-value / 10) if reading.is_psnr else value, pixels[image_id])
        for image_id, value in zip(rows["image_id"], rows["value"], strict=True)
    ]
    if values:
        measured.values[codec, reading] = values
    else:
        measured.reasons[codec, reading] = (
            f"the run's pictures are rounded to 8 bits and it has no score {reading.fingerprint}; "
            "make it again with --float and this metric"
        )


def _unkept(run: StoredRun, codec: str) -> str | None:
    """Return why a codec's pictures are no ground for a figure, or None where they are.

    A picture that is missing from a run that kept all of them is one that the codec failed on.
    """
    ids = [image.image_id for image in run.record.images]
    kept = sum(run.reconstruction_path(codec, image_id) is not None for image_id in ids)
    keep = run.record.suite.keep
    if kept and (keep == "all" or kept == len(ids)):
        return None
    return (
        f"{kept} of {len(ids)} pictures were kept (--keep {keep}); "
        "make the run again with --keep all"
    )


def _read(path: Path | None, image: ImageRef) -> NDArray[np.uint8] | None:
    """Return a kept picture as uint8 [H, W, 3]. Raises: RunFolderError, for one of another size."""
    if path is None:
        return None
    pixels = np.asarray(read_kept(path).convert("RGB"))
    height_px, width_px = pixels.shape[:2]
    if (width_px, height_px) != (image.width_px, image.height_px):
        raise RunFolderError(
            f"Cannot use {path}: it has {width_px}x{height_px} px, and its picture was scored at "
            f"{image.width_px}x{image.height_px}. Make the run again."
        )
    return pixels
