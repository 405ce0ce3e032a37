"""Rate and distortion: every codec's knob turned over every picture, into one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...metrics import DEFAULT_METRICS
from ..codecs import Codec
from ..errors import SuiteError, unknown_name
from ..records import Progress, silent
from ..scoring.plan import Plan, make_plan
from ..store.environment import read_environment
from ..store.lock import writing_folder
from ..store.record import region_to_json
from ..suite import CodecSpec, Suite
from .curves import CONFIDENCE, RESAMPLES, delta_tables
from .gallery import choose_pictures
from .knobs import KNOBS, Asked, Sweep, plan_sweeps, settled
from .picture import RdFailure
from .points import PointCache, read_versions
from .store import GALLERY, POINTS, StoredRd, load_rd, open_rd_folder, write_rd
from .tables import equal_table, point_reasons, point_table, rate_table
from .workers import PictureResult, PictureWork, Task, measure_pictures

SEED = 0


def rate_distortion(
    codecs: Sequence[CodecSpec],
    images: Sequence[str],
    folder: Path,
    *,
    regions: Sequence[str] = (),
    metrics: Sequence[str] = (),
    weights: str | None = None,
    anchor: str | None = None,
    asked: Asked | None = None,
    workers: int | None = None,
    command: str = "vaebench.bench.rate.sweep.rate_distortion(...) from Python",
    progress: Progress = silent,
    report: Callable[[Path], object] = lambda folder: None,
) -> StoredRd:
    """Measure every codec at every setting of its knob on every picture.

    Every point is kept in the folder as soon as it is measured: the same call goes on after a
    kill, and another codec, setting, metric or picture costs its own points alone.

    Args:
        folder: new, or of an earlier call; held meanwhile.
        regions: as for `run`; shown in the equal-bytes gallery.
        metrics: by name; the default set where empty.
        anchor: the codec that the deltas are against; JPEG where it is swept, else the first.
        asked: values of the knobs instead of the default ones.
        workers: threads; None for one a core, at most eight.
        report: makes the page in the folder.
    Raises: VaebenchError before anything is measured; afterwards a picture or codec that fails is
        listed and the rest goes on.
    """
    asked = asked or Asked()
    sweeps = plan_sweeps(codecs, asked)
    suite = Suite.create(
        images=list(images),
        codecs=[sweep.opening_spec for sweep in sweeps],
        regions=list(regions),
        metrics=list(metrics),
        weights=weights,
    )
    _anchor(sweeps, anchor)
    with writing_folder(folder, "rd"):
        open_rd_folder(folder)
        _sweep(suite, sweeps, folder, anchor, asked, workers, command, progress)
        report(folder)
        return load_rd(folder)


def _sweep(
    suite: Suite,
    sweeps: Sequence[Sweep],
    folder: Path,
    anchor: str | None,
    asked: Asked,
    workers: int | None,
    command: str,
    progress: Progress,
) -> None:
    """Measure every point, and write what they come to."""
    plan = make_plan(suite, progress)
    sweeps = [
        settled(sweep, codec.info, _codebook(codec), asked)
        for sweep, codec in zip(sweeps, plan.codecs, strict=True)
    ]
    against = _anchor(sweeps, anchor)
    task = _task(plan, sweeps, folder)
    results = _measure(task, plan, workers, progress)
    points = point_table(task, plan.found.images, plan.columns)
    progress("Bjøntegaard deltas", 0, 1)
    missing = {entry.variant for entry in plan.unavailable}
    columns = [column for column in plan.columns if column.variant not in missing]
    names = [sweep.spec.name for sweep in sweeps]
    bd, bd_quality = delta_tables(points, columns, names, against, seed=SEED)
    progress("Bjøntegaard deltas", 1, 1)
    rows = [row for result in results for row in result.rows]
    rates = rate_table(task, plan.found.images)
    record = _record(folder, command, plan, task, against, results)
    write_rd(folder, record, (points, bd, bd_quality, rates, equal_table(rows, columns)))


def _codebook(codec: Codec) -> int | None:
    """Return how many entries a model has that quantises its latents itself."""
    from ..codecs.autoencoder.network import codebook_size

    vae = getattr(codec, "vae", None)
    return None if vae is None else codebook_size(vae)


def _anchor(sweeps: Sequence[Sweep], asked: str | None) -> str:
    """Return the codec that the others are compared with. Raises: SuiteError."""
    names = [sweep.spec.name for sweep in sweeps]
    if asked is not None:
        if asked not in names:
            raise SuiteError(unknown_name("anchor", asked, names))
        return asked
    swept = [sweep for sweep in sweeps if sweep.knob is not None]
    jpeg = [sweep for sweep in swept if sweep.spec.source == "jpeg"]
    return (*jpeg, *swept, *sweeps)[0].spec.name


def _task(plan: Plan, sweeps: Sequence[Sweep], folder: Path) -> Task:
    return Task(
        tuple(sweeps),
        tuple(codec.info for codec in plan.codecs),
        tuple(plan.suite.metrics or DEFAULT_METRICS),
        plan.suite.weights,
        plan.suite.background,
        PointCache(folder / POINTS, read_versions(plan.device)),
        folder / GALLERY,
    )


def _measure(
    task: Task, plan: Plan, workers: int | None, progress: Progress
) -> list[PictureResult]:
    """Measure every picture, and show how many points are done."""
    images = plan.found.images
    shown = choose_pictures(images, plan.regions)
    works = [
        PictureWork(image, tuple(shown.get(image.image_id, ())), image.image_id in shown)
        for image in images
    ]
    coders = sum(sweep.of_latents for sweep in task.sweeps)
    files = sum(sweep.knob in KNOBS.values() for sweep in task.sweeps)
    settings = sum(len(sweep.settings) for sweep in task.sweeps)
    total = len(images) * (settings + coders * files)
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        progress("measuring points", done, total)

    progress("measuring points", 0, total)
    return measure_pictures(task, works, workers, told)


def _record(
    folder: Path,
    command: str,
    plan: Plan,
    task: Task,
    anchor: str,
    results: Sequence[PictureResult],
) -> dict[str, Any]:
    """Return rd.json: what was measured, how, and what could not be."""
    codecs = [
        {
            **asdict(info),
            "knob": None if sweep.knob is None else sweep.knob.name,
            "swept": list(sweep.settings),
            "of_latents": sweep.of_latents,
        }
        for sweep, info in zip(task.sweeps, task.infos, strict=True)
    ]
    unavailable = [
        {"metric": entry.metric, "variant": entry.variant, "reason": entry.reason, "pictures": []}
        for entry in plan.unavailable
    ]
    unavailable += [
        {"metric": variant.partition("/")[0], "variant": variant, "reason": why, "pictures": ids}
        for (variant, why), ids in point_reasons(task, plan.found.images).items()
    ]
    return {
        "name": folder.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "environment": asdict(read_environment()),
        "versions": task.cache.versions,
        "anchor": anchor,
        "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": SEED},
        "codecs": codecs,
        "metrics": [asdict(column) for column in plan.columns],
        "unavailable": unavailable,
        "failures": _failures([entry for result in results for entry in result.failures]),
        "images": [asdict(image) for image in plan.found.images],
        "skipped": [asdict(image) for image in plan.found.skipped],
        "unused_regions": list(plan.unused_regions),
        "gallery": _gallery(plan, results),
    }


def _failures(failures: Sequence[RdFailure]) -> list[dict[str, Any]]:
    """Return what failed, one entry a reason."""
    found: dict[str, dict[str, Any]] = {}
    for entry in failures:
        blank = {"reason": entry.reason, "codecs": [], "settings": [], "pictures": []}
        group = found.setdefault(entry.reason, blank)
        named = (("codecs", entry.codec), ("settings", entry.setting), ("pictures", entry.image_id))
        for name, value in named:
            if value not in group[name]:
                group[name].append(value)
    return list(found.values())


def _gallery(plan: Plan, results: Sequence[PictureResult]) -> dict[str, Any]:
    """Return the pictures that were kept, with their regions, and a row each reconstruction."""
    shown = choose_pictures(plan.found.images, plan.regions)
    references = {result.image_id: result.reference for result in results}
    pictures = [
        {
            "image_id": image_id,
            "reference": references[image_id],
            "regions": [region_to_json(region) for region in regions],
        }
        for image_id, regions in shown.items()
        if references.get(image_id) is not None
    ]
    rows = [asdict(row) for result in results for row in result.rows if row.picture is not None]
    return {"pictures": pictures, "rows": rows}
