"""The loss ladder: one protocol taken apart into rungs, each alone and one after the other.

The base is the codec in float32, the posterior's mode, without tiling, its output clamped but not
rounded, on pictures of their own size. Each rung adds one thing that a protocol does to it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from ...codecs.tensors import default_device
from ...errors import ImageError, SuiteError, unknown_name
from ...images.find import find_images
from ...images.pixels import Fit
from ...records import CodecInfo, MetricColumn, Progress, silent
from ...suite import CodecSpec
from ..plan import open_metrics
from .climb import Climb
from .rungs import BASE, Protocol, Rung, rungs_of, switched, why_not

if TYPE_CHECKING:
    from ....metrics import Metric

LADDER_COLUMNS: Final = (
    "rung",
    "mode",
    "metric",
    "variant",
    "value",
    "difference",
    "n_images",
    "note",
)
BASE_NAME: Final = "base"
MODES: Final = ("alone", "cumulative")
_FITS: Final[dict[str, Fit]] = {"crop": "crop", "squash": "squash", "pad": "pad"}


@dataclass(frozen=True)
class LadderResult:
    """The ladder of one codec.

    `table` has a row a rung, mode and metric (LADDER_COLUMNS). `value` is the mean over
    `n_images` pictures, infinite as soon as one is identical; `difference` the mean of
    rung - base over them, in the metric's unit. Both are null where the rung is unavailable,
    and `note` says why.
    """

    codec: CodecInfo
    n_images: int
    size: int | None
    fit: str | None
    metrics: Mapping[str, MetricColumn]
    table: pd.DataFrame
    skipped: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values; an infinite mean (identical pictures) is null with its note."""
        rows = [
            {key: _jsonable(value) for key, value in row.items()}
            for row in self.table.to_dict("records")
        ]
        return {
            "codec": asdict(self.codec),
            "n_images": self.n_images,
            "size": self.size,
            "fit": self.fit,
            "metrics": {name: asdict(column) for name, column in self.metrics.items()},
            "skipped": [{"image_id": name, "reason": reason} for name, reason in self.skipped],
            "rungs": rows,
        }

    def title(self) -> str:
        """Return what the rows are of."""
        fitted = "" if self.size is None else f", resize to {self.size} px by {self.fit}"
        return (
            f"Loss ladder of {self.codec.name} over {_pictures(self.n_images)}{fitted}: "
            "differences to the base, each rung alone and all up to it"
        )

    def rows(self) -> list[list[str]]:
        """Return a header and a row a rung: the differences, of the base the values."""
        head = ["rung"]
        for metric, column in self.metrics.items():
            unit = f", {column.unit}" if column.unit else ""
            head += [f"{metric} {mode}{unit}" for mode in MODES]
        rows = {
            (row["rung"], row["mode"], row["metric"]): row for row in self.table.to_dict("records")
        }
        places = [(mode, metric) for metric in self.metrics for mode in MODES]
        return [
            head,
            *(
                [rung, *(_cell(rows[rung, mode, metric]) for mode, metric in places)]
                for rung in dict.fromkeys(self.table["rung"])
            ),
        ]

    def notes(self) -> Iterator[str]:
        """Yield what must be known of rungs, and the pictures that could not be used."""
        notes: dict[tuple[str, str], list[str]] = {}
        for row in self.table.to_dict("records"):
            if row["note"]:
                notes.setdefault((row["rung"], row["note"]), []).append(row["mode"])
        for (rung, note), modes in notes.items():
            only = f" ({modes[0]})" if len(set(modes)) == 1 else ""
            yield f"{rung}{only}: {note}"
        for image_id, reason in self.skipped:
            yield f"skipped {image_id}: {reason}"


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _cell(row: dict[str, Any]) -> str:
    number = row["value" if row["rung"] == BASE_NAME else "difference"]
    if math.isnan(number):
        return "unavailable"
    digits = 3 if row["metric"] == "psnr" else 4
    return f"{number:.{digits}f}" if row["rung"] == BASE_NAME else f"{number:+z.{digits}f}"


def _jsonable(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ladder(
    spec: CodecSpec,
    images: Sequence[str],
    *,
    size: int | None = None,
    fit: str | None = None,
    weights: str | None = None,
    generations: Sequence[int] = (1, 2, 4, 8),
    metrics: Sequence[str] = ("psnr", "lpips-alex"),
    progress: Progress = silent,
) -> LadderResult:
    """Take a protocol of one codec apart into rungs.

    Rungs: `resize` (only with a size: the picture down to it and back up, against the original),
    `sample` of the posterior, `float16`, `bfloat16`, `8-bit latents`, `tiling`, `rounding` to 8
    bits, and repeated round trips. Alone is the base with that rung; cumulative has all rungs up
    to it that are available. Of the two precisions, cumulative takes the one of `spec`, else
    float16, else bfloat16.

    Args:
        spec: what else it sets stays in every rung; dtype, posterior and tiling are rungs.
        images: as `find_images` takes them, compared at their own size; of `crop`, the square.
        generations: how many round trips, each number a rung.
    Raises: SuiteError, ImageError, CodecError where nothing can be measured. A rung that a codec
        has not, or that fails here, is unavailable, with its reason.
    """
    trips = _checked_generations(generations)
    chosen_fit = _checked_fit(size, fit)
    found = find_images(images, progress=lambda done, total: progress("reading", done, total))
    if not found.images:
        reasons = "; ".join(f"{image.path}: {image.reason}" for image in found.skipped[:3])
        raise ImageError(
            f"No usable picture in {', '.join(images)}{f' ({reasons})' if reasons else ''}. "
            "Give a folder, a glob, files or `sample`."
        )
    device = default_device()
    columns, opened, missing = _open_metrics(metrics, weights, str(device))
    climb = Climb(spec, found.images, size, chosen_fit, opened, device, progress)
    info = climb.start()
    rungs = rungs_of(trips)
    refused = {rung.name: why_not(rung, info, size is not None) for rung in rungs}
    alone = {rung.name: switched(BASE, rung) for rung in rungs if refused[rung.name] is None}
    climb.measure(list(alone.values()), "rungs alone")
    together = _together(rungs, alone, climb, spec)
    climb.measure(list(together.values()), "rungs together")
    rows = _Rows(climb, refused, {"alone": alone, "cumulative": together}, missing)
    names = (BASE_NAME, *(rung.name for rung in rungs))
    table = [rows.row(name, mode, metric) for name in names for mode in MODES for metric in columns]
    return LadderResult(
        info,
        len(found.images),
        size,
        fit,
        columns,
        pd.DataFrame(table, columns=pd.Index(LADDER_COLUMNS)),
        tuple((image.image_id, image.reason) for image in found.skipped),
    )


def _checked_generations(generations: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(sorted(set(generations)))
    if chosen and chosen[0] < 1:
        raise SuiteError(f"Cannot make {chosen[0]} round trips: expected whole numbers from 1.")
    return chosen


def _checked_fit(size: int | None, fit: str | None) -> Fit | None:
    if (size is None) != (fit is None):
        raise SuiteError(
            "size and fit go together: pass both (--size 512 --fit crop) or neither (native size)."
        )
    if fit is not None and fit not in _FITS:
        raise SuiteError(unknown_name("fit", fit, _FITS))
    return None if fit is None else _FITS[fit]


def _open_metrics(
    names: Sequence[str], weights: str | None, device: str
) -> tuple[dict[str, MetricColumn], dict[str, Metric], dict[str, str]]:
    """Return by name every metric asked for, those that can be had, and why others cannot."""
    columns: dict[str, MetricColumn] = {}
    opened: dict[str, Metric] = {}
    missing: dict[str, str] = {}
    for name in names:
        metrics, described, unavailable = open_metrics([name], weights, device, rounded=False)
        columns[name] = described[0]
        if metrics:
            opened[name] = metrics[0]
        else:
            missing[name] = unavailable[0].reason
    return columns, opened, missing


def _together(
    rungs: Sequence[Rung], alone: Mapping[str, Protocol], climb: Climb, spec: CodecSpec
) -> dict[str, Protocol]:
    """Return the protocols with all rungs up to each, of those that gave a value alone."""
    usable = {name for name, protocol in alone.items() if climb.outcomes[protocol].is_available}
    precisions = [rung.name for rung in rungs if rung.setting == "dtype" and rung.name in usable]
    asked = spec.settings.get("dtype")
    chosen = asked if asked in precisions else next(iter(precisions), None)
    together: dict[str, Protocol] = {}
    state = BASE
    for rung in rungs:
        if rung.name in usable and (rung.setting != "dtype" or rung.name == chosen):
            state = together[rung.name] = switched(state, rung)
    return together


@dataclass(frozen=True)
class _Rows:
    """What the rows of the table are made of; `protocols` by mode and rung."""

    climb: Climb
    refused: Mapping[str, str | None]
    protocols: Mapping[str, Mapping[str, Protocol]]
    missing: Mapping[str, str]

    def row(self, rung: str, mode: str, metric: str) -> dict[str, Any]:
        """Return the rung's mean and its mean difference to the base, or why there are none."""
        from ....metrics import describe_metric

        protocol = BASE if rung == BASE_NAME else self.protocols[mode].get(rung)
        is_rounded = protocol is not None and protocol.is_rounded
        row: dict[str, Any] = {
            "rung": rung,
            "mode": mode,
            "metric": metric,
            "variant": describe_metric(metric).variant(is_rounded),
            "value": math.nan,
            "difference": math.nan,
            "n_images": 0,
            "note": "",
        }
        if metric in self.missing:
            return row | {"note": self.missing[metric]}
        if protocol is None:
            return row | {"note": self._why_skipped(rung, metric)}
        outcome = self.climb.outcomes[protocol]
        base = self.climb.outcomes[BASE].values.get(metric, {})
        pairs = [
            (value, base[image_id])
            for image_id, value in outcome.values.get(metric, {}).items()
            if image_id in base
        ]
        if not pairs:
            return row | {"note": outcome.reason(metric)}
        return row | _means(pairs, outcome.reasons.get(metric, Counter()), protocol == BASE)

    def _why_skipped(self, rung: str, metric: str) -> str:
        """Return why a rung is in no protocol of a mode."""
        if self.refused[rung] is not None:
            return str(self.refused[rung])
        outcome = self.climb.outcomes[self.protocols["alone"][rung]]
        return outcome.reason(metric) or "one precision at a time: another is on"


def _means(
    pairs: Sequence[tuple[float, float]], reasons: Counter[str], is_base: bool
) -> dict[str, Any]:
    """Return the means over (rung, base) of each picture, and what a reader must know of them."""
    # Two identical pictures differ by nothing; one alone would make the mean infinite.
    differences = [0.0 if value == base else value - base for value, base in pairs]
    finite = [difference for difference in differences if math.isfinite(difference)]
    notes: list[str] = []
    if len(finite) < len(pairs):
        lost = len(pairs) - len(finite)
        notes.append(
            f"{lost} of {len(pairs)} pictures, identical on one side, not in the difference"
        )
    if not is_base and all(difference == 0 for difference in differences):
        notes.append("no difference to the base on any picture")
    if reasons:
        reason, _ = reasons.most_common(1)[0]
        notes.append(f"{_pictures(reasons.total())} without a value: {reason}")
    return {
        "value": math.fsum(value for value, _ in pairs) / len(pairs),
        "difference": math.fsum(finite) / len(finite) if finite else math.nan,
        "n_images": len(pairs),
        "note": "; ".join(notes),
    }
