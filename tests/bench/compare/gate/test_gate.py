"""The shipped gates end as they say; small stored runs for everything else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from vaebench.bench.cli.listing import list_gate
from vaebench.bench.compare.gate.gate import run_gate
from vaebench.bench.compare.gate.result import EXIT_CODES, GateResult
from vaebench.bench.compare.gate.rules import LatencyRule
from vaebench.bench.errors import RunFolderError, VaebenchError
from vaebench.bench.records import (
    CodecInfo,
    ImageRef,
    MetricColumn,
    Region,
    Score,
    Unavailable,
)
from vaebench.bench.store.parts import parts_of, write_part
from vaebench.bench.store.record import ErrorMap, new_record, read_record, write_record
from vaebench.bench.store.run import create_run, finish_run
from vaebench.bench.suite import CodecSpec, Suite
from vaebench.bench.timing.ab import AbResult, Side
from vaebench.bench.timing.regression import Decision
from vaebench.reports.pages.gate import gate_markdown

EXAMPLES = Path(__file__).resolve().parents[4] / "docs" / "gates"
SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
PSNR, FLIP = ("psnr", "psnr/rgb8", "dB"), ("flip", "flip/ppd67", "")
LPIPS = ("lpips", "lpips/alex-0.1", "")
REASON = "no AlexNet trunk was found. Pass --weights DIR."

Values = Mapping[str, list[float | None]]


def ab_result(verdict: Any, base: CodecSpec, head: CodecSpec, rule: LatencyRule) -> AbResult:
    told = dict.fromkeys(("dtype", "mode"), "x") | {"device": "CPU", "cpu": "a CPU", "threads": 1}
    told |= {"torch": "2", "diffusers": "0", "settled": True}
    decision = Decision(verdict, 0.01, -0.02, 0.04, 0.96, rule.threshold, 4, 80, 10.0, 10.1)
    sides = (Side(codec, "python", told) for codec in (base, head))
    return AbResult(decision, *sides, rule.stage, rule.size_px, 1)


def timed(verdict: str) -> Callable[..., AbResult]:
    """Stand in for the A/B test in fresh processes."""
    return lambda base, head, rule, progress: ab_result(verdict, base, head, rule)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Write a run: PSNR and FLIP of whole pictures, PSNR of the eyes; LPIPS is unavailable."""

    def write(name: str, codecs: Mapping[str, Values], **suite: Any) -> Path:
        folder = tmp_path / name
        count = len(next(iter(codecs.values()))["psnr"])
        images = [
            ImageRef(f"{name}-{place}.png", "set", "set", f"{place:064x}", 64, 64)
            for place in range(count)
        ]
        specs = [CodecSpec(source="jpeg", settings={"q": 9}, name=codec) for codec in codecs]
        record = new_record(
            Suite(codecs=specs, **suite),
            folder,
            "",
            images=tuple(images),
            regions=tuple(Region(image.image_id, "left", "eye", (0, 0, 8, 8)) for image in images),
            codecs=tuple(CodecInfo(codec, "jpeg", "jpeg", {}) for codec in codecs),
            metrics=tuple(
                MetricColumn(metric, variant, unit, metric == "psnr")
                for metric, variant, unit in (PSNR, FLIP, LPIPS)
            ),
            unavailable=(Unavailable(*LPIPS[:2], REASON),),
            error_map=ErrorMap(*FLIP, 1.0),
        )
        create_run(folder, record)
        for place, image in enumerate(images):
            scores: list[Score] = []
            for codec, values in codecs.items():
                whole = (image.image_id, codec, "whole", "whole")
                scores.append(Score(*whole, *PSNR[:2], values["psnr"][place], PSNR[2]))
                scores.append(Score(*whole, *LPIPS[:2], None, ""))
                flip = values.get("flip", values["psnr"])[place]
                scores.append(Score(*whole, *FLIP[:2], flip, ""))
                eye = values.get("eye", values["psnr"])[place]
                scores.append(Score(image.image_id, codec, "left", "eye", *PSNR[:2], eye, PSNR[2]))
            write_part(folder, image.image_id, scores, [], {})
        finish_run(folder, record, parts_of(folder, record))
        return folder

    return write


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., GateResult]:
    """Write a GATE.toml and decide it."""

    def decide(*rules: str, latency: Any = None, out: Path | None = None, **keys: Any) -> Any:
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        path = tmp_path / "my_gate.toml"
        path.write_text("\n".join([f"rules = {json.dumps(rules)}", *lines]), encoding="utf-8")
        return run_gate(path, out=out, latency=latency)

    return decide


TWO: dict[str, Values] = {
    "old": {"psnr": [30.0, 31, 32, 33, 34, 35, 36, 37]},
    "new": {"psnr": [30.5, 31.6, 32.4, 33.5, 34.6, 35.4, 36.5, 37.5]},
}


@pytest.mark.parametrize("name", ["pass", "fail", "inconclusive"])
def test_a_shipped_gate_ends_as_its_name_says(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run_gate(EXAMPLES / f"{name}.toml", out=out, latency=timed("clean"))
    assert result.verdict == name
    assert result.exit_code == {"pass": 0, "fail": 1, "inconclusive": 3}[name]
    assert (out / "scores.parquet").is_file()
    junit = result.to_junit(list_gate(result))
    SCHEMA.validate(junit)
    suite = ET.fromstring(junit).find("testsuite")
    assert suite is not None
    assert int(suite.attrib["tests"]) == len(result.outcomes)
    assert (int(suite.attrib["failures"]) > 0) == (name == "fail")
    assert (int(suite.attrib["skipped"]) > 0) == (name == "inconclusive")
    assert f"ends with exit code {result.exit_code}." in (EXAMPLES / f"{name}.toml").read_text()
    assert list_gate(result)[-1].startswith(f"Gate {name}.toml: {name} (")
    json.dumps(result.to_dict(), allow_nan=False)


def test_exit_codes() -> None:
    assert EXIT_CODES == {"pass": 0, "fail": 1, "inconclusive": 3}


def test_rules_join_and_the_numbers_are_told(stored: Any, gate: Any) -> None:
    run = str(stored("a", TWO))
    rule = "psnr: not worse by more than 0.1 dB"
    passed = gate(rule, "psnr eye: at least 30 dB", runs=[run])
    assert (passed.verdict, passed.baseline) == ("pass", "old")
    told = passed.to_dict()["rules"][0]
    assert told["estimate"] == pytest.approx(0.5)
    assert 0.4 < told["ci_low"] < 0.5 < told["ci_high"] < 0.6
    assert (told["codec"], told["baseline"], told["n_images"]) == ("new", "old", 8)
    assert (told["variant"], told["region"]) == ("psnr/rgb8", "whole")
    assert "against old, 8 pictures: not worse by more than 0.1 dB" in told["sentence"]
    unsure = gate(rule, "psnr eye: at least 34 dB", runs=[run])
    assert (unsure.verdict, unsure.exit_code) == ("inconclusive", 3)
    failed = gate(rule, "psnr eye: at least 34 dB", "psnr eye: at least 39 dB", runs=[run])
    assert [outcome.verdict for outcome in failed.outcomes] == ["pass", "inconclusive", "fail"]
    assert failed.summary == "Gate my_gate.toml: fail (1 pass, 1 fail, 1 inconclusive)"
    header, *rows = list_gate(failed)[:4]
    assert header.split() == ["verdict", "codec", "rule", "found", "from"]
    assert [row.split()[0] for row in rows] == ["pass", "inconclusive", "fail"]


def test_lower_is_better_where_the_run_says_so(stored: Any, gate: Any) -> None:
    run = str(stored("a", TWO))
    result = gate("flip: not worse by more than 0.1", "psnr: at least 1", runs=[run])
    assert [outcome.verdict for outcome in result.outcomes] == ["fail", "pass"]


def test_every_codec_but_the_baseline_is_judged(stored: Any, gate: Any) -> None:
    run = str(stored("a", {**TWO, "third": TWO["old"]}))
    rule = "psnr: not worse by more than 0.1 dB"
    result = gate(rule, runs=[run], baseline="new")
    assert [(o.codec, o.verdict) for o in result.outcomes] == [("old", "fail"), ("third", "fail")]
    assert [o.codec for o in gate(rule, runs=[run], codec="third").outcomes] == ["third"]
    without = gate("psnr: at least 1 dB", runs=[run])
    assert without.baseline is None
    assert [o.codec for o in without.outcomes] == ["old", "new", "third"]


def test_two_runs_pair_by_content_though_files_were_renamed(stored: Any, gate: Any) -> None:
    runs = [str(stored("a", {"vae": TWO["old"]})), str(stored("b", {"vae": TWO["new"]}))]
    result = gate("psnr: not worse by more than 0.1 dB", runs=runs)
    assert (result.baseline, result.outcomes[0].codec) == ("a/vae", "b/vae")
    assert result.outcomes[0].numbers["estimate"] == pytest.approx(0.5)


def test_pictures_of_one_run_alone_are_told(stored: Any, gate: Any) -> None:
    fewer = {"vae": {"psnr": TWO["new"]["psnr"][:7]}}
    runs = [str(stored("a", {"vae": TWO["old"]})), str(stored("b", fewer))]
    (outcome,) = gate("psnr: not worse by more than 0.1 dB", runs=runs).outcomes
    assert outcome.verdict == "pass"
    assert "(1 pictures left out" not in outcome.sentence
    assert "1 picture left out, not alike in both runs" in outcome.sentence


def test_a_codec_cannot_pass_by_the_pictures_it_fails_on(stored: Any, gate: Any) -> None:
    broken: Values = {"psnr": [None, *[40.0, 41] * 3, 41]}
    run = str(stored("a", {"old": TWO["old"], "new": broken}))
    rules = ("psnr: not worse by more than 0.1 dB", "psnr: at least 24 dB", "psnr: at least 99 dB")
    result = gate(*rules, runs=[run], codec="new")
    assert [o.verdict for o in result.outcomes] == ["inconclusive", "inconclusive", "fail"]
    assert "new has no value of 1 of the pictures" in result.outcomes[0].sentence


def test_an_unavailable_metric_is_inconclusive_with_its_reason(stored: Any, gate: Any) -> None:
    run = str(stored("a", TWO))
    rules = ("lpips/alex-0.1 whole: not worse by more than 0.002", "lpips: at most 1")
    for outcome in gate(*rules, runs=[run], codec="new").outcomes:
        assert outcome.verdict == "inconclusive"
        assert REASON.rstrip(".") in outcome.sentence


@pytest.mark.parametrize(
    ("rule", "keys", "says"),
    [
        ("psnrr: at least 3 dB", {}, "'psnrr: at least 3 dB'.*Unknown metric.*Did you mean psnr"),
        ("psnr eyes: at least 3 dB", {}, "Unknown region 'eyes'. Did you mean eye"),
        ("psnr: at least 3 %", {}, "psnr is in dB, got '%'"),
        ("flip: at most 3 dB", {}, "flip is in no unit, got 'dB'"),
        ("psnr >= 3", {}, "Cannot read the rule 'psnr >= 3'"),
        ("psnr: at least 3 dB", {"codec": "newer"}, "Unknown codec 'newer'. Did you mean new"),
        ("psnr: at least 3 dB", {"base": "old"}, "unknown field 'base'. Did you mean baseline"),
        ("psnr: at least 3 dB", {"baseline": "old", "codec": "old"}, "No codec is left to judge"),
        ("psnr: at least 3 dB", {"codec": 3}, "codec: input should be a valid string, got 3"),
        ("psnr: at least 3 dB", {"runs": []}, "must have either `runs`"),
        ("psnr: at least 3 dB", {"suite": {}}, "must have either `runs`"),
        ("psnr: at least 3 dB", {"out": Path("x")}, "Leave out --out"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    rule: str, keys: dict[str, Any], says: str, stored: Any, gate: Any
) -> None:
    if "suite" in keys:
        keys = {"suite": "table"}
    with pytest.raises(VaebenchError, match=says):
        gate(rule, **{"runs": [str(stored("a", TWO))], **keys})


def test_a_name_that_two_variants_share_must_be_told_apart(stored: Any, gate: Any) -> None:
    folder = stored("a", TWO)
    record = read_record(folder)
    twin = replace(record.metrics[0], variant="psnr/float")
    write_record(folder, replace(record, metrics=(*record.metrics, twin)))
    with pytest.raises(VaebenchError, match="Name one of psnr/float, psnr/rgb8"):
        gate("psnr: at least 3 dB", runs=[str(folder)])
    assert gate("psnr/rgb8: at least 3 dB", runs=[str(folder)]).verdict == "pass"


def test_runs_of_two_protocols_are_refused(stored: Any, gate: Any) -> None:
    runs = [
        str(stored("a", {"vae": TWO["old"]})),
        str(stored("b", {"vae": TWO["new"]}, size=64, fit="crop")),
    ]
    with pytest.raises(VaebenchError, match=r"native size.*one protocol"):
        gate("psnr: not worse by more than 0.1 dB", runs=runs)


def test_a_run_that_is_not_finished_is_refused(stored: Any, gate: Any) -> None:
    folder = stored("a", TWO)
    write_record(folder, replace(read_record(folder), finished=False))
    with pytest.raises(RunFolderError, match="--resume"):
        gate("psnr: at least 3 dB", runs=[str(folder)])


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ('metrics = ["psnr"]\nspeed = {}', "suite.speed"),
        ('metrics = ["ssim"]', "Unknown metric 'psnr'"),
        ('metrics = ["psnrr"]', "Unknown metric 'psnrr'"),
        ("sizes = 3", "unknown field 'sizes'. Did you mean size"),
    ],
)
def test_a_suite_that_cannot_be_judged_is_refused_before_it_is_run(
    field: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(
        f'rules = ["psnr: at least 3 dB"]\n[suite]\ncodecs = ["jpeg:q=9"]\n{field}', "utf-8"
    )
    with pytest.raises(VaebenchError, match=says):
        run_gate(path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("clean", "pass"), ("faster", "pass"), ("regressed", "fail"), ("inconclusive",) * 2],
)
def test_latency_is_what_an_ab_test_says(answer: str, verdict: str, stored: Any, gate: Any) -> None:
    asked: list[tuple[CodecSpec, CodecSpec, LatencyRule]] = []

    def latency(base: CodecSpec, head: CodecSpec, rule: LatencyRule, progress: Any) -> AbResult:
        asked.append((base, head, rule))
        return ab_result(answer, base, head, rule)

    run = str(stored("a", TWO))
    result = gate("latency decode 1024²: clean at 3 %", runs=[run], latency=latency)
    assert result.verdict == verdict
    ((base, head, rule),) = asked
    assert (base.name, head.name, head.settings) == ("old", "new", {"q": 9})
    assert (rule.stage, rule.size_px, rule.threshold) == ("decode", 1024, 0.03)
    told = result.to_dict()["rules"][0]["latency"]
    assert (told["verdict"], told["threshold"]) == (answer, 0.03)
    assert "4 pairs" in list_gate(result)[1]


def test_a_side_that_cannot_be_timed_names_the_rule(stored: Any, gate: Any) -> None:
    def latency(*args: Any) -> AbResult:
        raise VaebenchError("Cannot time BASE: it is gone.")

    with pytest.raises(VaebenchError, match=r"decode 64x64: clean at 3 %'.*Cannot time BASE"):
        gate("latency decode 64x64: clean at 3 %", runs=[str(stored("a", TWO))], latency=latency)


def test_markdown_is_escaped_and_keeps_its_shape(stored: Any, gate: Any) -> None:
    record_name = "a|b_<img>"
    run = str(stored(record_name, {"old": TWO["old"], "new": TWO["new"]}))
    text = gate_markdown(gate("psnr: at least 99 dB", runs=[run], codec="new"))
    assert text.startswith("### Gate my\\_gate.toml: fail (1 fail)\n\n| verdict | codec |")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert "<img>" not in text
    assert "a\\|b\\_&lt;img&gt;" in text
    assert "\n- **fail**: new, psnr: at least 99 dB: " in text
