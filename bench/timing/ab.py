"""Is HEAD slower than BASE? Fresh worker processes of both, in turns, until the answer is sure."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..records import Progress, silent
from ..suite import CodecSpec, Suite
from .processes import ProcessSource, Request, staged_harness
from .regression import Decision, Rule, judge

EXIT_CODES = {"clean": 0, "faster": 0, "regressed": 1, "inconclusive": 3}

_ABANDONED_S = 24 * 3600


_SAYS = {
    "regressed": "HEAD is slower than BASE, and {threshold} or more cannot be excluded",
    "clean": "HEAD is not slower than BASE by {threshold}",
    "faster": "HEAD is faster than BASE",
    "inconclusive": "HEAD may or may not be slower than BASE by {threshold}",
}


@dataclass(frozen=True)
class Side:
    """One side: its codec, its interpreter, and the environment that its workers told."""

    codec: CodecSpec
    python: str
    environment: dict[str, Any]

    def __str__(self) -> str:
        told = self.environment
        device = f"CPU ({told['cpu']}, {told['threads']} threads)"
        if told["device"] != "CPU":
            device = f"{told['device']} (driver {told['driver']}, CUDA {told['cuda']})"
        what = [self.codec.name, told["dtype"], told["mode"], f"torch {told['torch']}"]
        unsettled = [] if told["settled"] else ["its warm-up never settled"]
        return ", ".join(
            [*filter(None, what), f"diffusers {told['diffusers']}", device, *unsettled]
        )


@dataclass(frozen=True)
class AbResult:
    """The decision, and what was compared."""

    decision: Decision
    base: Side
    head: Side
    stage: str
    size: int
    batch: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; times in ms, the effect as a share."""
        return {
            **asdict(self.decision),
            "stage": self.stage,
            "size_px": self.size,
            "batch": self.batch,
            **{
                name: {**asdict(side), "codec": side.codec.model_dump()}
                for name, side in (("base", self.base), ("head", self.head))
            },
        }

    def sentences(self) -> list[str]:
        """Return the verdict, what it rests on and where it was measured, for a terminal."""
        found = self.decision
        says = _SAYS[found.verdict].format(threshold=f"{100 * found.threshold:g} %")
        return [
            f"{found.verdict}: {says}. Its time against BASE's: {found.effect:+.2%} "
            f"[{found.low:+.2%}, {found.high:+.2%}], {found.confidence:.1%} confidence.",
            f"{self.stage} {self.size}x{self.size}, batch {self.batch}: median "
            f"{found.base_median_ms:.4g} ms for BASE, {found.head_median_ms:.4g} ms for HEAD; "
            f"{found.pairs} pairs of fresh processes, {found.samples_per_side} samples a side.",
            f"BASE: {self.base}",
            f"HEAD: {self.head}",
        ]


def ab(
    base: CodecSpec,
    head: CodecSpec,
    *,
    stage: str = "decode",
    size: int = 512,
    batch: int = 1,
    dtype: str | None = None,
    threshold: float = 0.03,
    base_python: Path | None = None,
    head_python: Path | None = None,
    rule: Rule | None = None,
    progress: Progress = silent,
) -> AbResult:
    """Compare the time of one stage of two codecs, settings or interpreters.

    Args:
        dtype: of both sides; None for each one's own, else float16 on CUDA and float32 on a CPU.
        threshold: the slowdown that matters, as a share.
        base_python, head_python: interpreters that have torch and diffusers; vaebench need not be
            installed there, its harness is the same on both sides.
    Raises: VaebenchError where a side cannot be opened or timed.
    """
    asked = {"sizes": [size], "batches": [batch], "stages": [stage]}
    Suite.create(codecs=[base], speed={**asked, "dtypes": [dtype] if dtype else []})
    chosen = rule or Rule(threshold=threshold)
    _remove_abandoned()
    with staged_harness(size, batch) as harness:
        sources = (
            ProcessSource("BASE", Request(base, stage, dtype), base_python, harness),
            ProcessSource("HEAD", Request(head, stage, dtype), head_python, harness),
        )
        decision = judge(*sources, chosen, lambda done, total: progress("pairs", done, total))
    base_side, head_side = (
        Side(source.request.codec, source.python, source.environment or {}) for source in sources
    )
    return AbResult(decision, base_side, head_side, stage, size, batch)


def _remove_abandoned() -> None:
    """Remove the folders of comparisons that were killed: those older than one ever takes."""
    for folder in Path(tempfile.gettempdir()).glob("vaebench-ab-*"):
        with suppress(OSError):
            if time.time() - folder.lstat().st_mtime > _ABANDONED_S:
                shutil.rmtree(folder)
