"""The command about rate and distortion: rd."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

RD_EXAMPLES = """Examples:

vaebench rd --codec demo-f8c4 --codec jpeg --codec webp --codec avif --images photos

vaebench rd --codec mine=./my-vae --codec jpeg --sweep mine=0.2,0.5,1,2 --images photos

A sweep that was stopped goes on when the same command is given again.
"""


def rd(
    codec: Annotated[
        list[str],
        typer.Option(
            "--codec",
            metavar="[NAME=]SPEC",
            help="A checkpoint, or jpeg, webp, avif, jpegxl, jpeg2000, resize. A knob that the "
            "spec holds fixed (jpeg:q=75) gives one point. Repeatable.",
        ),
    ],
    images: Annotated[
        list[str] | None, typer.Option("--images", help="As for run (sample). Repeatable.")
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option("--regions", help="As for run; shown at equal bytes. Repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="As for run. Repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", help="Folder of the metrics' weights (default: $VAEBENCH_WEIGHTS)."
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="The codec that BD-rate is against (jpeg, else the first)."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="CODEC=V,V,…",
            help="Settings of one codec instead of the default ones: steps in standard deviations "
            "of a channel, or q. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes (one a core, at most 8)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder, new or to go on with (rd/<images>)."),
    ] = None,
) -> None:
    """Turn every codec's quality knob: what the bytes buy, as curves, BD-rates and pictures."""
    from ...reports.write_rate import write_rd_report
    from ..rate.knobs import Asked
    from ..rate.sweep import rate_distortion
    from ..suite import CodecSpec
    from .progress import shown_progress
    from .rate_listing import list_rd
    from .speed import typed_command

    sources = images or ["sample"]
    with shown_progress() as progress, _stoppable():
        found = rate_distortion(
            [CodecSpec.parse(text) for text in codec],
            sources,
            out or Path("rd") / (Path(sources[0].rstrip("/")).stem or "images"),
            regions=regions or (),
            metrics=metric or (),
            weights=weights,
            anchor=anchor,
            asked=Asked.parse(sweep or ()),
            workers=workers,
            command=typed_command(),
            progress=progress,
            report=write_rd_report,
        )
    for line in list_rd(found):
        typer.echo(line)
    typer.echo(f"Report: {found.folder / 'rd.html'}")


@contextmanager
def _stoppable() -> Generator[None]:
    """Say of Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Stopped; all points so far are kept. Give the same command again to go on."
        ) from None
