"""Tables: CSV in full, Markdown and LaTeX for reading, quoted figures marked as such."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from vaebench.reports.tables.comparison import comparison_tables
from vaebench.reports.tables.writers import Table, to_csv, to_latex, to_markdown

QUOTED = {
    "name": "SDXL_VAE",
    "variant": "psnr/rgb8",
    "unit": "dB",
    "value": 24.5,
    "protocol": "256 px by crop | COCO",
    "source": "table 3",
}


def tables(comparison: Any) -> dict[str, Table]:
    return {table.name: table for table in comparison_tables(comparison)}


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_markdown_is_this(make_comparison: Any, make_row: Any) -> None:
    same = {"mean_diff": 0.0004, "ci_low": -0.0003, "ci_high": 0.0012, "verdict": "same"}
    rows = [
        make_row(),
        make_row("lpips/alex-0.1", "eye", baseline_mean=0.1, codec_mean=0.1004, p_holm=1.0, **same),
    ]
    rows[1] |= {"n_images": 5, "note": "fewer than 6 pictures: Student's interval"}
    assert to_markdown(tables(make_comparison(rows, quoted=[QUOTED]))["comparison"]) == (
        "### after against before\n\n"
        "| region | metric | pictures | baseline | codec | difference | 95 % interval | p (Holm) "
        "| won | detectable | verdict |\n"
        "|:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|:--|\n"
        "| whole | psnr/rgb8, dB | 24 | 30.00 | 30.42 | +0.42 | \\[0.31, 0.55\\] | &lt; 0.001 "
        "| 87.5 % | 0.17 | better |\n"
        "| eye | lpips/alex-0.1 | 5 | 0.1000 | 0.1004 | +0.00040 | \\[-0.00030, 0.00120\\] | 1.000 "
        "| 87.5 % | 0.17000 | same within ±0.002 |\n\n"
        "*lpips/alex-0.1, eye*: fewer than 6 pictures: Student's interval.\n\n"
        "### Quoted figures, never computed with\n\n"
        "| name | metric | value | kind | protocol | source |\n"
        "|:--|:--|--:|:--|:--|:--|\n"
        "| SDXL\\_VAE | psnr/rgb8 | 24.5 dB | quoted | 256 px by crop \\| COCO | table 3 |\n"
    )


def test_csv_has_every_digit_and_says_what_is_unavailable(
    make_comparison: Any, make_row: Any
) -> None:
    third = 1 / 3
    rows = [make_row(mean_diff=third), make_row("mae/rgb8", mean_diff=None, ci_low=math.nan)]
    found = read_csv(to_csv(tables(make_comparison(rows, quoted=[QUOTED]))["comparison"]))
    assert float(found[0]["mean_diff"]) == third
    assert found[0]["n_images"] == "24"
    assert (found[1]["mean_diff"], found[1]["ci_low"]) == ("unavailable", "unavailable")
    assert found[1]["margin"] == ""
    quoted = found[2]
    assert (quoted["codec"], quoted["codec_mean"], quoted["verdict"]) == (
        "SDXL_VAE",
        "24.5",
        "quoted",
    )
    assert (quoted["protocol"], quoted["source"]) == ("256 px by crop | COCO", "table 3")
    assert quoted["mean_diff"] == ""


def test_latex_takes_any_name_as_text(make_comparison: Any, make_row: Any) -> None:
    rows = [make_row(codec="50%_$x$ & {y}", region="[eye]")]
    text = to_latex(tables(make_comparison(rows, name="made_up"))["comparison"])
    assert r"\caption{made\_up: 50\%\_\$x\$ \& \{y\} against before}" in text
    # A row that began with a bracket would be an argument of the rule above it.
    assert "\n{[eye]} & psnr/rgb8, dB & 24 &" in text
    assert text.count(r"\begin{longtable}{llrrrrrrrrl}") == 1
    assert text.count(r"\end{longtable}") == 1


def test_the_other_tables(make_comparison: Any, make_row: Any, make_values: Any) -> None:
    pairs = [(30.0, 31.0), (math.inf, math.inf), (30.0, math.inf)]
    apart = {
        "codec": "small",
        "variant": "psnr/rgb8",
        "unit": "dB",
        "mean": 31.25,
        "n_images": 3,
        "protocol": "256 px by crop, rounded to 8 bits",
    }
    mismatch = {"what": "protocol", "where": "small", "reason": "256 px by crop"}
    comparison = make_comparison(
        [make_row()],
        [make_values("psnr/rgb8", pairs)],
        apart=[apart, {**apart, "variant": "lpips/alex-0.1", "unit": "", "mean": None}],
        mismatches=[mismatch],
    )
    texts = {
        name: (to_csv(table), to_markdown(table)) for name, table in tables(comparison).items()
    }
    assert [row["difference"] for row in read_csv(texts["per_image"][0])] == ["1.0", "0.0", "inf"]
    assert "| p2.png | 30.00 | inf | +inf |" in texts["per_image"][1]
    assert [row["mean"] for row in read_csv(texts["apart"][0])] == ["31.25", "unavailable"]
    assert "| small | psnr/rgb8 | 31.25 dB | 3 |" in texts["apart"][1]
    assert "| small | lpips/alex-0.1 | unavailable | 3 |" in texts["apart"][1]
    assert read_csv(texts["mismatches"][0]) == [mismatch]
