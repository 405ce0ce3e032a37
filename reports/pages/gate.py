"""What a gate found, for the summary page of a CI job."""

from __future__ import annotations

from collections.abc import Sequence

from ...bench.compare.gate.result import CONFIDENCE, HEADER, GateResult, cells
from ..tables.writers import markdown_text


def gate_markdown(result: GateResult) -> str:
    """Return a section of GitHub-flavoured Markdown, all text escaped."""
    rows = [HEADER, *(cells(outcome) for outcome in result.outcomes)]
    table = [_row([markdown_text(cell) for cell in row]) for row in rows]
    table.insert(1, _row([":--"] * len(HEADER)))
    told = [
        f"- **{outcome.verdict}**: {markdown_text(outcome.codec)}, "
        f"{markdown_text(outcome.rule)}: {markdown_text(outcome.sentence)}"
        for outcome in result.outcomes
        if outcome.verdict != "pass"
    ]
    against = f"Baseline: {markdown_text(result.baseline)}. " if result.baseline else ""
    runs = ", ".join(markdown_text(run) for run in result.runs)
    blocks = [
        f"### {markdown_text(result.summary)}",
        "\n".join(table),
        "\n".join(told),
        f"{against}Runs: {runs}. {CONFIDENCE}",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
