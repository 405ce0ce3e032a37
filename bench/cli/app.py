"""The command line: what was asked becomes a suite; what went wrong becomes a sentence."""

from __future__ import annotations

import shlex
import signal
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ..errors import VaebenchError
from ..store.lock import DISK_ERRORS
from ..timing.startup import spare_the_collector
from . import code as cli_code
from . import compare as cli_compare
from . import doctor as cli_doctor
from . import rate as cli_rd
from . import speed as cli_speed

if TYPE_CHECKING:
    from ..store.run import StoredRun
    from ..suite import Suite

app = typer.Typer(
    name="vaebench",
    help="Measure what image autoencoders do to your pictures: how much they lose, where, and "
    "what the bytes buy.",
    epilog="Try: vaebench run    (demonstration checkpoints on sample pictures)",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN_EXAMPLES = """Examples:

vaebench run

vaebench run --images photos --codec mine=./my-vae --codec jpeg:q=75

vaebench run --codec a=./vae-a --codec b=./vae-b --size 512 --fit crop

vaebench run --codec org/name:dtype=float16 --save-suite suite.toml

vaebench run --suite suite.toml --out runs/mine

vaebench run --resume runs/mine
"""


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import version

        typer.echo(f"vaebench {version('vaebench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Take the options that stand before a command."""


Images = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        help="A folder, glob, list file (.txt) or picture; `sample` is built in. Repeatable.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Folder of the metrics' weights (default: $VAEBENCH_WEIGHTS)."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]


@app.command(epilog=RUN_EXAMPLES)
def run(
    images: Images = None,
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
    fit: Annotated[
        str | None, typer.Option("--fit", help="With --size: crop, squash or pad.")
    ] = None,
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
    history: cli_speed.History = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a stopped run.")
    ] = None,
) -> None:
    """Encode, decode and score pictures with every codec; write tables, plots and a report."""
    from .. import api
    from ..timing.startup import keep_freed_memory
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
        if given or suite or save_suite or out:
            raise typer.BadParameter("--resume goes on with a run as it began: no other options")
        with shown_progress() as progress, _stoppable(resume):
            stored = api.resume(resume, progress, history)
    else:
        chosen = _suite(suite, given)
        if save_suite is not None:
            from ..store.atomic import write_output

            write_output(save_suite, chosen.to_toml().encode())
        folder = out or api.default_folder(chosen)
        with shown_progress() as progress, _stoppable(folder):
            command = cli_speed.typed_command()
            stored = api.run(chosen, folder, progress, command, history)
    _show(stored)


@app.command(epilog="Example: vaebench report runs/mine --single-file")
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
    typer.echo(f"Report: {path}")


@app.command(epilog="Example: vaebench score runs/mine --metric ciede2000")
def score(
    folder: RunFolder,
    metric: Annotated[list[str], typer.Option("--metric", help="As for run. Repeatable.")],
    weights: Weights = None,
) -> None:
    """Add metrics to a finished run from its stored pictures, without running a model."""
    from .. import api
    from .progress import shown_progress

    with shown_progress() as progress:
        stored = api.score(folder, metric, weights, progress)
    _show(stored)


@app.command(epilog="Example: vaebench images photos --regions photos/regions.json")
def images(
    sources: Annotated[list[str], typer.Argument(metavar="PATH...", help="As for run --images.")],
    regions: Annotated[
        list[str] | None, typer.Option("--regions", help="As for run. Repeatable.")
    ] = None,
) -> None:
    """List the pictures and regions that a run would use, and what is wrong with the others."""
    from .listing import list_images

    for line in list_images(sources, regions or []):
        typer.echo(line)


app.command(epilog=cli_rd.RD_EXAMPLES)(cli_rd.rd)
app.command(epilog=cli_code.ENCODE_EXAMPLES)(cli_code.encode)
app.command(epilog=cli_code.DECODE_EXAMPLES)(cli_code.decode)
app.command(epilog=cli_speed.SPEED_EXAMPLES)(cli_speed.speed)
app.command(epilog=cli_speed.AB_EXAMPLES)(cli_speed.ab)
app.command(epilog=cli_speed.HISTORY_EXAMPLES)(cli_speed.history)
app.command(epilog=cli_compare.COMPARE_EXAMPLES)(cli_compare.compare)
app.command(epilog=cli_compare.GATE_EXAMPLES)(cli_compare.gate)
app.command(epilog=cli_compare.EXPLAIN_EXAMPLES)(cli_compare.explain)
app.command(epilog=cli_compare.LADDER_EXAMPLES)(cli_compare.ladder)
app.command(epilog=cli_doctor.DOCTOR_EXAMPLES)(cli_doctor.doctor)


def _suite(path: Path | None, given: dict[str, Any]) -> Suite:
    """Return the suite of a file, of options, or of both: options go before the file."""
    from ..api import DEFAULT_CODECS
    from ..suite import Suite

    if path is None:
        return Suite.create(**{"codecs": list(DEFAULT_CODECS), **given})
    loaded = Suite.load(path)
    return Suite.create(**{**loaded.model_dump(), **given}) if given else loaded


@contextmanager
def _stoppable(folder: Path) -> Generator[None]:
    """Turn Ctrl-C into a sentence that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / "run.json").is_file():
            raise
        raise KeyboardInterrupt(
            "Stopped; finished pictures are kept. Go on: vaebench run --resume "
            f"{shlex.quote(str(folder))}"
        ) from None


def _show(stored: StoredRun) -> None:
    """Print the summary, what was left out, and where the report is."""
    from .listing import summarise

    for line in summarise(stored):
        typer.echo(line)


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show our own warnings as a sentence, and others as Python does."""
    if category.__module__.startswith("vaebench."):
        typer.echo(f"Warning: {message}", err=True)
    else:
        _python_warning(message, category, *where, **more)


_python_warning = warnings.showwarning


def _fail(sentence: str) -> NoReturn:
    with suppress(OSError):
        typer.echo(f"Error: {sentence}", err=True)
    sys.exit(2)


def _interruption(ended: BaseException | None) -> KeyboardInterrupt | None:
    """Return the Ctrl-C that ended the command, which Typer turns into an exit; None for others."""
    if isinstance(ended, SystemExit) and ended.code != 130:
        return None
    while ended is not None and not isinstance(ended, KeyboardInterrupt):
        ended = ended.__cause__ or ended.__context__
    return ended


def main() -> None:
    """Run the command; an error that the user can mend is one sentence and exit code 2."""
    warnings.showwarning = _warn
    spare_the_collector()
    # As an exit, so that what was made for the time being is removed.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except VaebenchError as error:
        if "--debug" in sys.argv:
            raise
        _fail(str(error))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if "--debug" in sys.argv or (error.filename is None and error.errno not in DISK_ERRORS):
            raise
        if error.filename is None:
            # Of the terminal, or what it is sent to: files are spoken of where they are written.
            _fail(f"Cannot write: {reason}.")
        # Of a file or folder that no reader spoke of: most often one without rights.
        _fail(f"Cannot use {error.filename}: {reason}. Check its rights.")
    except (KeyboardInterrupt, SystemExit) as ended:
        stop = _interruption(ended)
        if stop is None:
            raise
        with suppress(OSError):
            typer.echo(str(stop) or "Stopped.", err=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
