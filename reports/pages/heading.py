"""The head of a page: the question that it answers, the answer in a figure, the protocol."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from ...bench.store.run import StoredRun
from ..tables.columns import primary_column
from ..tables.run import codec_names, ranking, value_of, whole_values
from ..tables.statistics import finite_mean
from ..tables.timings import CPU, devices_of, timed_cells
from . import speed
from .findings import Gap
from .made import moment, scored_as


@dataclass(frozen=True)
class Leading:
    """The one place that a reader should see first, and its figure."""

    figure: str
    image_id: str
    region: str
    codec: str
    words: str


def leading(run: StoredRun, deepest: Gap | None) -> Leading | None:
    """Return the region that loses most; without regions the worst picture; None without values."""
    if deepest:
        column = deepest.column
        words = (
            f"{column.quantity(deepest.value)} there, "
            f"{column.quantity(deepest.whole)} over the whole picture."
        )
        figure = column.headline(deepest.gap)
        return Leading(figure, deepest.image_id, deepest.region, deepest.codec, words)
    column = primary_column(run)
    if column is None:
        return None
    values = whole_values(run, column.variant)
    worst = [
        (value_of(of_codec, ranked[0]), codec, ranked[0])
        for codec, of_codec in values.items()
        if (ranked := ranking(of_codec, column))
    ]
    value, codec, image_id = (min if column.higher_is_better else max)(worst)
    mean = finite_mean(values[codec].to_numpy())
    whole = "" if math.isnan(mean) else f" {column.quantity(mean)} is its mean over all pictures."
    words = f"the worst {column.label} of all pictures and codecs.{whole}"
    return Leading(column.quantity(value), image_id, "", codec, words)


def question(run: StoredRun, scored: bool) -> dict[str, Any]:
    """Return the question that the page answers: words before and after the codecs' names."""
    cells = timed_cells(run)
    names = codec_names(run) or list(dict.fromkeys(cell.codec for cell in cells))
    one = len(names) == 1
    if not scored:
        devices = ["a CPU" if device == CPU else device for device in devices_of(cells)]
        where = f" on {' and '.join(devices)}" if devices else ""
        verb = "is" if one else "are"
        return {"before": f"How fast {verb}", "names": names, "after": f"{where}?"}
    count = len(run.images)
    pictures = f" do to {count} picture{'' if count == 1 else 's'}"
    speed_too = f", and how fast {'is it' if one else 'are they'}?" if cells else "?"
    joint = ", where" if cells else ", and where"
    verb = "does" if one else "do"
    return {"before": f"What {verb}", "names": names, "after": f"{pictures}{joint}{speed_too}"}


def protocol(run: StoredRun, scored: bool) -> list[tuple[str, str]]:
    """Return what decides the numbers, as (what, how) pairs for one line."""
    made = moment(run.record.created.isoformat(timespec="seconds"))
    return [*(_quality_protocol(run) if scored else []), *speed.protocol(run), ("made", made)]


def _quality_protocol(run: StoredRun) -> list[tuple[str, str]]:
    suite, images = run.record.suite, run.record.images
    sets = ", ".join(dict.fromkeys(image.image_set for image in images))
    hashes = "".join(image.sha256 for image in images)
    return [
        ("pictures", f"{len(images)} from {sets}" if sets else str(len(images))),
        *scored_as(suite.size, suite.fit, suite.rounding, suite.background),
        ("set hash", hashlib.sha256(hashes.encode()).hexdigest()[:12]),
    ]
