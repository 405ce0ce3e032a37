"""Explaining a quoted figure: which of the ways to compute a metric give it on a stored run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ...errors import RunFolderError, SuiteError, unknown_name
from ...records import Progress, silent
from .measure import Measured, measure
from .readings import Instruments
from .variants import Variant, variants_of

if TYPE_CHECKING:
    from ...store.run import StoredRun

NEAREST_SHOWN: Final = 5


@dataclass(frozen=True)
class Finding:
    """What one variant gives for one codec, over `n_images` pictures.

    `distance` is value - quoted. `also` names variants that give the same number here (say, the
    cap of 100 dB where no picture reaches it).
    """

    codec: str
    variant: str
    told: str
    value: float
    distance: float
    n_images: int
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotComputable:
    """Why a variant has no value for a codec."""

    codec: str
    variant: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """Every variant's figure against the quoted one; `findings` are the nearest first.

    A variant gives the quoted figure where it is at most `tolerance` away.
    """

    run: str
    metric: str
    unit: str
    quoted: float
    tolerance: float
    n_images: int
    findings: tuple[Finding, ...]
    not_computable: tuple[NotComputable, ...]

    @property
    def matches(self) -> tuple[Finding, ...]:
        """The findings that give the quoted figure; empty where none does."""
        return tuple(found for found in self.findings if self._is_match(found))

    @property
    def nearest(self) -> tuple[Finding, ...]:
        """The few findings that come nearest without giving the quoted figure."""
        others = [found for found in self.findings if not self._is_match(found)]
        return tuple(others[:NEAREST_SHOWN])

    def _is_match(self, found: Finding) -> bool:
        # 24.45 is a little less in binary: half a digit away must count as the edge it is.
        slack = 1e-9 * max(1.0, abs(self.quoted))
        return abs(found.distance) <= self.tolerance + slack

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: the question, the answers, and all that was computed."""
        return {
            "run": self.run,
            "metric": self.metric,
            "unit": self.unit,
            "quoted": self.quoted,
            "tolerance": self.tolerance,
            "n_images": self.n_images,
            "verdict": "explained" if self.matches else "none",
            "matches": [asdict(found) for found in self.matches],
            "nearest": [asdict(found) for found in self.nearest],
            "computed": [asdict(found) for found in self.findings],
            "not_computable": [asdict(entry) for entry in self.not_computable],
        }

    def lines(self) -> Iterator[str]:
        """Yield lines for a terminal: what gives the figure, or what comes nearest."""
        unit = f" {self.unit}" if self.unit else ""
        asked = f"{self.metric} {self.quoted:.10g}{unit} ± {self.tolerance:.3g}"
        matches = self.matches
        tried = f"{len(self.findings)} figures"
        if matches:
            yield f"{asked}: {len(matches)} of {tried} computed from {self.run} give it"
            yield from map(self._line, matches)
        else:
            yield f"{asked}: none of {tried} computed from {self.run} gives it; the nearest are"
            yield from map(self._line, self.nearest)
        reasons = Counter((entry.reason, entry.variant) for entry in self.not_computable)
        grouped: dict[str, list[str]] = {}
        for reason, variant in reasons:
            grouped.setdefault(reason, []).append(variant)
        for reason, variants in grouped.items():
            yield f"not computed: {', '.join(variants)}: {reason}"

    def _line(self, found: Finding) -> str:
        digits = max(4, 2 - _exponent(self.tolerance))
        short = f" ({found.n_images} of {self.n_images} pictures)"
        also = f"; the same here: {', '.join(found.also)}" if found.also else ""
        return (
            f"  {found.codec}  {found.variant}  {found.value:.{digits}f} "
            f"({found.distance:+.{digits}f})  {found.told}{also}"
            f"{short if found.n_images < self.n_images else ''}"
        )


def _exponent(tolerance: float) -> int:
    return math.floor(math.log10(tolerance)) if tolerance > 0 else 0


def explain(
    run: StoredRun,
    metric: str,
    quoted: float | str,
    codec: str | None = None,
    tolerance: float | None = None,
    weights: str | None = None,
    progress: Progress = silent,
) -> Explanation:
    """Recompute a metric from a run's stored pictures under every variant that is known.

    Args:
        metric: psnr, mse, ssim, ms-ssim or lpips.
        quoted: the figure; as text it keeps the zeros it ends in.
        codec: the only codec to look at; every codec of the run where None.
        tolerance: how far a figure may be away; half a unit of the quoted one's last decimal
            where None, so that 24.5 is given by 24.45 to 24.55.
        weights: the folder of LPIPS's networks; the run's own where None.
    Raises: SuiteError for an unknown metric or codec and for a figure that is no number;
        RunFolderError for a run without pictures, or with one that is damaged.
    """
    variants = variants_of(metric)
    figure = _decimal(quoted)
    allowed = 0.5 * 10.0 ** int(figure.as_tuple().exponent) if tolerance is None else tolerance
    if not (math.isfinite(allowed) and allowed >= 0):
        raise SuiteError(f"Cannot explain a figure within {allowed}: expected a tolerance from 0.")
    codecs = _codecs(run, codec)
    instruments = Instruments(weights or run.record.suite.weights)
    measured = measure(run, codecs, variants, instruments, progress)
    findings: list[Finding] = []
    missing: list[NotComputable] = []
    for name in codecs:
        found, lacking = _answer(measured, name, variants, float(figure))
        findings += found
        missing += lacking
    return Explanation(
        run=run.record.name,
        metric=metric,
        unit="dB" if variants[0].name.startswith("psnr/") else "",
        quoted=float(figure),
        tolerance=allowed,
        n_images=len(run.record.images),
        findings=tuple(sorted(findings, key=lambda found: abs(found.distance))),
        not_computable=tuple(missing),
    )


def _decimal(quoted: float | str) -> Decimal:
    try:
        figure = Decimal(str(quoted).strip())
    except ArithmeticError as error:
        raise SuiteError(f"Cannot explain {quoted!r}: expected a number, 24.5, say.") from error
    if not figure.is_finite():
        raise SuiteError(f"Cannot explain {quoted!r}: expected a finite number, 24.5, say.")
    return figure


def _codecs(run: StoredRun, codec: str | None) -> list[str]:
    names = [info.name for info in run.record.codecs]
    if codec is not None and codec not in names:
        raise SuiteError(unknown_name("codec of the run", codec, names))
    if not run.record.images:
        raise RunFolderError(
            f"Cannot explain a figure by {run.folder}: it scored no pictures. "
            "Give the folder of a run with --images."
        )
    return names if codec is None else [codec]


def _answer(
    measured: Measured, codec: str, variants: tuple[Variant, ...], quoted: float
) -> tuple[list[Finding], list[NotComputable]]:
    findings: list[Finding] = []
    missing: list[NotComputable] = []
    for variant in variants:
        key = (codec, variant.reading)
        if key in measured.reasons:
            missing.append(NotComputable(codec, variant.name, measured.reasons[key]))
            continue
        values, pixels = measured.columns(key)
        value = variant.total(values, pixels)
        if not math.isfinite(value):
            identical = int((values == 0).sum())
            reason = f"infinite: {identical} of {len(values)} pictures are as their references"
            missing.append(NotComputable(codec, variant.name, reason))
            continue
        twin = next((one for one in findings if _is_same(one.value, value)), None)
        if twin is not None:
            place = findings.index(twin)
            findings[place] = replace(twin, also=(*twin.also, variant.name))
            continue
        distance = value - quoted
        findings.append(Finding(codec, variant.name, variant.told, value, distance, len(values)))
    return findings, missing


def _is_same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-10, abs_tol=1e-13)
