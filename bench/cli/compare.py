"""The commands about differences: compare, gate, explain, ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SuiteError, VaebenchError
from .options import Fit, Html, Images, Json, RunFolder, Weights, answer, tell, typed_command

COMPARE_EXAMPLES = """Examples:

vaebench compare runs/finetune

vaebench compare runs/before runs/after --baseline sd-vae --out comparisons/after

vaebench compare runs/mine --quoted published.toml --margin psnr=0.2
"""
GATE_EXAMPLES = """Examples:

vaebench gate gate.toml

vaebench gate gate.toml --junit gate.xml --markdown "$GITHUB_STEP_SUMMARY"

Exit code: 0 pass, 1 fail, 3 inconclusive, 2 wrong usage.
"""
EXPLAIN_EXAMPLES = "Example: vaebench explain runs/kodak --metric psnr --quoted 30.2"
LADDER_EXAMPLES = "Example: vaebench ladder --codec sd=./sd-vae --images photos --out ladders/sd"


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="The codec to compare with (the first of the first run)."),
    ] = None,
    quoted: Annotated[
        Path | None,
        typer.Option("--quoted", help="A TOML of published figures, shown and never mixed."),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", metavar="METRIC=VALUE", help="What is no difference. Repeatable."),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Show runs of another protocol apart, unmixed."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new folder (comparisons/<date>-<baseline>)."),
    ] = None,
) -> None:
    """Tell for every metric and region which codec is better, how surely, and on which pictures."""
    from .. import api
    from .listing import list_comparison
    from .progress import shown_progress

    with shown_progress() as progress:
        found = api.compare(
            folders,
            out,
            baseline=baseline,
            quoted=quoted,
            allow_mismatch=allow_mismatch,
            margins=read_margins(margin or []),
            command=typed_command(),
            progress=progress,
        )
    tell(list_comparison(found))


def gate(
    path: Annotated[Path, typer.Argument(metavar="GATE.toml", help="The rules.")],
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the verdicts as JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", help="Append them as Markdown, for a CI summary page."),
    ] = None,
    html: Html = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder, where the gate makes a run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Pass, fail or be inconclusive by rules about quality and latency."""
    from ...reports.pages.gate import gate_markdown, gate_page
    from ..compare.gate.gate import run_gate
    from ..store.atomic import write_output
    from .listing import list_gate
    from .progress import shown_progress

    with shown_progress() as progress:
        result = run_gate(path, out=out, progress=progress, command=typed_command())
    lines = list_gate(result)
    # Files first: the terminal may be a pipe that nobody reads to its end.
    if junit is not None:
        write_output(junit, result.to_junit(lines).encode())
    if markdown is not None:
        try:
            # Appended: a CI summary page holds what other steps have written.
            with markdown.open("a", encoding="utf-8") as page:
                page.write(gate_markdown(result))
        except OSError as error:
            raise VaebenchError(f"Cannot write {markdown}: {error.strerror}.") from error
    if html is not None:
        write_output(html, gate_page(result.to_dict(), typed_command()).encode())
    answer(result.to_dict(), lines, as_json)
    raise typer.Exit(result.exit_code)


def explain(
    folder: RunFolder,
    metric: Annotated[str, typer.Option("--metric", help="psnr, mse, ssim, ms-ssim or lpips.")],
    quoted: Annotated[str, typer.Option("--quoted", help="The figure, with its decimals.")],
    codec: Annotated[str | None, typer.Option("--codec", help="Of this codec alone.")] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Instead of half a last digit.")
    ] = None,
    weights: Weights = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Find the variants of a metric that give a quoted figure on a run's stored pictures."""
    from ...reports.pages.explain import explain_page
    from ..compare.explain.explain import explain as explained
    from ..store.atomic import write_output
    from ..store.run import load_run
    from .progress import shown_progress

    with shown_progress() as progress:
        found = explained(load_run(folder), metric, quoted, codec, tolerance, weights, progress)
    if html is not None:
        write_output(html, explain_page(found.to_dict(), typed_command()).encode())
    answer(found.to_dict(), found.lines(), as_json)


def ladder(
    codec: Annotated[str, typer.Option("--codec", metavar="[NAME=]SPEC", help="As for run.")],
    images: Images = None,
    size: Annotated[int | None, typer.Option("--size", help="A rung that resizes, in px.")] = None,
    fit: Fit = None,
    generations: Annotated[
        list[int] | None,
        typer.Option("--generations", help="Round trips (1, 2, 4, 8). Repeatable."),
    ] = None,
    weights: Weights = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write ladder.html, its table and its plot there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the loss of a codec apart: sampling, precision, 8-bit latents, tiling, generations."""
    from ...reports.pages.ladder import write_ladder
    from ..scoring.ladder.ladder import ladder as climbed
    from ..suite import CodecSpec
    from .listing import list_ladder
    from .progress import shown_progress

    with shown_progress() as progress:
        result = climbed(
            CodecSpec.parse(codec),
            images or ["sample"],
            size=size,
            fit=fit,
            weights=weights,
            generations=tuple(generations or (1, 2, 4, 8)),
            progress=progress,
        )
    if out is not None:
        told = (result.title(), result.rows(), result.notes())
        write_ladder(out, result.to_dict(), result.table, told, typed_command())
    answer(result.to_dict(), list_ladder(result), as_json)


def read_margins(texts: list[str]) -> dict[str, float]:
    """Return the margins that `psnr=0.2` means, by metric or variant.

    Raises: SuiteError where one is not written so, or is no number from 0.
    """
    margins: dict[str, float] = {}
    for text in texts:
        metric, _, value = text.rpartition("=")
        try:
            margins[metric] = float(value)
        except ValueError:
            metric = ""
        if not metric or not 0 <= margins[metric] < float("inf"):
            raise SuiteError(f"Cannot read the margin {text!r}. Write METRIC=VALUE, say psnr=0.2.")
    return margins
