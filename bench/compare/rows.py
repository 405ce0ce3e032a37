"""The rows of a comparison: the values of each picture side by side, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from .intervals import FEWEST_FOR_BOOTSTRAP
from .pairing import PairedCodec
from .power import smallest_detectable
from .statistics import (
    SIGNIFICANCE,
    PairedResult,
    compare_rows,
    family_size,
    holm,
    paired_differences,
    verdict_of,
)

SEED = 0
RESAMPLES = 10_000
CONFIDENCE = 0.95


def rows_of(pair: PairedCodec) -> list[pd.DataFrame]:
    """Return the pictures with both values, a frame for each region and metric that has any."""
    names = {picture.sha256: picture.image_id for picture in pair.pictures}
    groups = dict(tuple(pair.by_image.dropna().groupby(level=["part", "variant"], sort=False)))
    frames: list[pd.DataFrame] = []
    for part in pair.parts:
        for column in pair.columns:
            values = groups.get((part, column.variant))
            if values is None:
                continue
            own, theirs = values["codec_value"], values["baseline_value"]
            frames.append(
                pd.DataFrame(
                    {
                        "codec": pair.side.label,
                        "baseline": pair.baseline.label,
                        "region": part,
                        "metric": column.name,
                        "variant": column.variant,
                        "unit": column.unit,
                        "image_id": [
                            names[sha256] for sha256 in values.index.get_level_values("sha256")
                        ],
                        "baseline_value": theirs.to_numpy(),
                        "codec_value": own.to_numpy(),
                        "difference": paired_differences(own.to_numpy(), theirs.to_numpy()),
                    }
                )
            )
    return frames


def judged(
    pair: PairedCodec, frames: Sequence[pd.DataFrame], margins: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    """Return the table's rows of one codec against the baseline: one family for Holm."""
    is_higher = {column.variant: bool(column.higher_is_better) for column in pair.columns}
    variants = [str(frame["variant"].iloc[0]) for frame in frames]
    results = compare_rows(
        [frame["difference"].to_numpy() for frame in frames],
        [is_higher[variant] for variant in variants],
        SEED,
        RESAMPLES,
        CONFIDENCE,
    )
    least = [result.least_p for result in results]
    corrected = holm([result.p for result in results], least)
    size = family_size(least)
    rows: list[dict[str, Any]] = []
    for frame, variant, result, p_holm in zip(frames, variants, results, corrected, strict=True):
        both = frame[["baseline_value", "codec_value"]].to_numpy(float)
        finite = both[np.isfinite(both).all(axis=1)]
        differences = frame["difference"].to_numpy(float)
        differences = differences[np.isfinite(differences)]
        shared = ("codec", "baseline", "region", "metric", "variant", "unit")
        margin = margins[variant]
        rows.append(
            {
                **{name: frame[name].iloc[0] for name in shared},
                **asdict(result),
                "smallest_detectable": smallest_detectable(differences, size),
                "note": "; ".join(filter(None, (result.note, *_remarks(both, result, size)))),
                "p_holm": p_holm,
                "verdict": verdict_of(result, p_holm, is_higher[variant], margin),
                "margin": margin,
                "baseline_mean": mean_of(finite[:, 0]),
                "codec_mean": mean_of(finite[:, 1]),
            }
        )
    return rows


def _remarks(both: np.ndarray, result: PairedResult, size: int) -> Iterator[str]:
    """Yield what else a reader must know of a row of [n, 2], baseline and codec, among `size`."""
    alike = int((np.isinf(both).all(axis=1) & (both[:, 0] == both[:, 1])).sum())
    if alike and alike < len(both):
        yield (
            f"{alike} of {len(both)} pictures infinite (lossless) on both sides: a difference of 0 "
            "each, and in neither mean"
        )
    is_few = result.least_p >= SIGNIFICANCE / size
    if is_few and not result.is_tie and result.n_images >= FEWEST_FOR_BOOTSTRAP:
        yield "too few pictures differ for a verdict beside the other rows"


def mean_of(values: np.ndarray) -> float | None:
    """Return a mean; None of nothing."""
    return float(values.mean()) if values.size else None
