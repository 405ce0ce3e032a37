"""The table of commands, and what went wrong as a sentence."""

from __future__ import annotations

import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from ..errors import VaebenchError
from ..store.lock import DISK_ERRORS
from ..timing.startup import spare_the_collector
from . import compare, doctor, rate, run, speed
from .terminal import say, say_text, say_traceback

app = typer.Typer(
    name="vaebench",
    help="Measure what image autoencoders do to your pictures: how much they lose, where, and "
    "what the bytes buy.",
    epilog="Try: vaebench run    (demonstration checkpoints on sample pictures)",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = {
    run.run: run.RUN_EXAMPLES,
    run.report: run.REPORT_EXAMPLES,
    run.score: run.SCORE_EXAMPLES,
    run.images: run.IMAGES_EXAMPLES,
    rate.rd: rate.RD_EXAMPLES,
    rate.encode: rate.ENCODE_EXAMPLES,
    rate.decode: rate.DECODE_EXAMPLES,
    speed.speed: speed.SPEED_EXAMPLES,
    speed.ab: speed.AB_EXAMPLES,
    speed.history: speed.HISTORY_EXAMPLES,
    compare.compare: compare.COMPARE_EXAMPLES,
    compare.gate: compare.GATE_EXAMPLES,
    compare.explain: compare.EXPLAIN_EXAMPLES,
    compare.ladder: compare.LADDER_EXAMPLES,
    doctor.doctor: doctor.DOCTOR_EXAMPLES,
}
for _command, _examples in COMMANDS.items():
    app.command(epilog=_examples)(_command)


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import version

        say(f"vaebench {version('vaebench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Take the options that stand before a command."""


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show our own warnings as a sentence, and others as Python does."""
    if category.__module__.startswith("vaebench."):
        say(f"Warning: {message}", to_stderr=True)
    else:
        filename, lineno, *_ = where
        say_text(warnings.formatwarning(message, category, filename, lineno), to_stderr=True)


def _fail(sentence: str) -> NoReturn:
    with suppress(OSError):
        say(f"Error: {sentence}", to_stderr=True)
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
            say(str(stop) or "Stopped.", to_stderr=True)
        sys.exit(130)
    finally:
        # Behind Typer, which has a hook of its own.
        sys.excepthook = say_traceback
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
