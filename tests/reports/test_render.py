"""What frames every page: a policy that names its files, data that cannot end its element."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from vaebench.reports.render import asset_of, data, policy, script


def rules(text: str) -> dict[str, str]:
    return dict(rule.partition(" ")[::2] for rule in text.split("; "))


def test_the_policy_names_scripts_by_the_bytes_of_their_element() -> None:
    element = str(script("state.js"))
    body = element.removeprefix("<script>").removesuffix("</script>")
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    found = rules(policy(["state.js"], ["report.css"], single_file=False))
    assert found["script-src"] == f"'sha256-{digest}'"
    assert found["default-src"] == found["base-uri"] == found["form-action"] == "'none'"
    assert "unsafe" not in found["style-src-elem"]


def test_a_single_file_may_load_no_file() -> None:
    assert rules(policy([], ["report.css"], single_file=True))["img-src"] == "data: blob:"
    beside = policy([], [], single_file=False, beside=["'self'"])
    assert rules(beside)["script-src"] == "'self'"


@pytest.mark.parametrize("value", ["</script><script>alert(1)", "<!--", {"<b>": ["&", "\u2028"]}])
def test_data_reads_back_and_never_ends_its_element(value: Any) -> None:
    element = str(data("name", value))
    start, _, rest = element.partition(">")
    assert start == '<script type="application/json" id="name"'
    body = rest.removesuffix("</script>")
    assert "<" not in body
    assert json.loads(body) == value


def test_a_file_is_named_by_its_path_or_holds_itself(tmp_path: Path) -> None:
    (tmp_path / "a b#1.svg").write_text("<svg/>")
    assert asset_of(tmp_path, single_file=False)("x/a b#1.svg") == "x/a%20b%231.svg"
    inside = asset_of(tmp_path, single_file=True)("a b#1.svg")
    kind, _, body = inside.partition(";base64,")
    assert (kind, base64.b64decode(body)) == ("data:image/svg+xml", b"<svg/>")
