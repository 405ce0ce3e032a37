"""The equal-bytes gallery of rd.html: an autoencoder's picture beside files of the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...bench.rate.store import GALLERY, StoredRd
from ...bench.store.record import region_from_json
from ..tables.columns import Column
from ..tables.rate import metric_columns
from .selection import crop_around

MOST_REGIONS = 2
"""Regions of a picture that are shown; the file beside the page holds all of it."""

OPEN_PICTURES = 2
"""Pictures of each autoencoder that are shown before the rest is unfolded."""


@dataclass(frozen=True)
class Window:
    """A part of a picture enlarged to a cell: the image's own place in it, in per cent."""

    name: str
    ratio: str
    width: float
    left: float
    top: float


@dataclass(frozen=True)
class Side:
    """One codec's picture; `bytes_text` says how its bytes stand to the autoencoder's.

    `scores` are of the whole picture; `window_scores` of each window, in their order. `note` says
    why the bytes are not equal.
    """

    name: str
    setting: str
    bytes_text: str
    picture: str
    scores: tuple[tuple[str, str], ...]
    window_scores: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class GalleryRow:
    """One picture under one autoencoder, with every classical codec at its bytes."""

    image_id: str
    size: str
    ratio: str
    windows: tuple[Window, ...]
    sides: tuple[Side, ...]


@dataclass(frozen=True)
class Gallery:
    """All pictures of one autoencoder; `folded` is shown on demand."""

    autoencoder: str
    setting: str
    shown: tuple[GalleryRow, ...]
    folded: tuple[GalleryRow, ...]


def galleries(found: StoredRd) -> list[Gallery]:
    """Return a gallery an autoencoder, pictures with eyes first."""
    stored = found.record["gallery"]
    autoencoders = list(dict.fromkeys(str(row["autoencoder"]) for row in stored["rows"]))
    return [_gallery(found, name) for name in autoencoders]


def _gallery(found: StoredRd, autoencoder: str) -> Gallery:
    stored = found.record["gallery"]
    own = [row for row in stored["rows"] if row["autoencoder"] == autoencoder]
    rows = [
        _row(found, picture, mine)
        for picture in stored["pictures"]
        if (mine := [row for row in own if row["image_id"] == picture["image_id"]])
    ]
    setting = next(str(row["setting"]) for row in own if row["codec"] == autoencoder)
    return Gallery(autoencoder, setting, tuple(rows[:OPEN_PICTURES]), tuple(rows[OPEN_PICTURES:]))


def _row(found: StoredRd, picture: dict[str, Any], rows: list[dict[str, Any]]) -> GalleryRow:
    image_id = str(picture["image_id"])
    image = next(entry for entry in found.record["images"] if entry["image_id"] == image_id)
    width, height = int(image["width_px"]), int(image["height_px"])
    windows = _windows(picture, width, height)
    columns = metric_columns(found)
    reference = Side("reference", "", "", f"{GALLERY}/{picture['reference']}", (), ())
    sides = [_side(row, columns, windows, width * height) for row in rows]
    return GalleryRow(
        image_id, f"{width} × {height} px", f"{width} / {height}", windows, (reference, *sides)
    )


def _windows(picture: dict[str, Any], width: int, height: int) -> tuple[Window, ...]:
    found: list[Window] = []
    for entry in picture["regions"][:MOST_REGIONS]:
        crop = crop_around(region_from_json(entry), width, height)
        x0, y0, _, _ = crop.box_px
        found.append(
            Window(
                f"{entry['name']}, {entry['kind']}",
                f"{crop.width_px} / {crop.height_px}",
                round(100 * width / crop.width_px, 4),
                round(-100 * x0 / crop.width_px, 4),
                round(-100 * y0 / crop.height_px, 4),
            )
        )
    return tuple(found)


def _side(
    row: dict[str, Any], columns: list[Column], windows: tuple[Window, ...], pixels: int
) -> Side:
    nbytes = int(row["nbytes"])
    text = f"{nbytes:,} bytes · {8 * nbytes / pixels:.3f} bit/px"
    if row["codec"] != row["autoencoder"] and not row["note"]:
        text += f" · {100 * float(row['deviation']):+.1f} %"
    scores = tuple(
        (column.label, column.number(float(value)))
        for column in columns
        if (value := row["values"].get(column.variant)) is not None
    )
    return Side(
        str(row["codec"]),
        str(row["setting"]),
        text,
        f"{GALLERY}/{row['picture']}",
        scores,
        tuple(_window_score(row, window, columns) for window in windows),
        str(row["note"]),
    )


def _window_score(row: dict[str, Any], window: Window, columns: list[Column]) -> str:
    """Return the first metric of a region, the one by which a reader compares the windows."""
    values = row["regions"].get(window.name.rpartition(", ")[0], {})
    for column in columns:
        value = values.get(column.variant)
        if value is not None:
            return f"{column.label} {column.quantity(float(value))}"
    return ""
