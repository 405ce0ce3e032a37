"""JUnit XML, as continuous integration reads it.

Written so that the two schemas in wide use both accept it: the one of Ant's JUnit task, which asks
for `properties`, times, a host and an order of the elements, and the one of Jenkins' xUnit plugin.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """One test case. `message` is shown where it did not pass; `seconds` is how long it took."""

    group: str
    name: str
    outcome: Literal["pass", "fail", "skipped"]
    message: str
    seconds: float = 0.0


def junit_xml(name: str, timestamp: str, cases: Sequence[Case], output: Sequence[str]) -> str:
    """Return a `testsuites` document of one suite.

    Args:
        name: of the suite.
        timestamp: ISO 8601 to the second, without a zone.
        output: the lines that `system-out` holds.
    """
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _token(name),
            "package": "vaebench",
            "id": "0",
            # Which machine it was stands in the run; a report that is published need not tell.
            "hostname": "localhost",
            "timestamp": timestamp,
            "tests": str(len(cases)),
            "failures": str(sum(case.outcome == "fail" for case in cases)),
            "errors": "0",
            "skipped": str(sum(case.outcome == "skipped" for case in cases)),
            "time": f"{sum(case.seconds for case in cases):.3f}",
        },
    )
    ET.SubElement(suite, "properties")
    for case in cases:
        _add_case(suite, case)
    ET.SubElement(suite, "system-out").text = "\n".join(_legal(line) for line in output)
    ET.SubElement(suite, "system-err").text = ""
    ET.indent(root, " ")
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_case(suite: ET.Element, case: Case) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": _token(case.group),
            "name": _token(case.name),
            "time": f"{case.seconds:.3f}",
        },
    )
    message = _legal(case.message)
    if case.outcome == "fail":
        failure = ET.SubElement(element, "failure", {"message": message, "type": "rule"})
        failure.text = message
    elif case.outcome == "skipped":
        ET.SubElement(element, "skipped", {"message": message})


def _token(text: str) -> str:
    """Return text as an xs:token: on one line, single spaces, never empty."""
    return " ".join(_legal(text).split()) or "-"


def _legal(text: str) -> str:
    """Return text without the characters that XML 1.0 (section 2.2) cannot hold."""
    return "".join(
        character
        if character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
        else "\ufffd"
        for character in text
    )
