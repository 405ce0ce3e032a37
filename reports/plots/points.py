"""The points of a plot that lead to a picture: where they lie, and where they lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..pictures.addresses import REPORT, view_address
from ..tables.columns import Column
from ..tables.run import ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINKS = 25
"""Pictures of a codec that points lead to, worst first: in a cloud nobody hits the one he means."""


@dataclass(frozen=True)
class PlotPoints:
    """Points over a plot, compact: `places` holds (left, top, number of the address) of each.

    `left` and `top` are per cent of the plot's width and height; addresses begin with `#`.
    """

    addresses: tuple[str, ...]
    places: tuple[tuple[float, float, int], ...]


def picture_links(values: pd.Series, codec: str, column: Column) -> list[str | None]:
    """Return for each picture of `values` (by image_id) where its point leads from `plots/`."""
    linked = set(ranking(values, column)[:MOST_LINKS])
    return [
        REPORT + view_address(image_id, codec) if image_id in linked else None
        for image_id in map(str, values.index)
    ]


def points_of(figure: Figure) -> PlotPoints | None:
    """Return the points of a finished figure whose `set_urls` named a view; None without any.

    An SVG in an `<img>` follows no link, so the page lays its own over the plot.
    """
    numbers: dict[str, int] = {}
    places: list[tuple[float, float, int]] = []
    for axis in figure.axes:
        for collection in axis.collections:
            urls: Any = collection.get_urls()
            corners: Any = axis.transData.transform(collection.get_offsets())
            parts: Any = figure.transFigure.inverted().transform(corners)
            for url, (left, bottom) in zip(urls, parts, strict=False):
                if url:
                    address = "#" + str(url).partition("#")[2]
                    number = numbers.setdefault(address, len(numbers))
                    places.append((_per_cent(left), _per_cent(1 - bottom), number))
    return PlotPoints(tuple(numbers), tuple(places)) if places else None


def _per_cent(part: float) -> float:
    return round(100 * float(part), 2)
