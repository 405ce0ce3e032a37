"""What a gate found: for a terminal, for JUnit XML, for a CI summary page, for a program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .junit import Case, junit_xml
from .rules import Verdict, join

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}

CONFIDENCE = "Intervals: 95 % confidence of the mean over pictures; of latency, as vaebench ab."

HEADER = ("verdict", "codec", "rule", "found", "from")


@dataclass(frozen=True)
class RuleOutcome:
    """One rule for one codec.

    `found` is the estimate with its interval, `basis` what that rests on (say, 24 pictures),
    `sentence` all of it with what it means; `numbers` the same for a program.
    """

    rule: str
    codec: str
    baseline: str | None
    verdict: Verdict
    sentence: str
    found: str = "–"
    basis: str = "–"
    numbers: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0


@dataclass(frozen=True)
class GateResult:
    """Every rule for every codec; `created` is UTC, ISO 8601 to the second, without a zone."""

    name: str
    created: str
    baseline: str | None
    runs: tuple[str, ...]
    outcomes: tuple[RuleOutcome, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail where any rule fails, else inconclusive where any is, else pass."""
        return join(outcome.verdict for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        return EXIT_CODES[self.verdict]

    @property
    def summary(self) -> str:
        """The verdict and how many rules came out how, on one line."""
        counts = Counter(outcome.verdict for outcome in self.outcomes)
        told = ", ".join(f"{counts[word]} {word}" for word in EXIT_CODES if counts[word])
        return f"Gate {self.name}: {self.verdict} ({told})"

    def lines(self) -> list[str]:
        """Return a table, the sentence of each rule that did not pass, and the verdict."""
        rows = [HEADER, *(cells(outcome) for outcome in self.outcomes)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
        return [
            *(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
                for row in rows
            ),
            *(
                f"{outcome.verdict}: {outcome.codec}, {outcome.rule}: {outcome.sentence}"
                for outcome in self.outcomes
                if outcome.verdict != "pass"
            ),
            self.summary,
        ]

    def to_junit(self) -> str:
        """Return JUnit XML, a test case a rule and codec.

        An inconclusive rule is `skipped`, with its sentence as the message: the one outcome that
        CI pages show neither green nor red. `error` would be counted among the failures, and so
        undo the difference between the exit codes 1 and 3; it is the exit code that stops a job.
        """
        words = {"pass": "pass", "fail": "fail", "inconclusive": "skipped"}
        cases = [
            Case(
                outcome.codec,
                outcome.rule,
                words[outcome.verdict],  # type: ignore[arg-type]
                f"{outcome.verdict}: {outcome.sentence}",
                outcome.seconds,
            )
            for outcome in self.outcomes
        ]
        return junit_xml(self.name, self.created, cases, self.lines())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "gate": self.name,
            "created": self.created,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "baseline": self.baseline,
            "runs": list(self.runs),
            "rules": [
                {
                    "rule": outcome.rule,
                    "codec": outcome.codec,
                    "baseline": outcome.baseline,
                    "verdict": outcome.verdict,
                    "found": outcome.found,
                    "basis": outcome.basis,
                    "sentence": outcome.sentence,
                    "seconds": outcome.seconds,
                    **outcome.numbers,
                }
                for outcome in self.outcomes
            ],
        }


def cells(outcome: RuleOutcome) -> tuple[str, ...]:
    """Return an outcome as a row under HEADER."""
    return (outcome.verdict, outcome.codec, outcome.rule, outcome.found, outcome.basis)
