"""JUnit XML that validates, whatever the names hold. Schema: tests/bench/compare/gate/junit.xsd."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.compare.gate.junit import Case, junit_xml

WHEN = "2026-01-02T03:04:05"
SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))

CASES = [
    Case("vae", "psnr: at least 24 dB", "pass", "pass: 25 dB", 0.25),
    Case("vae", "flip: at most 0.1", "fail", "fail: 0.2 <0.1 & more", 1.5),
    Case("webp", "psnr eye: at least 24 dB", "skipped", 'inconclusive: "3" pictures'),
]


def test_cases_are_counted_and_their_messages_stand_where_readers_look() -> None:
    text = junit_xml("gate.toml", WHEN, CASES, ["one", "two"])
    SCHEMA.validate(text)
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "1", "errors": "0", "skipped": "1"}
    assert suite.attrib["time"] == "1.750"
    assert suite.attrib["timestamp"] == WHEN
    passed, failed, skipped = suite.findall("testcase")
    assert list(passed) == []
    failure = failed.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == failure.text == CASES[1].message
    assert [child.attrib for child in skipped] == [{"message": CASES[2].message}]
    assert suite.findtext("system-out") == "one\ntwo"


def test_the_schema_refuses_what_a_reader_would() -> None:
    """The schema is no rubber stamp."""
    text = junit_xml("gate.toml", WHEN, CASES, [])
    for pattern, broken in (
        (r' name="psnr: at least 24 dB"', ""),
        (r"<system-out ?/>", ""),
        (r"skipped message", "skipped reason"),
        (WHEN, f"{WHEN}+00:00"),
        (r'time="1.500"', 'time="long"'),
        (r"<properties ?/>", "<testcase/>"),
    ):
        changed = re.sub(pattern, broken, text, count=1)
        assert changed != text
        assert not SCHEMA.is_valid(changed)


TEXT = st.text(max_size=40)


@settings(deadline=None)
@given(TEXT, TEXT, TEXT, TEXT, st.sampled_from(["pass", "fail", "skipped"]))
def test_any_text_gives_valid_xml(name: str, group: str, case: str, told: str, outcome) -> None:
    text = junit_xml(name, WHEN, [Case(group, case, outcome, told)], [told, case])
    SCHEMA.validate(text)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe", "\ud800"])
def test_what_xml_cannot_hold_becomes_a_replacement_character(character: str) -> None:
    text = junit_xml("gate", WHEN, [Case("a", "b", "skipped", f"x{character}y")], [])
    skipped = ET.fromstring(text.encode()).find(".//skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "x\ufffdy"
