"""The pages of gate, explain and ladder: what they say, where bars lie, what stays text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vaebench.bench.errors import VaebenchError
from vaebench.reports.pages.explain import explain_page
from vaebench.reports.pages.gate import gate_page
from vaebench.reports.pages.ladder import ladder_page, write_ladder

ROWS = [["rung", "psnr"], ["base", "30"], ["f_16", "-0.5"]]
HOSTILE = "<img src=x onerror=alert(1)>"


def rule(**told: Any) -> dict[str, Any]:
    return {
        "rule": "psnr: at least 24 dB",
        "codec": "mine",
        "baseline": None,
        "verdict": "pass",
        "found": "30 [28, 32] dB",
        "basis": "24 pictures",
        "sentence": "30 [28, 32] dB, 24 pictures: at least 24 dB",
        "seconds": 0.1,
        "condition": "at least",
        "higher_is_better": True,
        "limit": 24.0,
        "estimate": 30.0,
        "ci_low": 28.0,
        "ci_high": 32.0,
        **told,
    }


def gate(*rules: dict[str, Any], verdict: str = "pass") -> dict[str, Any]:
    return {
        "gate": "release",
        "created": "2026-01-02T03:04:05",
        "verdict": verdict,
        "exit_code": {"pass": 0, "fail": 1, "inconclusive": 3}[verdict],
        "baseline": None,
        "runs": ["runs/a"],
        "rules": list(rules),
    }


def bar(html: str) -> dict[str, float]:
    """Return where the limit, the estimate and the allowed side of the only interval lie."""
    number = r"([\d.]+)"
    limit = re.search(rf'class="limit" x1="{number}"', html)
    estimate = re.search(rf'class="estimate" x1="{number}"', html)
    span = re.search(rf'class="span" x1="{number}" x2="{number}"', html)
    allowed = re.search(rf'class="allowed" x="{number}" y="0" width="{number}"', html)
    assert limit and estimate and span and allowed
    return {
        "limit": float(limit[1]),
        "estimate": float(estimate[1]),
        "low": float(span[1]),
        "high": float(span[2]),
        "from": float(allowed[1]),
        "to": float(allowed[1]) + float(allowed[2]),
    }


def test_a_gate_says_its_verdict_first_and_every_rule() -> None:
    failing = rule(rule="bpp: at most 2 bit/px", verdict="fail", condition="at most", limit=2.0)
    html = gate_page(gate(rule(), failing, verdict="fail"), "vaebench gate release.toml")
    assert '<div class="headline worse"><div class="figure">fail</div>' in html
    assert "1 pass, 1 fail of 2 rules; exit code 1." in html
    assert "psnr: at least 24 dB" in html and "bpp: at most 2 bit/px" in html
    assert "vaebench gate release.toml" in html
    assert "<script" not in html and "Content-Security-Policy" in html


@pytest.mark.parametrize(
    ("told", "keeps"),
    [
        ({}, True),
        ({"condition": "at most", "limit": 20.0}, False),
        ({"condition": "not worse by more than", "limit": 0.1, "estimate": 0.3, "ci_low": 0.2,
          "ci_high": 0.4}, True),
        ({"condition": "not worse by more than", "limit": 0.1, "estimate": 0.3, "ci_low": 0.2,
          "ci_high": 0.4, "higher_is_better": False}, False),
        ({"condition": "not worse by more than", "limit": 0.1, "estimate": -0.3, "ci_low": -0.4,
          "ci_high": -0.2}, False),
    ],
)  # fmt: skip
def test_the_bar_lies_on_the_side_that_the_rule_means(told: dict[str, Any], keeps: bool) -> None:
    drawn = bar(gate_page(gate(rule(**told))))
    assert 0 < drawn["low"] < drawn["estimate"] < drawn["high"] < 100
    assert (drawn["from"] <= drawn["low"] and drawn["high"] <= drawn["to"]) is keeps
    assert drawn["limit"] in (drawn["from"], drawn["to"])


def test_a_latency_rule_has_its_bar_from_the_test() -> None:
    timed = rule(latency={"low": 0.01, "high": 0.05, "effect": 0.03, "threshold": 0.1})
    drawn = bar(gate_page(gate(timed)))
    assert drawn["high"] < drawn["limit"] == drawn["to"]


def test_a_rule_without_an_interval_has_no_bar() -> None:
    html = gate_page(gate(rule(estimate=None, ci_low=None, ci_high=None)))
    assert 'class="interval"' not in html
    assert "inf" not in bar_free(gate_page(gate(rule(ci_high=float("inf")))))


def bar_free(html: str) -> str:
    return "".join(re.findall(r"<svg.*?</svg>", html))


def finding(value: float, **told: Any) -> dict[str, Any]:
    return {
        "codec": "mine",
        "variant": "psnr/rgb8",
        "told": "mean of PSNRs",
        "value": value,
        "distance": value - 30.2,
        "n_images": 24,
        "also": ["psnr/capped"],
        **told,
    }


def explanation(matches: list[float], others: list[float], tolerance: float) -> dict[str, Any]:
    found = [finding(value) for value in matches]
    far = [finding(value) for value in others]
    return {
        "run": "kodak",
        "metric": "psnr",
        "unit": "dB",
        "quoted": 30.2,
        "tolerance": tolerance,
        "n_images": 24,
        "matches": found,
        "nearest": far[:5],
        "computed": [*found, *far],
        "not_computable": [{"codec": "mine", "variant": "lpips/vgg", "reason": "no weights"}],
    }


def test_an_explained_figure_names_its_variants() -> None:
    html = explain_page(explanation([30.19], [29.0, 33.0], 0.05))
    assert '<div class="figure">1 of 3</div>' in html
    assert "mean of PSNRs; also psnr/capped" in html
    assert "30.1900" in html and "−0.0100" in html
    assert "no weights" in html
    assert 'class="notice"' not in html


def test_no_variant_is_said_and_the_nearest_are_shown() -> None:
    html = explain_page(explanation([], [29.0, 33.0], 0.05))
    assert '<div class="figure">none</div>' in html
    assert "What gives it" not in html and "What comes nearest" in html


def test_a_tolerance_that_would_match_anything_is_warned_of() -> None:
    html = explain_page(explanation([30.19], [30.0, 30.4], 0.5))
    assert "Quote more decimals" in html


def ladder(name: str = "mine") -> tuple[dict[str, Any], pd.DataFrame]:
    rows = [
        ("base", "alone", 30.0, 0.0, ""),
        ("base", "cumulative", 30.0, 0.0, ""),
        ("float16", "alone", 29.5, -0.5, ""),
        ("float16", "cumulative", 29.5, -0.5, ""),
        ("tiling", "alone", np.nan, np.nan, "no tiling"),
        ("tiling", "cumulative", np.nan, np.nan, "no tiling"),
    ]
    table = pd.DataFrame(
        [
            {
                "rung": rung,
                "mode": mode,
                "metric": "psnr",
                "variant": "psnr/rgb8",
                "value": value,
                "difference": difference,
                "n_images": 2,
                "note": note,
            }
            for rung, mode, value, difference, note in rows
        ]
    )
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    column = {"name": "psnr", "variant": "psnr/rgb8", "unit": "dB", "higher_is_better": True}
    return {
        "codec": {"name": name, "source": "./vae", "weights_sha256": "ab" * 32},
        "n_images": 2,
        "size": None,
        "fit": None,
        "metrics": {"psnr": column},
        "skipped": [{"image_id": "bad.png", "reason": "truncated"}],
        "rungs": records,
    }, table


def test_a_ladder_opens_with_its_dearest_rung() -> None:
    told, _ = ladder()
    html = ladder_page(told, "ladder.svg", "caption", "vaebench ladder")
    assert '<div class="figure">−0.500 dB</div>' in html
    assert "of psnr by float16" in html
    assert "unavailable" in html and "no tiling" in html
    assert "bad.png could not be used: truncated" in html


def test_a_ladder_is_written_with_its_table_and_plot(tmp_path: Path) -> None:
    told, table = ladder()
    page = write_ladder(
        tmp_path / "l", told, table, ("A ladder", ROWS, ["tiling: none"]), "vaebench ladder"
    )
    assert {path.name for path in page.parent.iterdir()} == {
        "ladder.csv", "ladder.md", "ladder.png", "ladder.svg", "ladder.html",
    }  # fmt: skip
    assert (page.parent / "ladder.md").read_text() == (
        "A ladder\n\n| rung | psnr |\n|:--|--:|\n| base | 30 |\n| f\\_16 | -0.5 |\n\n"
        "- tiling: none\n"
    )
    again = pd.read_csv(page.parent / "ladder.csv", keep_default_na=True)
    assert np.allclose(again["difference"], table["difference"], equal_nan=True)
    assert 'src="ladder.svg"' in page.read_text(encoding="utf-8")


def test_a_ladder_without_a_number_has_no_plot(tmp_path: Path) -> None:
    told, table = ladder()
    table[["value", "difference"]] = np.nan
    told["rungs"] = table.astype(object).where(table.notna(), None).to_dict("records")
    page = write_ladder(tmp_path, told, table, ("", ROWS, ()), "")
    assert not (tmp_path / "ladder.svg").exists()
    assert "<img" not in page.read_text(encoding="utf-8")


def test_a_ladder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told, table = ladder()
    with pytest.raises(VaebenchError, match="Choose another --out"):
        write_ladder(tmp_path / "file" / "l", told, table, ("", ROWS, ()), "")


@pytest.mark.parametrize("kind", ["gate", "explain", "ladder"])
def test_names_from_outside_stay_text(kind: str) -> None:
    pages = {
        "gate": lambda: gate_page(gate(rule(codec=HOSTILE, sentence=HOSTILE)), HOSTILE),
        "explain": lambda: explain_page(
            explanation([30.2], [31.0], 0.05) | {"run": HOSTILE}, HOSTILE
        ),
        "ladder": lambda: ladder_page(ladder(HOSTILE)[0], None, "", HOSTILE),
    }
    html = pages[kind]()
    assert HOSTILE not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
