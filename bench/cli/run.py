"""The commands that make a run and add to one: run, report, score; what one would use: images."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Fit, History, RunFolder, Weights, stoppable, tell, typed_command
from .terminal import say

if TYPE_CHECKING:
    from ..suite import Suite

RUN_EXAMPLES = """Examples:

vaebench run

vaebench run --images photos --codec mine=./my-vae --codec jpeg:q=75

vaebench run --codec a=./vae-a --codec b=./vae-b --size 512 --fit crop

vaebench run --codec org/name:dtype=float16 --save-suite suite.toml

vaebench run --suite suite.toml --out runs/mine

vaebench run --resume runs/mine
"""
REPORT_EXAMPLES = "Example: vaebench report runs/mine --single-file"
SCORE_EXAMPLES = "Example: vaebench score runs/mine --metric ciede2000"
IMAGES_EXAMPLES = "Example: vaebench images photos --regions photos/regions.json"


def run(
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            help="A folder, glob, list file (.txt) or picture; `sample` is built in. Repeatable.",
        ),
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec",
            metavar="[NAME=]SPEC",
            help="A checkpoint (folder, file or hub id) or jpeg:q=75, webp:q=80, avif:q=60, "
            "jpeg2000, png, resize:8; settings after a colon. Repeatable.",
        ),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option("--regions", help="regions.json, COCO, or `masks`. Repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="psnr, mse, mae, ssim, ssim-luma, ms-ssim, lpips-alex|squeeze|vgg, flip, "
            "ciede2000, torchmetrics:NAME, pyiqa:NAME. Repeatable.",
        ),
    ] = None,
    weights: Weights = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Side in px; native size where it is not given.")
    ] = None,
    fit: Fit = None,
    unrounded: Annotated[
        bool, typer.Option("--float", help="Score reconstructions before rounding to 8 bits.")
    ] = False,
    background: Annotated[
        str | None, typer.Option("--background", help="Under transparent pixels (#ffffff).")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Pictures of one size at a time (1).")
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", help="Which pictures stay: all, worst or none (all).")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="A suite.toml; options given here go before it.")
    ] = None,
    save_suite: Annotated[
        Path | None, typer.Option("--save-suite", help="Write what these options mean, then run.")
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Time the codecs too, at --size (512) and batch 1.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The new run folder (runs/<date>-<images>).")
    ] = None,
    history: History = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a stopped run.")
    ] = None,
) -> None:
    """Encode, decode and score pictures with every codec; write tables, plots and a report."""
    from .. import api
    from ..suite import CodecSpec
    from ..timing.startup import keep_freed_memory
    from .listing import tell_run, told_without_report
    from .progress import shown_progress

    keep_freed_memory()
    fields: dict[str, Any] = {
        "images": images,
        "codecs": codec,
        "regions": regions,
        "metrics": metric,
        "weights": weights,
        "size": size,
        "fit": fit,
        "rounding": "float" if unrounded else None,
        "background": background,
        "batch_size": batch_size,
        "keep": keep,
        "speed": {"sizes": [size or 512]} if speed else None,
    }
    given = {key: value for key, value in fields.items() if value is not None and value != []}
    if resume is not None:
        trusted = [text for text in codec or () if CodecSpec.parse(text).asks_for_trust]
        if given.keys() - {"codecs"} or trusted != (codec or []) or suite or save_suite or out:
            raise typer.BadParameter(
                "--resume goes on with a run as it began: no other options but --codec, for one "
                "that is trusted to run code of its checkpoint"
            )
        with told_without_report(resume), shown_progress() as progress, _resumable(resume):
            stored = api.resume(resume, progress, history, trusted)
    else:
        chosen = suite_of(suite, given)
        if save_suite is not None:
            from ..store.atomic import write_output

            write_output(save_suite, chosen.to_toml().encode())
        folder = out or api.default_folder(chosen)
        with told_without_report(folder), shown_progress() as progress, _resumable(folder):
            stored = api.run(chosen, folder, progress, typed_command(), history)
    tell_run(stored)


def report(
    folder: RunFolder,
    single_file: Annotated[
        bool,
        typer.Option("--single-file", help="Put all that the page shows into report.html."),
    ] = False,
) -> None:
    """Make the tables, plots and report.html of a stored run again."""
    from .. import api
    from .progress import shown_progress

    with shown_progress() as progress:
        path = api.report(folder, progress, single_file=single_file)
    say(f"Report: {path}")


def score(
    folder: RunFolder,
    metric: Annotated[list[str], typer.Option("--metric", help="As for run. Repeatable.")],
    weights: Weights = None,
) -> None:
    """Add metrics to a finished run from its stored pictures, without running a model."""
    from .. import api
    from .listing import tell_run, told_without_report
    from .progress import shown_progress

    with told_without_report(folder), shown_progress() as progress:
        stored = api.score(folder, metric, weights, progress)
    tell_run(stored)


def images(
    sources: Annotated[list[str], typer.Argument(metavar="PATH...", help="As for run --images.")],
    regions: Annotated[
        list[str] | None, typer.Option("--regions", help="As for run. Repeatable.")
    ] = None,
) -> None:
    """List the pictures and regions that a run would use, and what is wrong with the others."""
    from .listing import list_images

    tell(list_images(sources, regions or []))


def suite_of(path: Path | None, given: dict[str, Any]) -> Suite:
    """Return the suite of a file, of options, or of both: options go before the file."""
    from ..api import DEFAULT_CODECS
    from ..suite import Suite

    if path is None:
        return Suite.create(**{"codecs": list(DEFAULT_CODECS), **given})
    loaded = Suite.load(path)
    return Suite.create(**{**dict(loaded), **given}) if given else loaded


def _resumable(folder: Path) -> AbstractContextManager[None]:
    return stoppable(
        "Stopped; finished pictures are kept. Go on: vaebench run --resume "
        f"{shlex.quote(str(folder))}",
        begun=folder / "run.json",
    )
