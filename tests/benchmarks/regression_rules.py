"""How often rules for slower or not are wrong: this project's, and those in common use.

    python tests/benchmarks/regression_rules.py simulate --out reports/published/regression-rules
    python tests/benchmarks/record_pairs.py --pairs 100 --out .cache/pairs.jsonl
    python tests/benchmarks/regression_rules.py real .cache/pairs.jsonl --out …

Every rule decides on samples of the same source. The others see two sessions, one of BASE and
later one of HEAD, each of as many samples as the sequential rule may draw at most on a side:

- `mean:5%`: pytest-benchmark's --benchmark-compare-fail: the mean is over 5 % above the stored one.
- `asv`: as `asv compare --factor 1.03` of stored results: Mann-Whitney's p under 0.002 (asv 0.6.6,
  `_stats.is_different`) and the medians' ratio over the factor (`compare._is_result_better`).
- `Mann-Whitney`: one-sided p under 0.05.

`asv interleaved` is the same rule on what `asv continuous` measures: one session, two rounds, a
process of each side in a round, in the order BASE HEAD HEAD BASE.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from vaebench.bench.store.environment import read_environment
from vaebench.bench.timing.regression import Pair, Rule, verdict_of

RULE = Rule()
SAMPLES = RULE.looks[-1] * RULE.block
Samples = np.ndarray


@dataclass(frozen=True)
class Noise:
    """What moves a time without a change of the code; shares of the time.

    `sample`: lognormal, from run to run. `process`: from process to process. `session`: between
    sessions on different days. `drift`: a slow random walk (AR(1), `memory` of its last value from
    sample to sample) that both sides share. `outlier`: the share of runs that take up to twice as
    long. `stuck`: the share of processes that are slow for all of their life, by 5 to 20 %.
    """

    sample: float
    process: float
    session: float
    drift: float
    outlier: float
    stuck: float
    memory: float


NOISES = {
    "GPU-like": Noise(0.005, 0.003, 0.005, 0.005, 0.01, 0.01, 0.95),
    "shared-CPU-like": Noise(0.03, 0.01, 0.05, 0.06, 0.06, 0.02, 0.6),
}
"""The second is what a recording on two shared cores showed, the first is an assumption."""


class Machine:
    """Draws samples of about 1 ms as a machine with some noise gives them."""

    def __init__(self, noise: Noise, random: np.random.Generator) -> None:
        self._noise, self._random = noise, random
        self._wander = random.normal(0, noise.drift)
        self._session = 0.0

    def new_session(self) -> None:
        """Come back on another day."""
        self._session = self._random.normal(0, self._noise.session)
        self._wander = self._random.normal(0, self._noise.drift)

    def new_process(self) -> float:
        """Return what a fresh process brings with it, as a log factor."""
        stuck = self._random.random() < self._noise.stuck
        return self._random.normal(0, self._noise.process) + (
            self._random.uniform(0.05, 0.2) if stuck else 0.0
        )

    def draw(self, process: float, slowdown: float, count: int) -> Samples:
        """Return samples of one process, one after the other."""
        noise, random = self._noise, self._random
        steps = random.normal(0, noise.drift * np.sqrt(1 - noise.memory**2), count)
        wander = np.empty(count)
        for place, step in enumerate(steps):
            self._wander = noise.memory * self._wander + step
            wander[place] = self._wander
        late = random.random(count) < noise.outlier
        extra = np.where(late, np.log1p(random.random(count)), 0)
        logs = process + self._session + wander + random.normal(0, noise.sample, count) + extra
        return np.exp(logs) * (1 + slowdown)


def simulated_pair(machine: Machine, slowdown: float, base_first: bool) -> Pair:
    processes = machine.new_process(), machine.new_process()
    # A B B A, over and over; the samples of both sides share the machine's drift.
    drawn = machine.draw(0.0, 0.0, 2 * RULE.block).reshape(-1, 4)
    outer, inner = drawn[:, [0, 3]].ravel(), drawn[:, [1, 2]].ravel()
    base, head = (outer, inner) if base_first else (inner, outer)
    base, head = base * np.exp(processes[0]), head * np.exp(processes[1]) * (1 + slowdown)
    return Pair(tuple(base), tuple(head))


@dataclass(frozen=True)
class Outcome:
    """One decision: `pairs` is how many the sequential rule drew."""

    rule: str
    verdict: str
    pairs: int = 0


def decide(next_pair: Callable[[int], Pair], rule: Rule = RULE) -> Outcome:
    """Decide as `vaebench ab` does, on pairs that are made or resampled."""
    pairs: list[float] = []
    verdict = "inconclusive"
    for look, count in enumerate(rule.looks):
        while len(pairs) < count:
            pairs.append(next_pair(len(pairs)).log_ratio)
        verdict = verdict_of(rule.estimate(look, pairs), rule.threshold)
        if verdict != "inconclusive":
            break
    return Outcome("vaebench ab", verdict, len(pairs))


def asv_alarms(base: Samples, head: Samples) -> bool:
    differs = stats.mannwhitneyu(head, base).pvalue < 0.002
    return bool(differs and np.median(head) > 1.03 * np.median(base))


def two_sessions(base: Samples, head: Samples) -> list[Outcome]:
    """Decide as the rules in common use do."""
    slower = stats.mannwhitneyu(head, base, alternative="greater").pvalue
    found = {
        "mean:5%": head.mean() > 1.05 * base.mean(),
        "asv, factor 1.03": asv_alarms(base, head),
        "Mann-Whitney, p < 0.05": slower < 0.05,
    }
    return [Outcome(rule, "regressed" if hit else "clean") for rule, hit in found.items()]


def two_rounds(base: Samples, head: Samples) -> Outcome:
    """Decide as `asv continuous` does."""
    verdict = "regressed" if asv_alarms(base, head) else "clean"
    return Outcome("asv interleaved, factor 1.03", verdict)


def simulated_rounds(machine: Machine, slowdown: float) -> tuple[Samples, Samples]:
    """Return the samples of BASE and HEAD that `asv continuous` would see."""
    machine.new_session()
    first, second, third, fourth = (
        machine.draw(machine.new_process(), slow, SAMPLES // 2)
        for slow in (0.0, slowdown, slowdown, 0.0)
    )
    return np.concatenate([first, fourth]), np.concatenate([second, third])


def simulate(decisions: int) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name, noise in NOISES.items():
        for slowdown in (-0.05, 0.0, 0.015, 0.03, 0.05):
            random = np.random.default_rng(20_260_101)
            rounds = Machine(noise, np.random.default_rng(20_260_102))
            outcomes: list[Outcome] = []
            for _ in range(decisions):
                machine = Machine(noise, random)
                machine.new_session()
                outcomes.append(
                    decide(
                        lambda place, m=machine, s=slowdown: simulated_pair(m, s, place % 2 == 0)
                    )
                )
                sessions = []
                for slow in (0.0, slowdown):
                    machine.new_session()
                    sessions.append(machine.draw(machine.new_process(), slow, SAMPLES))
                outcomes += two_sessions(*sessions)
                outcomes.append(two_rounds(*simulated_rounds(rounds, slowdown)))
            rows += summarise(outcomes, {"noise": name, "change": slowdown})
            print(pd.DataFrame(rows[-5:]).to_string(index=False, header=False), flush=True)
    return pd.DataFrame(rows)


def real(recorded: Sequence[Pair], decisions: int) -> pd.DataFrame:
    """Decide on pairs and sessions that are drawn with replacement from a recording.

    A pair is always two processes that ran side by side; a session is the samples of processes that
    ran apart from the other session's, in another half of the recording.
    """
    rows: list[dict[str, object]] = []
    for slowdown in (-0.05, 0.0, 0.015, 0.03, 0.05):
        random, apart = (np.random.default_rng(20_260_101 + stream) for stream in (0, 1))
        outcomes: list[Outcome] = []
        for _ in range(decisions):
            outcomes.append(decide(lambda _, r=random, s=slowdown: resampled_pair(recorded, s, r)))
            base, head = resampled_sessions(recorded, random)
            outcomes += two_sessions(base, head * (1 + slowdown))
            base, head = resampled_rounds(recorded, apart)
            outcomes.append(two_rounds(base, head * (1 + slowdown)))
        rows += summarise(outcomes, {"noise": "this CPU", "change": slowdown})
    return pd.DataFrame(rows)


def over_recordings(recorded: Sequence[Pair]) -> dict[str, list[float]]:
    """Return the 2.5th percentile, mean and 97.5th of our alarms, by change, over 40 recordings.

    Each is the recording's pairs drawn with replacement, and 150 decisions are taken on it.
    Wilson's interval of decisions on one recording does not tell how far its pairs carry.
    """
    found: dict[str, list[float]] = {}
    for slowdown in (0.0, 0.03, 0.05):
        random = np.random.default_rng(20_260_103)
        rates: list[float] = []
        for _ in range(40):
            places = random.integers(len(recorded), size=len(recorded))
            drawn = [recorded[int(place)] for place in places]
            verdicts = [
                decide(lambda _, d=drawn, r=random, s=slowdown: resampled_pair(d, s, r)).verdict
                for _ in range(150)
            ]
            rates.append(verdicts.count("regressed") / len(verdicts))
        low, high = np.percentile(rates, [2.5, 97.5])
        found[str(slowdown)] = [float(low), float(np.mean(rates)), float(high)]
    return found


def resampled_pair(recorded: Sequence[Pair], slowdown: float, random: np.random.Generator) -> Pair:
    """Return a recorded pair; both sides are the same, so that either may play HEAD."""
    drawn = recorded[random.integers(len(recorded))]
    sides = [np.array(drawn.base_ms), np.array(drawn.head_ms)]
    base, head = sides if random.random() < 0.5 else sides[::-1]
    return Pair(tuple(base), tuple(head * (1 + slowdown)))


def resampled_sessions(
    recorded: Sequence[Pair], random: np.random.Generator
) -> tuple[Samples, Samples]:
    """Return the samples of processes in a row, from two places that do not overlap."""
    count = max(1, min(SAMPLES // len(recorded[0].base_ms), len(recorded) // 4))
    first = int(random.integers(len(recorded) - 2 * count))
    second = int(random.integers(first + count, len(recorded) - count + 1))
    begins = (first, second) if random.random() < 0.5 else (second, first)
    base, head = (
        np.concatenate([recorded[begin + place].base_ms for place in range(count)])
        for begin in begins
    )
    return base, head


def resampled_rounds(
    recorded: Sequence[Pair], random: np.random.Generator
) -> tuple[Samples, Samples]:
    """Return the samples of four processes in a row, as BASE, HEAD, HEAD, BASE or the other way.

    A recorded process holds fewer samples than a round of the simulation, and about asv's default.
    """
    begin = int(random.integers(len(recorded) - 3))
    in_a_row = [np.array(pair.base_ms) for pair in recorded[begin : begin + 4]]
    outer, inner = np.concatenate(in_a_row[::3]), np.concatenate(in_a_row[1:3])
    return (outer, inner) if random.random() < 0.5 else (inner, outer)


def summarise(outcomes: Sequence[Outcome], what: dict[str, object]) -> list[dict[str, object]]:
    """Return a row a rule: the shares of its verdicts, Wilson's 95 % interval of `regressed`."""
    rows: list[dict[str, object]] = []
    for rule in dict.fromkeys(outcome.rule for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.rule == rule]
        verdicts = [outcome.verdict for outcome in mine]
        hits = verdicts.count("regressed")
        wilson = stats.binomtest(hits, len(mine)).proportion_ci(method="wilson")
        rows.append(
            {
                **what,
                "rule": rule,
                "decisions": len(mine),
                "regressed": hits / len(mine),
                "regressed_low": round(wilson.low, 5),
                "regressed_high": round(wilson.high, 5),
                "clean": verdicts.count("clean") / len(mine),
                "faster": verdicts.count("faster") / len(mine),
                "inconclusive": verdicts.count("inconclusive") / len(mine),
                "mean_pairs": float(np.mean([outcome.pairs for outcome in mine])) or None,
            }
        )
    return rows


def spreads(recorded: Sequence[Pair]) -> dict[str, float]:
    """Return what the recording's noise is made of, as robust standard deviations of logs."""
    processes = [np.log(side) for pair in recorded for side in (pair.base_ms, pair.head_ms)]
    medians = np.array([np.median(process) for process in processes])
    within = np.concatenate([process - np.median(process) for process in processes])
    ratios = np.array([pair.log_ratio for pair in recorded])
    return {
        "sample": float(stats.median_abs_deviation(within, scale="normal")),
        "over_1.3x": float((within > np.log(1.3)).mean()),
        "process_and_drift": float(stats.median_abs_deviation(medians, scale="normal")),
        "pair_log_ratio": float(stats.median_abs_deviation(ratios, scale="normal")),
        "pair_log_ratio_sd": float(ratios.std(ddof=1)),
    }


def read_recording(path: Path) -> list[Pair]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Pair(tuple(row["base_ms"]), tuple(row["head_ms"])) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, decisions in (("simulate", 2000), ("real", 1000)):
        command = commands.add_parser(name)
        if name == "real":
            command.add_argument("recording", type=Path)
        command.add_argument("--decisions", type=int, default=decisions)
        command.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.command == "simulate":
        table = simulate(asked.decisions)
        (asked.out / "noises.json").write_text(
            json.dumps({name: asdict(noise) for name, noise in NOISES.items()}, indent=1) + "\n"
        )
    else:
        recorded = read_recording(asked.recording)
        table = real(recorded, asked.decisions)
        told = {
            "pairs": len(recorded),
            **spreads(recorded),
            "regressed_over_resampled_recordings": over_recordings(recorded),
            "environment": asdict(read_environment()),
        }
        (asked.out / "recording.json").write_text(json.dumps(told, indent=1) + "\n")
    table.to_csv(asked.out / f"{asked.command}.csv", index=False)
    print(table.drop(columns=["regressed_low", "regressed_high"]).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
