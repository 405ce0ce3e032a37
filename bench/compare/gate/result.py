"""What a gate found: for a terminal, for JUnit XML, for a CI summary page, for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .junit import Case, junit_xml
from .rules import Verdict, join

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}

CONFIDENCE = "Intervals: 95 % confidence of the mean over pictures; of latency, as vaebench ab."


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

    def rows(self) -> list[tuple[str, ...]]:
        """Return a header and a row a rule and codec."""
        return [
            ("verdict", "codec", "rule", "found", "from"),
            *(
                (outcome.verdict, outcome.codec, outcome.rule, outcome.found, outcome.basis)
                for outcome in self.outcomes
            ),
        ]

    def to_junit(self, output: Sequence[str]) -> str:
        """Return JUnit XML, a test case a rule and codec; `output` is what a terminal shows.

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
        return junit_xml(self.name, self.created, cases, output)

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
