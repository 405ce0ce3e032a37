"""A gate: rules about stored runs, or about a suite that is run first, joined into one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import SuiteError, reason_of, unknown_name
from ...records import RATES, WHOLE, MetricColumn, Progress, silent
from ...store.lock import writing_run
from ...store.record import read_record
from ...store.run import StoredRun, clean_up, default_folder, load_run, refuse_used_folder
from ...suite import Suite, read_toml
from ..pairing import Side, label_codecs, pair_codec
from .decisions import Latency, Question, decide
from .result import GateResult
from .rules import LatencyRule, QualityRule, Rule, parse_rule


class Gate(BaseModel):
    """GATE.toml: what is asked (`rules`) of stored `runs`, or of a `suite` that is run first.

    `baseline` is what rules compare with: the first codec where none is named and a rule compares.
    `codec` is the one that is judged; every codec but the baseline where none is named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: list[str] = []
    suite: Suite | None = None
    baseline: str | None = None
    codec: str | None = None
    rules: list[str] = Field(min_length=1)

    @classmethod
    def load(cls, path: Path) -> Gate:
        """Read a GATE.toml. Raises: SuiteError."""
        fields = read_toml(path, "gate")
        if ("suite" in fields) == bool(fields.get("runs")):
            raise SuiteError(
                f"{path} must have either `runs`, a list of run folders, or a table [suite] to run."
            )
        try:
            if isinstance(fields.get("suite"), dict):
                fields["suite"] = Suite.of_file(fields["suite"])
            return cls(**fields)
        except SuiteError as error:
            raise SuiteError(f"{path}: {error}") from error
        except ValidationError as error:
            told = reason_of(error, lambda _: cls.model_fields)
            raise SuiteError(f"The gate {path} is not valid: {told}.") from error


def run_gate(
    path: Path,
    *,
    out: Path | None = None,
    progress: Progress = silent,
    latency: Latency | None = None,
    command: str = "vaebench.bench.run_gate(...) from Python",
) -> GateResult:
    """Decide every rule of a GATE.toml for every codec but the baseline, or for the one it names.

    Args:
        path: the file; relative paths in it are relative to the working folder.
        out: the new run folder of its suite; runs/<date>-<images> where none is given. The run
            stays, whatever is decided.
        latency: measures a rule about time; an A/B test in fresh processes where none is given.
        command: how the suite was run, for its provenance.
    Raises: VaebenchError where the file or a rule is wrong, or the runs do not go together.
    """
    gate = Gate.load(path)
    rules = [parse_rule(text) for text in gate.rules]
    if gate.suite is None and out is not None:
        raise SuiteError(f"{path} is about stored runs, so no run is written. Leave out --out.")
    if gate.suite is None:
        runs = [load_run(folder) for folder in gate.runs]
    else:
        _check_before_running(gate, gate.suite, rules)
        runs = [_make_run(gate.suite, out, path.stem, command, progress)]
    sides = label_codecs(runs)
    base, judged = _sides(gate, rules, [side.label for side in sides])
    by_label = {side.label: side for side in sides}
    baseline = None if base is None else by_label[base]
    questions = [
        question
        for rule in rules
        for question in _questions(rule, runs, baseline, [by_label[label] for label in judged])
    ]
    outcomes = tuple(decide(question, progress, latency) for question in questions)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return GateResult(path.name, created, base, tuple(str(run.folder) for run in runs), outcomes)


def _make_run(
    suite: Suite, out: Path | None, name: str, command: str, progress: Progress
) -> StoredRun:
    from ...scoring.evaluate import evaluate, resume

    folder = out or default_folder(suite, name)
    with writing_run(folder, "gate"):
        if _was_stopped(folder, suite):
            clean_up(folder)
            return resume(folder, progress)
        refuse_used_folder(folder)
        return evaluate(suite, folder, command, progress)


def _was_stopped(folder: Path, suite: Suite) -> bool:
    """Return whether a folder holds a run of this suite that did not end."""
    if not (folder / "run.json").is_file():
        return False
    record = read_record(folder)
    return not record.finished and record.suite == suite


def _check_before_running(gate: Gate, suite: Suite, rules: Sequence[Rule]) -> None:
    """Refuse names that the run will not hold before it is made: it may take hours."""
    if suite.speed is not None:
        raise SuiteError("A gate measures no [suite.speed]. Write a rule: latency STAGE SIZE: …")
    _sides(gate, rules, [codec.name for codec in suite.codecs])
    from ....metrics import DEFAULT_METRICS, MetricError, describe_metric

    try:
        infos = [describe_metric(name) for name in suite.metrics or DEFAULT_METRICS]
    except MetricError as error:
        raise SuiteError(str(error)) from error
    columns = [
        MetricColumn(info.name, info.variant(suite.rounding == "8bit"), info.unit, None)
        for info in infos
    ]
    for rule in rules:
        if isinstance(rule, QualityRule) and rule.metric.split("/")[0] not in RATES:
            _find_column(rule, columns)


def _sides(
    gate: Gate, rules: Sequence[Rule], labels: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Return the baseline, None where no rule needs one, and what is judged."""
    for label in (gate.baseline, gate.codec):
        if label is not None and label not in labels:
            raise SuiteError(unknown_name("codec", label, labels))
    relative = next((rule for rule in rules if rule.is_relative), None)
    baseline = gate.baseline or (labels[0] if relative is not None else None)
    judged = [gate.codec] if gate.codec else [label for label in labels if label != baseline]
    if not judged or judged == [baseline]:
        raise SuiteError(
            f"No codec is left to judge beside the baseline {baseline}: "
            f"there are {', '.join(labels)}. Name another `baseline`, or add a codec."
        )
    return baseline, judged


def _questions(
    rule: Rule, runs: Sequence[StoredRun], baseline: Side | None, judged: Sequence[Side]
) -> Iterator[Question]:
    """Yield a question a codec; raise where the runs do not know what the rule is about."""
    if isinstance(rule, LatencyRule):
        yield from (Question(rule, side, baseline) for side in judged)
        return
    column = _find_column(rule, _columns(runs))
    if rule.is_relative and column.higher_is_better is None:
        raise _wrong(rule, f"Whether more {column.name} is better is not known. Set a limit.")
    kinds = {region.kind for run in runs for region in run.regions}
    if rule.region not in (WHOLE, *kinds):
        raise _wrong(rule, unknown_name("region", rule.region, {WHOLE, *kinds}))
    for side in judged:
        other = baseline if rule.is_relative and baseline else side
        pair, left_out = pair_codec(other, side)
        if pair is None:
            told = left_out[-1]
            mend = "Compare runs of one protocol over the same pictures."
            raise _wrong(rule, f"{told.where} ({told.what}): {told.reason}. {mend}")
        yield Question(rule, side, baseline, column, pair, tuple(left_out))


def _columns(runs: Sequence[StoredRun]) -> list[MetricColumn]:
    """Return every metric and rate of the runs, a variant once."""
    columns: dict[str, MetricColumn] = {}
    for run in runs:
        for column in run.record.metrics:
            columns.setdefault(column.variant, column)
        rates = run.scores.loc[run.scores["metric"].isin(RATES), ["metric", "variant", "unit"]]
        for name, variant, unit in rates.drop_duplicates().itertuples(index=False):
            columns.setdefault(variant, MetricColumn(name, variant, unit, None))
    return list(columns.values())


def _find_column(rule: QualityRule, columns: Sequence[MetricColumn]) -> MetricColumn:
    found = [column for column in columns if column.variant == rule.metric]
    found = found or [column for column in columns if column.name == rule.metric]
    if not found:
        names = {name for column in columns for name in (column.name, column.variant)}
        raise _wrong(rule, unknown_name("metric", rule.metric, names))
    if len(found) > 1:
        variants = ", ".join(sorted(column.variant for column in found))
        raise _wrong(rule, f"{rule.metric} has several variants. Name one of {variants}.")
    if rule.unit not in ("", found[0].unit):
        expected = found[0].unit or "no unit"
        raise _wrong(rule, f"{rule.metric} is in {expected}, got {rule.unit!r}.")
    return found[0]


def _wrong(rule: Rule, sentence: str) -> SuiteError:
    return SuiteError(f"The rule {rule.text!r} cannot be decided: {sentence}")
