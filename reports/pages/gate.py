"""What a gate found: gate.html, and Markdown for the summary page of a CI job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...bench.compare.gate.result import CONFIDENCE, GateResult
from ..tables.writers import markdown_table, markdown_text
from .answer import VERDICTS, Answer, Interval
from .made import moment


def gate_page(result: Mapping[str, Any], command: str = "") -> str:
    """Return the page of a gate.

    Args:
        result: what `vaebench gate --json` prints.
        command: how it was called.
    """
    rules: Sequence[Mapping[str, Any]] = result["rules"]
    verdict = str(result["verdict"])
    counts = [
        f"{number} {word}"
        for word in VERDICTS
        if (number := sum(rule["verdict"] == word for rule in rules))
    ]
    against = f" against {result['baseline']}" if result["baseline"] else ""
    judged = list(dict.fromkeys(str(rule["codec"]) for rule in rules))
    return Answer(
        kind="gate",
        title=str(result["gate"]),
        question=f"May {', '.join(judged)} pass{against}?",
        figure=verdict,
        tone=VERDICTS[verdict],
        answer=f"{', '.join(counts)} of {len(rules)} rule{'' if len(rules) == 1 else 's'}; "
        f"exit code {result['exit_code']}.",
        protocol=(("runs", ", ".join(result["runs"])), ("made", moment(result["created"]))),
        rules=tuple(rules),
        intervals=tuple(_interval(rule) for rule in rules),
        reading=(
            (
                "Interval",
                "95 % confidence of the mean over pictures, as in vaebench compare; of latency, "
                "as vaebench ab decides. The bar is the interval, the mark the estimate, the line "
                "the limit; the tinted side keeps the rule.",
            ),
            (
                "Verdict",
                "A rule passes where the whole interval keeps it, fails where none of it does, and "
                "is inconclusive between. The gate fails where any rule fails, else it is "
                "inconclusive where any is.",
            ),
        ),
        command=command,
    ).html()


def _interval(rule: Mapping[str, Any]) -> Interval | None:
    """Return the picture of a rule's interval; None where it has none."""
    if "latency" in rule:
        found = rule["latency"]
        numbers = (found["low"], found["high"], found["effect"], found["threshold"])
        keeps_below = True
    else:
        limit = rule.get("limit")
        is_relative = rule.get("condition") == "not worse by more than"
        keeps_below = rule.get("condition") == "at most"
        if is_relative and limit is not None:
            keeps_below = not rule["higher_is_better"]
            limit = limit if keeps_below else -limit
        numbers = (rule.get("ci_low"), rule.get("ci_high"), rule.get("estimate"), limit)
    known = [float(number) for number in numbers if number is not None]
    if len(known) < len(numbers) or not all(map(math.isfinite, known)):
        return None
    least, greatest = min(known), max(known)
    margin = 0.12 * (greatest - least) or 1.0
    start, width = least - margin, greatest - least + 2 * margin
    low, high, estimate, limit = (round(100 * (number - start) / width, 2) for number in known)
    return Interval(low, high, estimate, limit, (0, limit) if keeps_below else (limit, 100))


def gate_markdown(result: GateResult) -> str:
    """Return a section of GitHub-flavoured Markdown, all text escaped."""
    header, *rows = result.rows()
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
        markdown_table(header, rows, [False] * len(header)),
        "\n".join(told),
        f"{against}Runs: {runs}. {CONFIDENCE}",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"
