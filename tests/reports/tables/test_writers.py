"""Names with every special character come out as text in Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from vaebench.reports import tables
from vaebench.reports.tables.writers import latex_text, markdown_text, to_csv, to_latex, to_markdown

NASTY = 'a&b_50%#$^~\\{x}<script>|"q",`c`*[l](u)\n.png'


def test_latex_specials_are_escaped() -> None:
    assert latex_text("50%_a&b#$") == r"50\%\_a\&b\#\$"
    assert latex_text("\\{~^}") == r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}\}"
    assert latex_text("<a|b>") == r"\textless{}a\textbar{}b\textgreater{}"
    bare = re.sub(r"\\[{}&%#$_]|\\text\w+\{\}", "", latex_text(NASTY))
    assert not set(bare) & set("\\{}&%#$_^~<>|\n")


def test_latex_has_a_command_for_every_letter_beyond_latin() -> None:
    assert latex_text("(Σλ)²/Σλ²") == (
        r"(\ensuremath{\Sigma}\ensuremath{\lambda})²/\ensuremath{\Sigma}\ensuremath{\lambda}²"
    )
    assert latex_text("√(x) ≤ ∞") == r"\ensuremath{\surd}(x) \ensuremath{\leq} \ensuremath{\infty}"
    assert latex_text("ünï×.png") == "ünï×.png"
    # pdfLaTeX has no font for these, and stops.
    assert latex_text("猫.png") == "[U+732B].png"


def test_latex_sets_all_that_the_tables_say() -> None:
    """Whatever stands in the tables' own words comes out in what pdfLaTeX can set."""
    said = "".join(path.read_text("utf-8") for path in Path(tables.__file__).parent.glob("*.py"))
    for character in sorted({one for one in said if ord(one) > 127}):
        assert "[U+" not in latex_text(character), character


def test_markdown_specials_are_escaped() -> None:
    assert markdown_text("a|b") == r"a\|b"
    assert markdown_text("<b>&*x*") == r"&lt;b&gt;&amp;\*x\*"
    assert "\n" not in markdown_text(NASTY)


def test_latex_takes_no_row_for_an_argument_of_the_one_before(
    make_run: Any, golden_spec: Any, table_of: Any
) -> None:
    golden_spec.codecs = ("[one]", "*two")
    golden_spec.fixed = {}
    text = to_latex(table_of(make_run(golden_spec), "summary"))
    assert "\n{[one]} & " in text and "\n{*two} & " in text
    assert not re.search(r"\\\\\s*[\[*]", text)


def test_nasty_names_keep_a_table_s_shape(make_run: Any, golden_spec: Any, table_of: Any) -> None:
    golden_spec.codecs = (NASTY, "two")
    run = make_run(golden_spec)
    table = table_of(run, "per_image")
    rows = list(csv.reader(io.StringIO(to_csv(table))))
    assert {len(row) for row in rows} == {9}
    assert rows[1][1] == NASTY
    lines = to_markdown(table).split("\n\n")[0].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {10}
    latex = [line for line in to_latex(table).splitlines() if "unavailable &" in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in latex} == {8}
