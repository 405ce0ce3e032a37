"""Tables of timings by hand: percentiles, rates, words for what went wrong, dashes for the rest."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

import pytest
from vaebench.bench.records import DeviceState
from vaebench.reports.tables.run import TABLES
from vaebench.reports.tables.timings import remarks, timed_cells, timings
from vaebench.reports.tables.writers import to_csv, to_latex, to_markdown

NASTY = 'a&b_50%#$^~\\{x}<script>|"q",`c`*[l](u)'

# Samples 10, 11, … 20 ms: p50 15, p90 19, p99 19.9; 1 / 15 ms is 66.7 images a second.
FIRST = """\
### Time of a batch on NVIDIA H100 80GB HBM3

| codec | stage | size | batch | dtype | mode | p50 ms | p99 ms | images/s | memory | note |
|:--|:--|--:|--:|:--|:--|--:|--:|--:|--:|:--|
| vae | decode | 512×512 | 1 | float16 | eager | 15.00 | 19.90 | 66.7 | 1.50 GiB |  |

### Percentiles, work and memory on NVIDIA H100 80GB HBM3

| codec | stage | size | batch | dtype | mode | p50 ms | p90 ms | p99 ms | MP/s | TFLOP/s \
| of peak | allocated | reserved | first call ms | samples | warm-up runs | settled | clock \
| status |
|:--|:--|--:|--:|:--|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|:--|:--|
| vae | decode | 512×512 | 1 | float16 | eager | 15.00 | 19.00 | 19.90 | 17.5 | 168 | 16.9 % \
| 1.50 GiB | 2.00 GiB | 843.0 | 11 | 26 | yes | cuda events | ok |
"""


def test_a_cell_in_markdown_is_as_by_hand(
    make_run: Any, speed_spec: Any, made_up: Any, table_of: Any
) -> None:
    speed_spec.timings = [made_up.cell()]
    run = make_run(speed_spec)
    assert to_markdown(table_of(run, "timings")) == FIRST


def test_csv_has_every_digit_and_whole_numbers(
    make_run: Any, speed_spec: Any, made_up: Any, table_of: Any
) -> None:
    speed_spec.timings = [made_up.cell(batch=4), made_up.cpu_cell(flop=None)]
    run = make_run(speed_spec)
    gpu, cpu = csv.DictReader(io.StringIO(to_csv(table_of(run, "timings"))))
    assert float(gpu["images_per_s"]) == 4000 / 15
    assert float(gpu["megapixels_per_s"]) == pytest.approx(4000 / 15 * 0.262144, rel=1e-15)
    assert float(gpu["tflops"]) == pytest.approx(2.515 / 15e-3, rel=1e-15)
    assert float(gpu["share_of_peak"]) == pytest.approx(2.515 / 15e-3 / 989.5, rel=1e-15)
    assert (gpu["p50_ms"], gpu["p90_ms"], gpu["p99_ms"]) == ("15.0", "19.0", "19.9")
    assert (gpu["peak_bytes"], gpu["samples"], gpu["threads"]) == ("1610612736", "11", "")
    assert (cpu["device"], cpu["threads"], cpu["clock"]) == ("CPU", "2", "perf_counter")
    for name in ("tflops", "share_of_peak", "flop", "peak_bytes", "throttled", "reason"):
        assert cpu[name] == ""


def test_cells_come_back_from_the_folder_as_they_were(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    state = DeviceState(1410, 1980, 2619, 71, 699.8, ("power cap",))
    written = [
        made_up.cell(throttled=True, after=state),
        made_up.cpu_cell("jpeg", dtype=None),
        made_up.failed_cell("out of memory", "CUDA out of memory."),
    ]
    speed_spec.codecs, speed_spec.timings = ("vae", "jpeg"), written
    assert timed_cells(make_run(speed_spec)) == written


def test_what_went_wrong_is_in_words_with_its_reason_below(
    make_run: Any, speed_spec: Any, made_up: Any, table_of: Any
) -> None:
    state = DeviceState(throttle_reasons=("power cap", "hardware slowdown"))
    speed_spec.timings = [
        made_up.cell("vae", settled=False),
        made_up.cell("vae", throttled=True, after=state),
        made_up.cell("vae", status="overflow", reason="float16 overflows.", settled=False),
        made_up.failed_cell("out of memory", "Tried to allocate 32 GiB.", batch=8),
    ]
    run = make_run(speed_spec)
    text = to_markdown(table_of(run, "timings"))
    first = text.split("\n### ")[0]
    assert "| 8 | float16 | eager | – | – | – | – | out of memory |" in first
    assert "| overflow, never settled |" in first
    notes = [line for line in first.splitlines() if line.startswith("*")]
    assert notes == [
        "*out of memory*: vae · decode · 512×512 · batch 8 · float16 · eager: "
        "Tried to allocate 32 GiB.",
        "*overflow*: vae · decode · 512×512 · batch 1 · float16 · eager: float16 overflows.",
        "*throttled*: vae · decode · 512×512 · batch 1 · float16 · eager: "
        "clocks held down by power cap, hardware slowdown",
        "*never settled*: 2 of 4 cells: "
        "the warm-up ended before the medians of two windows in a row agreed",
    ]
    failed = text.rstrip().splitlines()[-1]
    assert failed.count("| – ") == 12
    assert failed.endswith("| cuda events | out of memory |")
    assert not re.search(r"\b(nan|None|NaN|<NA>)\b", text + to_csv(table_of(run, "timings")))


def test_a_throttled_cell_without_a_named_reason_says_so_all_the_same(made_up: Any) -> None:
    (remark,) = remarks(made_up.cell(throttled=True))
    assert remark == ("throttled", "clocks held down by the driver")


def test_devices_stand_in_a_column_where_there_are_several(
    make_run: Any, speed_spec: Any, made_up: Any, table_of: Any
) -> None:
    speed_spec.timings = [made_up.cpu_cell("tiny", dtype=None), made_up.cell("vae")]
    run = make_run(speed_spec)
    lines = to_markdown(table_of(run, "timings")).splitlines()
    assert lines[0] == "### Time of a batch on NVIDIA H100 80GB HBM3 and CPU (a CPU, 2 threads)"
    assert lines[4].startswith("| tiny | decode | 512×512 | 1 | – | – | CPU | 15.00 |")
    assert lines[5].startswith("| vae | decode | 512×512 | 1 | float16 | eager | NVIDIA H100")


def test_any_name_keeps_the_tables_shape(
    make_run: Any, speed_spec: Any, made_up: Any, table_of: Any
) -> None:
    speed_spec.codecs = (NASTY, "tiny")
    speed_spec.timings = [made_up.cell(NASTY), made_up.failed_cell("failed", NASTY, codec=NASTY)]
    run = make_run(speed_spec)
    rows = list(csv.reader(io.StringIO(to_csv(table_of(run, "timings")))))
    assert len({len(row) for row in rows}) == 1
    assert rows[1][0] == rows[2][rows[0].index("reason")] == NASTY
    markdown = to_markdown(table_of(run, "timings"))
    table = markdown.split("\n\n")[1].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {12}
    assert "<script>" not in markdown
    latex = to_latex(table_of(run, "timings"))
    cells = [line for line in latex.splitlines() if line.startswith(r"a\&b") and "eager" in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in cells} == {10, 19}
    assert r"\noindent{\footnotesize\emph{failed}: a\&b\_50\%" in latex


def test_a_run_that_was_not_timed_has_no_table(make_run: Any, golden_spec: Any) -> None:
    run = make_run(golden_spec)
    assert timings(run).empty
    assert timed_cells(run) == []


def test_a_speed_run_has_that_table_alone(make_run: Any, speed_spec: Any) -> None:
    run = make_run(speed_spec)
    assert [name for name, make in TABLES.items() if not make(run).empty] == ["timings"]
    assert len(timings(run)) == 24
    assert all(math.isfinite(ms) for ms in timings(run)["p50_ms"])
