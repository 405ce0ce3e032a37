"""The commands about time: speed, ab, history."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import VaebenchError
from .options import History, Json, answer, tell, typed_command
from .terminal import say, say_text

SPEED_EXAMPLES = """Examples:

vaebench speed

vaebench speed --codec sd=./sd-vae --size 512 --size 1024 --batch 1 --batch 8 --dtype float16

vaebench speed --codec sd=./sd-vae --stage decode --setting eager --setting compile
"""
AB_EXAMPLES = """Examples:

vaebench ab ./vae-old ./vae-new --size 512 --threshold 3%

vaebench ab ./vae ./vae:compile --stage decode --dtype float16

vaebench ab ./vae ./vae --base-python ../venv-old/bin/python

Exit code: 0 clean or faster, 1 regressed, 3 inconclusive, 2 wrong usage.
"""
HISTORY_EXAMPLES = """Examples:

vaebench history

vaebench history --codec sd --plot trend.png

vaebench history --export pytest-benchmark --out history.json
"""

Codecs = Annotated[
    list[str] | None,
    typer.Option(
        "--codec",
        metavar="[NAME=]SPEC",
        help="As for run; the demonstration checkpoints where none is named. Repeatable.",
    ),
]
Sizes = Annotated[list[int] | None, typer.Option("--size", help="Side in px (512). Repeatable.")]
Batches = Annotated[list[int] | None, typer.Option("--batch", help="Batch (1). Repeatable.")]
Dtypes = Annotated[
    list[str] | None,
    typer.Option(
        "--dtype",
        help="float16, bfloat16, float32 (float16 on CUDA, else float32). Repeatable.",
    ),
]
Stages = Annotated[
    list[str] | None,
    typer.Option("--stage", help="encode, decode, roundtrip (all three). Repeatable."),
]
Modes = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        help="eager, channels_last, compile, channels_last+compile (eager). Repeatable.",
    ),
]


def speed(
    codec: Codecs = None,
    size: Sizes = None,
    batch: Batches = None,
    dtype: Dtypes = None,
    stage: Stages = None,
    setting: Modes = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The new run folder (runs/<date>-speed).")
    ] = None,
    history: History = None,
) -> None:
    """Time encoding and decoding: every codec, size, batch, precision, stage and setting."""
    from .. import api
    from ..suite import Suite
    from .listing import tell_run, told_without_report
    from .progress import shown_progress

    asked: dict[str, Any] = {
        "sizes": size,
        "batches": batch,
        "dtypes": dtype,
        "stages": stage,
        "modes": setting,
    }
    given = {key: value for key, value in asked.items() if value}
    suite = Suite.create(codecs=codec or list(api.DEFAULT_SPEED_CODECS), speed=given)
    folder = out or api.default_folder(suite, "speed")
    with told_without_report(folder), shown_progress() as progress:
        stored = api.speed(suite, folder, progress, typed_command(), history)
    tell_run(stored)


def ab(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A codec, as for run --codec.")],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The codec that may be slower.")],
    threshold: Annotated[
        str, typer.Option("--threshold", help="The slowdown that matters.")
    ] = "3%",
    size: Annotated[int, typer.Option("--size", help="Side in px.")] = 512,
    batch: Annotated[int, typer.Option("--batch", help="Batch.")] = 1,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="float16, bfloat16, float32 (float16 on CUDA, else float32)."),
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help="encode, decode or roundtrip.")] = "decode",
    base_python: Annotated[
        Path | None, typer.Option("--base-python", help="The interpreter that runs BASE.")
    ] = None,
    head_python: Annotated[
        Path | None, typer.Option("--head-python", help="The interpreter that runs HEAD.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer whether HEAD is slower than BASE by the threshold or more."""
    from ..suite import CodecSpec
    from ..timing.ab import EXIT_CODES
    from ..timing.ab import ab as compare
    from .progress import shown_progress

    with shown_progress() as progress:
        result = compare(
            CodecSpec.parse(base),
            CodecSpec.parse(head),
            stage=stage,
            size=size,
            batch=batch,
            dtype=dtype,
            threshold=read_share(threshold),
            base_python=base_python,
            head_python=head_python,
            progress=progress,
        )
    answer(result.to_dict(), result.sentences(), as_json)
    raise typer.Exit(EXIT_CODES[result.decision.verdict])


class ExportFormat(StrEnum):
    """What `vaebench history --export` writes."""

    PYTEST_BENCHMARK = "pytest-benchmark"
    CSV = "csv"
    GITHUB_ACTION_BENCHMARK = "github-action-benchmark"


def history(
    history: History = None,
    codec: Annotated[str | None, typer.Option("--codec", help="Of this codec alone.")] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="The newest of each cell alone.")
    ] = None,
    export: Annotated[
        ExportFormat | None, typer.Option("--export", help="Write this instead of a listing.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the trends into this .png or .svg.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where --export writes (the terminal).")
    ] = None,
) -> None:
    """List the trend of each cell that was ever measured, with suspected steps marked."""
    from ..store.atomic import write_output
    from ..store.history.database import open_history, trend
    from ..store.history.listing import list_trends

    opened = open_history(history, to_read=True)
    if opened is None:
        raise VaebenchError("The history is off. Pass --history PATH, or a postgresql:// URL.")
    frame = opened.read(codec=codec, last=last)
    if export is not None:
        from ..store.history.export import export as exported

        text = exported(frame, export.value)
        if out is None:
            say_text(text, is_json=export is not ExportFormat.CSV)
        else:
            write_output(out, text.encode())
        return
    tell(list_trends(trend(frame)))
    if plot is not None:
        from ...reports.plots.trend import write_trend

        # Behind a link, as other files that were named.
        write_trend(trend(frame), plot.resolve() if plot.is_symlink() else plot)
        say(f"Plot: {plot}")


def read_share(text: str) -> float:
    """Return the share that `3%` or `0.03` means.

    Raises: VaebenchError where it is none, or not between 0 and 100 %.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise VaebenchError(f"The threshold {text!r} is no share of 0 to 100 %. Write, say, 3%.")
    return share
