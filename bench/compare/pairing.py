"""Which codecs of stored runs may be compared, and on which pictures: values side by side.

Pictures are matched by the sha256 of their files, so a renamed file still finds its partner.
Whatever finds none is listed as a Mismatch; nothing is averaged over it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..errors import RunFolderError, unknown_name
from ..records import WHOLE, ImageRef, MetricColumn
from ..store.run import StoredRun

PROTOCOL = ("size", "fit", "rounding", "background")
"""The fields of a suite that must be equal for two runs to be compared. The background counts where
pictures are padded with it; that it lies under transparent pixels is in their pictures' notes."""


@dataclass(frozen=True)
class Side:
    """A codec of a run, under the label that tells it from those of other runs."""

    label: str
    run: StoredRun
    codec: str


@dataclass(frozen=True)
class Mismatch:
    """What was left out of a comparison, where, and why."""

    what: str
    where: str
    reason: str


@dataclass(frozen=True)
class PicturePair:
    """A picture that both sides have scored, under the name that each run knows it by."""

    sha256: str
    image_id: str
    codec_image_id: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class PairedCodec:
    """A codec beside the baseline.

    `values` has a row for each metric of each whole picture and each region that both have: part
    (`whole` or a kind), region (its name), variant, sha256, baseline_value and codec_value; NaN
    where a metric was unavailable, +inf for a PSNR without error.
    """

    baseline: Side
    side: Side
    pictures: tuple[PicturePair, ...]
    columns: tuple[MetricColumn, ...]
    values: pd.DataFrame

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """`whole`, then the kinds in the order of the baseline's regions."""
        return (WHOLE, *(name for name in self.values["part"].unique() if name != WHOLE))

    @cached_property
    def by_image(self) -> pd.DataFrame:
        """The mean over a picture's regions of a kind, indexed by part, variant, sha256.

        NaN where one of the regions has no value.
        """
        names = ["baseline_value", "codec_value"]
        groups: Any = self.values.groupby(["part", "variant", "sha256"], sort=False)[names]
        means: pd.DataFrame = groups.mean()
        return means.where(groups.count().eq(groups.size(), axis=0))


def label_codecs(runs: Sequence[StoredRun]) -> list[Side]:
    """Return every codec of every run: its name, or RUN/NAME where two runs have the name.

    Raises: RunFolderError where a run is given twice, is not finished or has no scores.
    """
    ids = Counter(run.record.run_id for run in runs)
    for run in runs:
        if ids[run.record.run_id] > 1:
            raise RunFolderError(
                f"The run {run.record.run_id} is given twice ({run.folder}). Give each run once."
            )
        if not run.record.finished:
            raise RunFolderError(
                f"Cannot compare {run.folder}: the run is not finished. "
                f"Go on with it by vaebench run --resume {shlex.quote(str(run.folder))}"
            )
        if run.scores.empty:
            raise RunFolderError(
                f"Cannot compare {run.folder}: it holds no scores. "
                "Give a folder that `vaebench run` wrote."
            )
    names = Counter(info.name for run in runs for info in run.record.codecs)
    folders = Counter(run.record.name for run in runs)
    sides: list[Side] = []
    for run in runs:
        name = run.record.name
        where = name if folders[name] == 1 else run.record.run_id
        for info in run.record.codecs:
            label = info.name if names[info.name] == 1 else f"{where}/{info.name}"
            sides.append(Side(label, run, info.name))
    return sides


def choose_baseline(sides: Sequence[Side], name: str | None) -> Side:
    """Return the side of this label, the first where none is named. Raises: RunFolderError."""
    if name is None:
        return sides[0]
    for side in sides:
        if side.label == name:
            return side
    raise RunFolderError(unknown_name("baseline", name, (side.label for side in sides)))


def protocol_of(run: StoredRun) -> dict[str, Any]:
    """Return what decides how the run's pictures were scored: PROTOCOL."""
    suite = run.record.suite
    is_padded = suite.fit == "pad"
    return {
        field: getattr(suite, field) for field in PROTOCOL if is_padded or field != "background"
    }


def describe_protocol(run: StoredRun) -> str:
    """Return the protocol in words: `native size, rounded to 8 bits`."""
    suite = run.record.suite
    size = "native size" if suite.size is None else f"{suite.size} px"
    fit = f" by {suite.fit}" if suite.fit else ""
    fit += f" on {suite.background}" if suite.fit == "pad" else ""
    return f"{size}{fit}, {'rounded to 8 bits' if suite.rounding == '8bit' else 'float'}"


def pair_codec(baseline: Side, side: Side) -> tuple[PairedCodec | None, list[Mismatch]]:
    """Put a codec's values beside the baseline's.

    Returns: the pair, None where nothing of the two may be compared; and what is left out of it.
    """
    mine, yours = protocol_of(side.run), protocol_of(baseline.run)
    if mine != yours:
        reason = f"{describe_protocol(side.run)}; the baseline: {describe_protocol(baseline.run)}"
        return None, [Mismatch("protocol", side.label, reason)]
    pictures, mismatches = _pair_pictures(baseline.run, side.run)
    columns, others = _shared_columns(baseline.run, side.run)
    mismatches += others
    if not pictures or not columns:
        what, lacking = ("pictures", "picture") if not pictures else ("metrics", "metric")
        reason = f"has no {lacking} in common with {baseline.run.record.name}"
        return None, [*mismatches, Mismatch(what, side.label, reason)]
    unequal = _unequal_regions(baseline.run, side.run, pictures)
    reason = f"not the same regions in {side.run.record.name}"
    mismatches += [Mismatch("region", f"{pair.image_id}: {kind}", reason) for pair, kind in unequal]
    left = _values(baseline, {pair.image_id: pair.sha256 for pair in pictures})
    right = _values(side, {pair.codec_image_id: pair.sha256 for pair in pictures})
    keys = ["part", "region", "variant", "sha256"]
    values = left.merge(right, on=keys, suffixes=("_baseline", "_codec"), sort=False)
    values = values.rename(
        columns={"value_baseline": "baseline_value", "value_codec": "codec_value"}
    )
    if baseline.run.record.error_map != side.run.record.error_map:
        # The numbers are comparable; the maps beside the pictures are not.
        reason = f"not of the metric and scale that {baseline.run.record.name} has"
        mismatches.append(Mismatch("error map", side.label, reason))
    left_out = {(pair.sha256, kind) for pair, kind in unequal}
    kept = [key not in left_out for key in zip(values["sha256"], values["part"], strict=True)]
    return PairedCodec(baseline, side, pictures, columns, values.loc[kept]), mismatches


def whole_values(side: Side, variant: str) -> np.ndarray:
    """Return the metric's values of whole pictures, as the run has them; NaN where it has none."""
    scores = side.run.scores
    chosen = (scores["codec"] == side.codec) & (scores["region"] == WHOLE)
    return scores.loc[chosen & (scores["variant"] == variant), "value"].to_numpy(float)


def _values(side: Side, sha256_of: dict[str, str]) -> pd.DataFrame:
    """Return part, region, variant, sha256 and value of the paired pictures of a codec."""
    scores = side.run.scores
    chosen = (scores["codec"] == side.codec) & scores["image_id"].isin(list(sha256_of))
    rows = scores.loc[chosen, ["region", "kind", "variant", "image_id", "value"]]
    is_whole = rows["region"] == WHOLE
    return pd.DataFrame(
        {
            # A kind that is called `whole` must not run into the whole pictures.
            "part": rows["kind"].replace({WHOLE: f"{WHOLE} (kind)"}).mask(is_whole, WHOLE),
            "region": rows["region"],
            "variant": rows["variant"],
            "sha256": rows["image_id"].map(sha256_of),
            "value": rows["value"],
        }
    )


def _pair_pictures(
    baseline: StoredRun, other: StoredRun
) -> tuple[tuple[PicturePair, ...], list[Mismatch]]:
    """Match the pictures of two runs by sha256; a file that a run has twice counts once."""
    theirs, copies = _by_sha256(baseline)
    mine, my_copies = _by_sha256(other)
    mismatches = [*copies, *(my_copies if other is not baseline else [])]
    pairs: list[PicturePair] = []
    for sha256, image in theirs.items():
        own = mine.get(sha256)
        if own is None:
            reason = f"only in {baseline.record.name}"
            mismatches.append(Mismatch("picture", image.image_id, reason))
        elif reason := _converted_otherwise(image, own):
            mismatches.append(Mismatch("picture", image.image_id, f"{other.record.name}: {reason}"))
        else:
            size = image.width_px, image.height_px
            pairs.append(PicturePair(sha256, image.image_id, own.image_id, *size))
    mismatches += [
        Mismatch("picture", image.image_id, f"only in {other.record.name}")
        for sha256, image in mine.items()
        if sha256 not in theirs
    ]
    return tuple(pairs), mismatches


def _by_sha256(run: StoredRun) -> tuple[dict[str, ImageRef], list[Mismatch]]:
    pictures: dict[str, ImageRef] = {}
    copies: list[Mismatch] = []
    for image in run.record.images:
        first = pictures.setdefault(image.sha256, image)
        if first is not image:
            reason = f"the same file as {first.image_id}, which counts once"
            copies.append(Mismatch("picture", image.image_id, reason))
    return pictures, copies


def _converted_otherwise(image: ImageRef, own: ImageRef) -> str:
    """Say how the same file was turned into other pixels; empty where it was not."""
    for field in ("width_px", "height_px", "notes"):
        there, here = getattr(image, field), getattr(own, field)
        if there != here:
            return f"{field} is {_shown(here)}, the baseline's is {_shown(there)}"
    return ""


def _shown(value: int | tuple[str, ...]) -> str:
    return str(value) if isinstance(value, int) else repr("; ".join(value))


def _shared_columns(
    baseline: StoredRun, other: StoredRun
) -> tuple[tuple[MetricColumn, ...], list[Mismatch]]:
    theirs = {column.variant: column for column in baseline.record.metrics}
    mine = {column.variant: column for column in other.record.metrics}
    mismatches = [
        Mismatch("metric", variant, f"only in {run.record.name}")
        for run, columns, others in ((baseline, theirs, mine), (other, mine, theirs))
        for variant in columns
        if variant not in others
    ]
    shared = [column for variant, column in theirs.items() if variant in mine]
    mismatches += [
        Mismatch("metric", column.variant, "whether higher is better is not known")
        for column in shared
        if column.higher_is_better is None
    ]
    return tuple(column for column in shared if column.higher_is_better is not None), mismatches


def _unequal_regions(
    baseline: StoredRun, other: StoredRun, pictures: Sequence[PicturePair]
) -> list[tuple[PicturePair, str]]:
    """Return the pictures and kinds whose regions are not the same in both runs."""
    if other is baseline:
        return []
    theirs, mine = _region_sets(baseline), _region_sets(other)
    kinds = dict.fromkeys(kind for _, kind in (*theirs, *mine))
    return [
        (pair, kind)
        for pair in pictures
        for kind in kinds
        if theirs.get((pair.image_id, kind), set()) != mine.get((pair.codec_image_id, kind), set())
    ]


def _region_sets(run: StoredRun) -> dict[tuple[str, str], set[tuple[Any, ...]]]:
    sets: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for region in run.regions:
        shape = region.name, region.box_px, region.mask
        sets.setdefault((region.image_id, region.kind), set()).add(shape)
    return sets
