"""A suite made concrete: the pictures found, the regions placed, codecs and metrics opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...metrics import (
    DEFAULT_METRICS,
    Metric,
    MetricError,
    MetricUnavailable,
    describe_metric,
    open_metric,
)
from ..codecs import Codec, Unfitted, open_unfitted_spec
from ..codecs.tensors import default_device
from ..errors import ImageError, RegionError, RunFolderError, SuiteError
from ..images.find import ImageSet, find_images
from ..images.pixels import placement
from ..images.regions import fit_region, read_regions
from ..records import ImageRef, MetricColumn, Progress, Region, Unavailable
from ..store.environment import read_environment
from ..store.record import ErrorMap, RunRecord, new_record
from ..suite import Suite
from .decoded import Decoded
from .padding import padding_of


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, opened; regions by image_id, in the pixels that are scored.

    `columns` describes every metric asked for, `metrics` holds those that can be computed here and
    `unavailable` says why the others cannot.
    """

    suite: Suite
    found: ImageSet
    regions: dict[str, list[Region]]
    unused_regions: tuple[str, ...]
    codecs: tuple[Codec, ...]
    metrics: tuple[Metric, ...]
    columns: tuple[MetricColumn, ...]
    unavailable: tuple[Unavailable, ...]
    device: str

    @property
    def rounded(self) -> bool:
        """Whether reconstructions are rounded to 8 bits before they are scored."""
        return self.suite.rounding == "8bit"

    @property
    def map_column(self) -> MetricColumn:
        """The metric whose per-pixel map is kept: FLIP where it is computed, else mae."""
        missing = {entry.variant for entry in self.unavailable}
        for column in self.columns:
            if column.name == "flip" and column.variant not in missing:
                return column
        return MetricColumn("mae", "mae/rgb8", "", higher_is_better=False)


def make_plan(suite: Suite, progress: Progress, decoded: Decoded | None = None) -> Plan:
    """Find, read and open all that the suite names; `decoded` keeps what was decoded for it.

    Raises: VaebenchError naming the first thing that cannot be had.
    """
    decoded = decoded or Decoded(suite)
    # Codecs first: reading the pictures can take minutes, and is not lost time where one is bad.
    opened: list[Codec | Unfitted] = []
    for spec in suite.codecs:
        progress("opening codecs", len(opened), len(suite.codecs))
        opened.append(open_unfitted_spec(spec))
    progress("opening codecs", len(opened), len(suite.codecs))
    found = _find(suite, progress, decoded)
    codecs = tuple(
        codec.fitted(map(decoded.read, found.images)) if isinstance(codec, Unfitted) else codec
        for codec in opened
    )
    regions, unused = _place_regions(suite, found.images)
    device = str(default_device())
    metrics, columns, unavailable = open_metrics(
        suite.metrics or DEFAULT_METRICS, suite.weights, device, suite.rounding == "8bit"
    )
    return Plan(suite, found, regions, unused, codecs, metrics, columns, unavailable, device)


def open_metrics(
    names: Sequence[str], weights: str | None, device: str, rounded: bool
) -> tuple[tuple[Metric, ...], tuple[MetricColumn, ...], tuple[Unavailable, ...]]:
    """Return the metrics that can be computed here, what was asked for, and why some cannot."""
    metrics: list[Metric] = []
    columns: list[MetricColumn] = []
    unavailable: list[Unavailable] = []
    for name in dict.fromkeys(names):
        try:
            info = describe_metric(name)
        except MetricError as error:
            raise SuiteError(str(error)) from error
        column = MetricColumn(info.name, info.variant(rounded), info.unit, info.higher_is_better)
        if column in columns:
            continue
        columns.append(column)
        try:
            metrics.append(open_metric(name, None if weights is None else Path(weights), device))
        except MetricUnavailable as error:
            unavailable.append(Unavailable(column.name, column.variant, str(error)))
    return tuple(metrics), tuple(columns), tuple(unavailable)


def record_of(plan: Plan, folder: Path, command: str) -> RunRecord:
    """Return run.json of a run that begins: protocol, provenance, environment."""
    column = plan.map_column
    return new_record(
        plan.suite,
        folder,
        command,
        images=tuple(scored_images(plan)),
        skipped=plan.found.skipped,
        regions=_regions(plan),
        unused_regions=plan.unused_regions,
        codecs=tuple(codec.info for codec in plan.codecs),
        metrics=plan.columns,
        unavailable=plan.unavailable,
        error_map=ErrorMap(column.name, column.variant, column.unit, 1.0),
    )


def refuse_changes(folder: Path, record: RunRecord, plan: Plan) -> None:
    """Refuse to go on with a run whose numbers would mix.

    Raises: RunFolderError where pictures, regions, weights, metrics or libraries have changed.
    """
    before = {image.image_id: image.sha256 for image in record.images}
    now = {image.image_id: image.sha256 for image in plan.found.images}
    differ = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    changes = [f"{differ[0]} was changed, added or removed"] if differ else []
    if record.regions != _regions(plan):
        changes.append("the regions were changed")
    changes += [
        f"{codec.info.name} has other weights"
        for old, codec in zip(record.codecs, plan.codecs, strict=True)
        if old.weights_sha256 != codec.info.weights_sha256
    ]
    environment = read_environment()
    changes += [
        f"{key} was {getattr(record.environment, key)} and is {getattr(environment, key)}"
        for key in ("device", "torch", "diffusers", "vaebench")
        if getattr(record.environment, key) != getattr(environment, key)
    ]
    missing = {entry.variant for entry in record.unavailable if not entry.codec}
    if missing != {entry.variant for entry in plan.unavailable}:
        changes.append("other metrics are available")
    if changes:
        raise RunFolderError(
            f"Cannot go on with {folder}, its numbers would mix: since it began, "
            f"{'; '.join(changes)}. Start a new run."
        )


def scored_images(plan: Plan) -> list[ImageRef]:
    """Return the pictures with the size at which they are scored."""
    return [_as_scored(image, plan.suite) for image in plan.found.images]


def _find(suite: Suite, progress: Progress, decoded: Decoded) -> ImageSet:
    found = find_images(
        suite.images,
        suite.background,
        lambda done, total: progress("reading images", done, total),
        decoded.keep,
    )
    if not found.images:
        reasons = "; ".join(f"{image.path}: {image.reason}" for image in found.skipped[:3])
        raise ImageError(
            f"No usable picture in {', '.join(suite.images)}"
            f"{f' ({reasons})' if reasons else ''}. Give a folder, a glob, files or `sample`."
        )
    return found


def _place_regions(
    suite: Suite, images: Sequence[ImageRef]
) -> tuple[dict[str, list[Region]], tuple[str, ...]]:
    """Return each picture's regions in the pixels that are scored, and those of no picture."""
    sources, padding = list(suite.regions), padding_of(suite)
    if "sample" in suite.images and "sample" not in sources:
        sources.append("sample")
    size_px = {image.image_id: (image.width_px, image.height_px) for image in images}
    regions: dict[str, list[Region]] = {image.image_id: [] for image in images}
    unused: list[str] = []
    taken: set[tuple[str, str]] = set()
    for source in sources:
        read = read_regions(source, images)
        unused += read.unused
        for region in read.regions:
            if (region.image_id, region.name) in taken:
                raise RegionError(
                    f"{region.image_id} has two regions called {region.name!r}, one of them from "
                    f"{source}. Give each region of a picture its own name."
                )
            fitted = fit_region(region, *size_px[region.image_id], suite.size, suite.fit or "crop")
            if fitted is None:
                unused.append(f"{region.image_id}/{region.name}")
            else:
                if padding is not None:
                    scored_px = _scored_px(*size_px[region.image_id], suite)
                    fitted = padding.unframed(fitted, *scored_px)
                taken.add((region.image_id, region.name))
                regions[region.image_id].append(fitted)
    return regions, tuple(unused)


def _regions(plan: Plan) -> tuple[Region, ...]:
    return tuple(region for entry in plan.regions.values() for region in entry)


def _as_scored(image: ImageRef, suite: Suite) -> ImageRef:
    if suite.size is None:
        return image
    width, height = _scored_px(image.width_px, image.height_px, suite)
    note = f"{image.width_px}x{image.height_px} px made {width}x{height}"
    if suite.fit == "pad":
        note += f", padded to {suite.size}x{suite.size} for the codec alone"
    else:
        note += f" by {suite.fit}"
    return replace(image, width_px=width, height_px=height, notes=(*image.notes, note))


def _scored_px(width_px: int, height_px: int, suite: Suite) -> tuple[int, int]:
    """Return the width and height at which a picture is scored."""
    if suite.size is None:
        return width_px, height_px
    if suite.fit != "pad":
        return suite.size, suite.size
    place = placement(width_px, height_px, suite.size, "pad")
    return place.width_px, place.height_px
