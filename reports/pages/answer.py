"""The pages of commands that answer one question: gate.html, explain.html, ladder.html.

Each is made from what the command's `--json` prints, opens from disk, and has no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from ..render import render
from ..tables.columns import NOT_APPLICABLE, UNAVAILABLE
from ..tables.reading import Section, significant

_UNFOLDED_ROWS = 12
_VERDICTS = {"pass": "better", "fail": "worse", "inconclusive": "undecided"}


@dataclass(frozen=True)
class Interval:
    """Where an estimate, its interval and a limit lie on one axis, in per cent of its width.

    `allowed` is the part of the axis that keeps the rule, from and to.
    """

    low: float
    high: float
    estimate: float
    limit: float
    allowed: tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """One page: a question, the answer in a word or figure, and what it rests on."""

    kind: str
    title: str
    question: str
    figure: str
    tone: str
    answer: str
    protocol: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    intervals: tuple[Interval | None, ...] = ()
    plot: str | None = None
    caption: str = ""
    notices: tuple[str, ...] = ()
    reading: tuple[tuple[str, str], ...] = field(default=())
    command: str = ""

    def html(self) -> str:
        """Return the page."""
        return render(
            "answer.html.j2",
            {
                "page": self,
                "tones": _VERDICTS,
                "unfolded": _UNFOLDED_ROWS,
                "version": version("vaebench"),
            },
        )


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
        for word in _VERDICTS
        if (number := sum(rule["verdict"] == word for rule in rules))
    ]
    against = f" against {result['baseline']}" if result["baseline"] else ""
    judged = list(dict.fromkeys(str(rule["codec"]) for rule in rules))
    return Answer(
        kind="gate",
        title=str(result["gate"]),
        question=f"May {', '.join(judged)} pass{against}?",
        figure=verdict,
        tone=_VERDICTS[verdict],
        answer=f"{', '.join(counts)} of {len(rules)} rule{'' if len(rules) == 1 else 's'}; "
        f"exit code {result['exit_code']}.",
        protocol=(("runs", ", ".join(result["runs"])), ("made", _moment(result))),
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


def _moment(result: Mapping[str, Any]) -> str:
    return f"{str(result['created']).replace('T', ' ')} UTC"


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


def explain_page(explanation: Mapping[str, Any], command: str = "") -> str:
    """Return the page of a quoted figure.

    Args:
        explanation: what `vaebench explain --json` prints.
        command: how it was called.
    """
    unit = f" {explanation['unit']}" if explanation["unit"] else ""
    matches, computed = explanation["matches"], explanation["computed"]
    quoted = f"{explanation['quoted']:.10g}{unit}"
    several = len(matches) != 1
    sections = [
        _findings("What gives it", matches, explanation),
        _findings("What comes nearest", explanation["nearest"], explanation),
        _findings("Everything computed", computed, explanation),
        _reasons(explanation["not_computable"]),
    ]
    return Answer(
        kind="quoted figure",
        title=f"{explanation['metric']} {quoted}",
        question=f"How could {explanation['run']} have given {explanation['metric']} {quoted}?",
        figure=f"{len(matches)} of {len(computed)}" if matches else "none",
        tone="better" if matches else "undecided",
        answer=(
            f"figures computed from the stored pictures give{'' if several else 's'} it to within "
            f"{explanation['tolerance']:.3g}{unit}."
            if matches
            else f"of {len(computed)} figures computed from the stored pictures gives it to within "
            f"{explanation['tolerance']:.3g}{unit}."
        ),
        protocol=(
            ("run", str(explanation["run"])),
            ("pictures", str(explanation["n_images"])),
            ("tolerance", f"±{explanation['tolerance']:.3g}{unit}"),
        ),
        sections=tuple(section for section in sections if section.rows),
        notices=_chance(matches, computed, explanation),
        command=command,
    ).html()


def _chance(
    matches: Sequence[Any], computed: Sequence[Mapping[str, Any]], explanation: Mapping[str, Any]
) -> tuple[str, ...]:
    """Warn where so many variants lie so near that some would match any figure between them."""
    values = [float(entry["value"]) for entry in computed]
    span = max(values, default=0) - min(values, default=0)
    covered = 2 * explanation["tolerance"] * len(values)
    if not matches or not span or covered < span / 2:
        return ()
    return (
        "The tolerance is wide beside the distances between the variants: a figure made up within "
        "their range would be matched too. Quote more decimals.",
    )


def _findings(
    title: str, findings: Iterable[Mapping[str, Any]], explanation: Mapping[str, Any]
) -> Section:
    tolerance = float(explanation["tolerance"])
    digits = max(4, 2 - math.floor(math.log10(tolerance))) if tolerance > 0 else 4
    unit = f", {explanation['unit']}" if explanation["unit"] else ""
    rows = tuple(
        (
            str(entry["codec"]),
            str(entry["variant"]),
            f"{entry['value']:.{digits}f}",
            f"{entry['distance']:+z.{digits}f}",
            f"{entry['n_images']} of {explanation['n_images']}",
            "; ".join((str(entry["told"]), *(f"also {name}" for name in entry["also"]))),
        )
        for entry in findings
    )
    header = ("codec", "variant", f"value{unit}", f"distance{unit}", "pictures", "what it is")
    return Section(title, header, rows, (False, False, True, True, True, False))


def _reasons(entries: Iterable[Mapping[str, Any]]) -> Section:
    variants: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        variants.setdefault((str(entry["codec"]), str(entry["reason"])), []).append(
            str(entry["variant"])
        )
    rows = tuple((codec, reason, ", ".join(names)) for (codec, reason), names in variants.items())
    return Section("Not computed", ("codec", "reason", "variants"), rows, (False, False, False))


def ladder_page(ladder: Mapping[str, Any], plot: str | None, caption: str, command: str) -> str:
    """Return the page of a loss ladder.

    Args:
        ladder: what `vaebench ladder --json` prints.
        plot: the file of the plot beside the page; None where there is none. caption: below it.
        command: how it was called.
    """
    codec, rungs = ladder["codec"], ladder["rungs"]
    fitted = f"{ladder['size']} px, {ladder['fit']}" if ladder["size"] else "native"
    count = int(ladder["n_images"])
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    figure, answer = _costliest(rungs, ladder["metrics"])
    return Answer(
        kind="loss ladder",
        title=str(codec["name"]),
        question=f"What does each step of a protocol cost {codec['name']}, over {pictures}?",
        figure=figure,
        tone="worse" if figure != NOT_APPLICABLE else "undecided",
        answer=answer,
        protocol=(
            ("codec", str(codec["source"])),
            ("pictures", str(count)),
            ("size", fitted),
            ("weights", str(codec["weights_sha256"] or NOT_APPLICABLE)[:12]),
        ),
        sections=tuple(
            _rung_section(name, column, rungs) for name, column in ladder["metrics"].items()
        ),
        plot=plot,
        caption=caption,
        notices=tuple(
            f"{item['image_id']} could not be used: {item['reason']}" for item in ladder["skipped"]
        ),
        reading=(
            (
                "Base",
                "The codec in float32, the mode of its posterior, untiled, its output clamped but "
                "not rounded.",
            ),
            ("Alone", "The base with this rung switched on, and nothing else."),
            ("Cumulative", "The base with this rung and every available one above it."),
            (
                "Difference",
                "The mean over pictures of rung minus base. A loss has the sign of the metric: "
                "less PSNR, more LPIPS.",
            ),
        ),
        command=command,
    ).html()


def _costliest(
    rungs: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str]:
    """Return the largest loss of a rung alone by the first metric that has one, in words."""
    for name, column in metrics.items():
        sign = -1 if column["higher_is_better"] else 1
        losses = [
            (sign * float(row["difference"]), str(row["rung"]), float(row["difference"]))
            for row in rungs
            if row["metric"] == name and row["mode"] == "alone" and row["difference"] is not None
        ]
        if losses and max(losses)[0] > 0:
            _, rung, difference = max(losses)
            unit = f" {column['unit']}" if column["unit"] else ""
            sign_text = "+" if difference > 0 else ""
            return (
                f"{sign_text}{significant(difference)}{unit}",
                f"of {name} by {rung}, alone the dearest rung.",
            )
    return NOT_APPLICABLE, "No rung costs anything that could be measured."


def _rung_section(
    name: str, column: Mapping[str, Any], rungs: Sequence[Mapping[str, Any]]
) -> Section:
    unit = f", {column['unit']}" if column["unit"] else ""
    by_place = {(row["rung"], row["mode"]): row for row in rungs if row["metric"] == name}
    rows = tuple(
        (
            str(rung),
            *(_number(by_place[rung, mode], "difference") for mode in ("alone", "cumulative")),
            *(_number(by_place[rung, mode], "value") for mode in ("alone", "cumulative")),
            _notes(by_place[rung, "alone"], by_place[rung, "cumulative"]),
        )
        for rung in dict.fromkeys(row["rung"] for row in rungs)
    )
    header = (
        "rung",
        f"alone{unit}",
        f"cumulative{unit}",
        "value alone",
        "value cumulative",
        "note",
    )
    return Section(f"{name} · {column['variant']}", header, rows, (False, *[True] * 4, False))


def _number(row: Mapping[str, Any], key: str) -> str:
    number = row[key]
    if number is None:
        return UNAVAILABLE
    digits = 3 if row["metric"] == "psnr" else 4
    return f"{number:+z.{digits}f}" if key == "difference" else f"{number:.{digits}f}"


def _notes(alone: Mapping[str, Any], together: Mapping[str, Any]) -> str:
    if alone["note"] == together["note"]:
        return str(alone["note"])
    told = (("", alone["note"]), ("cumulative: ", together["note"]))
    return "; ".join(f"{prefix}{note}" for prefix, note in told if note)
