"""The latents' health as a report reads it: rows of latents.parquet, their tables, what is wrong.

What is told of a codec as a whole is in run.json under `latents`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...bench.store.record import LatentSummary
from ...bench.store.run import StoredRun
from .columns import NOT_APPLICABLE
from .reading import Section, share, significant

SCALE_TOLERANCE = 1.25
"""How far, as a ratio either way, the suggested scaling factor may lie from the config's."""
LEAST_FP16_HEADROOM = 10.0
_ON_OWN_SET = "fitted on the pictures it is scored on"


@dataclass(frozen=True)
class CodecLatents:
    """A codec's latents over a run's pictures: a row a channel, and what holds for all of them.

    `scaling_factor` is the config's; None also where the config normalises channel by channel,
    which no single factor is comparable with.
    """

    codec: str
    scaling_factor: float | None
    channels: pd.DataFrame
    whole: LatentSummary

    @property
    def dead(self) -> list[int]:
        """The channels that hardly vary."""
        return [int(number) for number in self.channels["channel"][self.channels["is_dead"]]]

    @property
    def correlation(self) -> NDArray[np.float64]:
        """Correlations between channels [C, C]; NaN where one is constant."""
        return np.stack([np.asarray(row, np.float64) for row in self.channels["correlation"]])

    @property
    def scaled_std(self) -> float | None:
        """The standard deviation of samples of all latents times the config's scaling factor."""
        if self.scaling_factor is None or not self.whole.suggested_scaling_factor:
            return None
        return self.scaling_factor / self.whole.suggested_scaling_factor


def codecs_with_latents(run: StoredRun) -> list[CodecLatents]:
    """Return the codecs whose latents were measured, in the run's order."""
    infos = {codec.name: codec for codec in run.record.codecs}
    found: list[CodecLatents] = []
    for whole in run.record.latents:
        info = infos[whole.codec]
        rows = pd.DataFrame(run.latents[run.latents["codec"] == whole.codec])
        by_channel = any("normalised per channel" in note for note in info.notes)
        factor = None if by_channel else info.scaling_factor
        found.append(CodecLatents(whole.codec, factor, rows, whole))
    return found


def latents(run: StoredRun) -> pd.DataFrame:
    """Return one row a channel of each codec, numbers in full.

    `closest_channel` is the one with the largest absolute correlation, None where there is none;
    `kl_nats` is the mean per element.
    """
    rows: list[dict[str, Any]] = []
    for codec in codecs_with_latents(run):
        correlation = codec.correlation
        for place, row in enumerate(codec.channels.to_dict("records")):
            row = {str(name): value for name, value in row.items() if name != "correlation"}
            row["kl_nats"] = _known(row["kl_nats"])
            closest = _closest(correlation[place], place)
            row["closest_channel"] = closest
            row["correlation"] = None if closest is None else float(correlation[place, closest])
            rows.append(row)
    # Objects, so that a whole number beside an absent one stays whole.
    return pd.DataFrame(rows, dtype=object)


def _closest(correlations: NDArray[np.float64], own: int) -> int | None:
    others = np.abs(correlations)
    others[own] = np.nan
    return None if np.isnan(others).all() else int(np.nanargmax(others))


def latent_sections(run: StoredRun) -> list[Section]:
    """Return the tables for reading: a row a codec, then a table of channels for each codec."""
    codecs = codecs_with_latents(run)
    if not codecs:
        return []
    header = (
        *("codec", "pictures", "channels", "effective", "dead", "mean", "std"),
        *("scaling factor", "suggested", "scaled std", "KL per element", "KL per picture"),
        *("largest", "fp16 headroom"),
    )
    whole = Section(
        "Latents",
        header,
        tuple(_whole_row(codec) for codec in codecs),
        (False, *(True for _ in header[1:])),
        _notes(codecs),
    )
    return [whole, *(_channel_section(codec) for codec in codecs)]


def _whole_row(codec: CodecLatents) -> tuple[str, ...]:
    whole = codec.whole
    return (
        codec.codec,
        str(whole.pictures),
        str(len(codec.channels)),
        significant(whole.effective_channels),
        str(len(codec.dead)),
        _mean(whole.mean, whole.std),
        significant(whole.std),
        significant(codec.scaling_factor, 4),
        significant(whole.suggested_scaling_factor, 4),
        significant(codec.scaled_std),
        significant(whole.kl_nats_per_element),
        significant(whole.kl_nats_per_picture, 4),
        significant(whole.max_abs),
        _times(whole.fp16_headroom),
    )


def _mean(mean: float | None, std: float | None) -> str:
    """Return a mean in the digits that tell something beside its deviation."""
    if mean is None or not std or abs(mean) >= std:
        return significant(mean)
    return f"{round(mean, (digits := 2 - math.floor(math.log10(std)))) + 0.0:.{max(0, digits)}f}"


def _known(value: float) -> float | None:
    return None if pd.isna(value) else value


def _correlation(value: float) -> str:
    # Adding zero takes the sign off a rounded −0.
    return f"{round(float(value), 2) + 0.0:.2f}"


def _times(value: float | None) -> str:
    return NOT_APPLICABLE if value is None else f"{significant(value)}×"


def _notes(codecs: Sequence[CodecLatents]) -> tuple[tuple[str, str], ...]:
    notes = [
        ("latents", "raw, over all pictures; those of padding are counted"),
        (
            "effective",
            "participation ratio of the covariance's eigenvalues, (Σλ)²/Σλ² (Gao et al. 2017): 1 "
            "where one direction has all variance, the number of channels where all have the same",
        ),
        ("dead", "channels whose standard deviation is below a tenth of the median channel's"),
        (
            "suggested",
            "1 / std of samples of all latents of these pictures, √(var(mode) + mean(std²)) where "
            "the posterior is known, as latent diffusion sets its scaling factor (Rombach et al. "
            "2022); scaled std is that std times the config's, 1 where both agree",
        ),
        (
            "fp16 headroom",
            "how many times the largest absolute latent fits into float16 (65504); the network's "
            "activations, which may be larger, are not looked at",
        ),
    ]
    if any(codec.whole.kl_nats_per_element is not None for codec in codecs):
        told = "of the encoder's posterior from the unit Gaussian, in nats; a dash without one"
        notes.insert(4, ("KL", told))
    return tuple(notes)


def _channel_section(codec: CodecLatents) -> Section:
    header = (
        *("channel", "mean", "std", "min", "max", "outside ±4 std", "KL per element"),
        *("closest channel", "correlation", "note"),
    )
    correlation = codec.correlation
    rows: list[tuple[str, ...]] = []
    for place, row in enumerate(codec.channels.to_dict("records")):
        closest = _closest(correlation[place], place)
        rows.append(
            (
                str(row["channel"]),
                _mean(row["mean"], row["std"]),
                *(significant(row[name]) for name in ("std", "min", "max")),
                share(_known(row["share_outside_4std"]), 2),
                significant(_known(row["kl_nats"])),
                NOT_APPLICABLE if closest is None else str(closest),
                NOT_APPLICABLE if closest is None else _correlation(correlation[place, closest]),
                "dead" if row["is_dead"] else "",
            )
        )
    return Section(
        f"Latent channels of {codec.codec}",
        header,
        tuple(rows),
        (*(True for _ in header[:-1]), False),
    )


def latent_findings(run: StoredRun) -> list[str]:
    """Return a sentence for each thing about a codec's latents that a reader must know."""
    lines = [line for codec in codecs_with_latents(run) for line in _problems(codec)]
    lines += [
        f"{info.name}: {note}, which a code trained elsewhere has not seen."
        for info in run.record.codecs
        for note in info.notes
        if note.startswith(_ON_OWN_SET)
    ]
    return lines


def _problems(codec: CodecLatents) -> list[str]:
    lines: list[str] = []
    name, whole, dead = codec.codec, codec.whole, codec.dead
    if dead:
        numbers = ", ".join(map(str, dead[:8])) + (", …" if len(dead) > 8 else "")
        lines.append(
            f"{name}: {len(dead)} of {len(codec.channels)} channels "
            f"{'are' if len(dead) > 1 else 'is'} dead ({numbers}): the standard deviation is below "
            "a tenth of the median channel's."
        )
    scaled, suggested = codec.scaled_std, whole.suggested_scaling_factor
    if scaled and suggested and max(scaled, 1 / scaled) > SCALE_TOLERANCE:
        lines.append(
            f"{name}: times the config's scaling factor {significant(codec.scaling_factor, 4)}, "
            f"the latents of these pictures have a standard deviation of {significant(scaled)}; "
            f"{significant(suggested, 4)} would make it 1."
        )
    headroom = whole.fp16_headroom
    if headroom is not None and headroom < LEAST_FP16_HEADROOM:
        lines.append(
            f"{name}: the largest latent, {significant(whole.max_abs)}, fits only "
            f"{significant(headroom, 2)} times into float16's 65504."
        )
    return lines
