"""The page of a run that was timed: alone, beside scores, unfinished, with any name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

from vaebench.bench.store.run import load_run
from vaebench.bench.store.tables import write_timings
from vaebench.reports import write_report
from vaebench.reports.pages.made import Drawn, Made
from vaebench.reports.pages.run import write_html
from vaebench.reports.pages.speed import facts, headline, problems
from vaebench.reports.plots import PLOTS, save

NASTY = '<script>alert("1")</script> & "50%" #1 ä'
QUALITY = {"viewer", "summary", "regions", "worst", "distributions", "rate", "latents", "pictures"}


def test_a_speed_run_is_about_speed_alone(
    make_run: Any, speed_spec: Any, made_up: Any, read_page: Any
) -> None:
    speed_spec.trend = made_up.trend_of({("vae · decode", "aaaaaaaaaaaa"): [1.0, 1.1]})
    run = make_run(speed_spec)
    page = read_page(write_report(run.folder))
    assert page.sections == ["speed", "history", "reading", "provenance"]
    assert "How fast are vae and tiny on NVIDIA H100 80GB HBM3?" in page.text
    assert page.pictures == [
        f"plots/{name}.svg"
        for name in (
            "stage_split",
            "latency_by_size",
            "latency_by_batch",
            "throughput",
            "memory",
            "trend",
        )
    ]
    assert "Not drawn" not in page.text
    assert "sizes 256×256, 512×512 batches 1, 4 precision float16 modes eager" in page.text
    for word in ("set hash", "reconstructions", "unavailable", "Pictures and their hashes"):
        assert word not in page.text
    assert "the medians of two windows in a row agreed" in page.text
    assert "cuDNN chooses kernels by trial: yes" in page.text
    assert "none: caches are as warm as the run before leaves them" in page.text
    assert "Environment" in page.text


def test_the_report_of_a_speed_run_is_the_same_every_time(make_run: Any, speed_spec: Any) -> None:
    # One stage: fewer panels to draw twice.
    speed_spec.timings = [cell for cell in speed_spec.timings if cell.stage == "decode"]
    run = make_run(speed_spec)

    def contents() -> dict[str, bytes]:
        write_report(run.folder)
        made = [run.folder / "report.html", *run.folder.glob("[pt]*s/*")]
        return {path.name: path.read_bytes() for path in made}

    first = contents()
    assert {"timings.csv", "timings.md", "timings.tex", "throughput.png"} <= set(first)
    assert "summary.md" not in first
    assert contents() == first


def test_the_headline_is_the_fastest_decoding_near_512_px(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    speed_spec.timings = [
        *made_up.sweep_of(("vae", "tiny")),
        made_up.cell("tiny", mode="compile", samples_ms=(4.0,) * 10, status="overflow", reason="."),
        made_up.cell("tiny", "encode", warmup_runs=1, samples_ms=(0.1,) * 10),
        made_up.cpu_cell("vae", samples_ms=(0.1,) * 10),
    ]
    leading = headline(make_run(speed_spec))
    assert leading is not None
    # Decoding at 512 px takes 8.00, 8.08, … 8.80 ms: p50 8.4, p99 8.792; 119 images a second.
    assert (leading.figure, leading.codec) == ("8.400 ms", "vae")
    assert leading.rest == (
        "decodes 512×512 px in 8.400 ms (119 images/s, p99 8.792 ms) in float16 "
        "on NVIDIA H100 80GB HBM3."
    )
    assert leading.others == "There tiny takes 16.80 ms in float16 (2.00 times as long)."


def test_a_cpu_s_headline_says_cpu(
    make_run: Any, speed_spec: Any, made_up: Any, read_page: Any
) -> None:
    speed_spec.codecs = ("vae",)
    speed_spec.timings = [made_up.cpu_cell("vae", batch=4, mode="compile", settled=False)]
    run = make_run(speed_spec)
    leading = headline(run)
    assert leading is not None
    assert leading.rest.startswith("decodes 4 pictures of 512×512 px in 15.00 ms (267 images/s")
    assert leading.rest.endswith("in float32 with compile on CPU (a CPU, 2 threads).")
    page = read_page(write_report(run.folder))
    assert "How fast is vae on a CPU?" in page.text
    assert "timed on CPU (a CPU, 2 threads)" in page.text
    assert ("device", "CPU (a CPU, 2 threads) – no GPU") in facts(run)
    assert "never settled , vae · decode · 512×512 · batch 4 · float32 · compile:" in page.text
    assert (
        "Not drawn: encode and decode (no codec was timed both encoding and decoding); latency "
        "against size (only one size was timed; give several --size); latency against batch and "
        "throughput (only one batch was timed; give several --batch); memory (the peak of memory "
        "is known of a GPU alone)." in page.text
    )


def test_a_classical_codec_leads_where_nothing_else_was_timed(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    jpeg = made_up.cpu_cell("jpeg", dtype=None, samples_ms=(1.0,) * 10)
    speed_spec.codecs, speed_spec.timings = ("vae", "jpeg"), [jpeg, made_up.cpu_cell("vae")]
    run = make_run(speed_spec)
    leading = headline(run)
    assert leading is not None
    assert (leading.codec, leading.others) == ("vae", "")
    write_timings(run.folder, [jpeg])
    leading = headline(load_run(run.folder))
    assert leading is not None
    assert leading.rest == (
        "decodes 512×512 px in 1.000 ms (1000 images/s, p99 1.000 ms) on CPU (a CPU, 2 threads)."
    )


def test_what_went_wrong_stands_at_the_top_gravest_first(
    make_run: Any, speed_spec: Any, made_up: Any, read_page: Any
) -> None:
    speed_spec.timings = [
        *(made_up.cell("vae", batch=batch, settled=False) for batch in (1, 2, 3)),
        made_up.cell("vae", batch=4, throttled=True),
        made_up.cell("vae", batch=5, status="overflow", reason="float16 overflows."),
        *(
            made_up.failed_cell("out of memory", "No memory.", codec="tiny", batch=batch)
            for batch in (6, 7, 8, 9)
        ),
    ]
    run = make_run(speed_spec)
    found = problems(run)
    words = ["out of memory", "overflow", "throttled", "never settled"]
    assert [item["words"] for item in found] == words
    assert found[0]["where"].endswith("batch 8 · float16 · eager; and 1 more")
    assert found[3]["where"] == "3 of 9 cells"
    page = read_page(write_html(run, Made()))
    notice = page.text.index("Timed cells that need a word")
    assert notice < page.text.index("No memory.") < page.text.index("The median (p50)")


def test_nothing_that_could_be_timed_is_a_report_all_the_same(
    make_run: Any, speed_spec: Any, made_up: Any, read_page: Any
) -> None:
    speed_spec.timings = [made_up.failed_cell("out of memory", "No memory.")]
    run = make_run(speed_spec)
    assert headline(run) is None
    page = read_page(write_report(run.folder))
    assert page.sections == ["speed", "reading", "provenance"]
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_scores_and_times_share_a_page(
    make_run: Any, photo_spec: Any, made_up: Any, read_page: Any
) -> None:
    photo_spec.timings = [
        made_up.cpu_cell(codec, stage, dtype="float32" if codec == "vae" else None)
        for codec in photo_spec.codecs
        for stage in ("encode", "decode", "roundtrip")
    ]
    run = make_run(photo_spec)
    (plot,) = PLOTS["quality_latency"](run)
    save(plot, run.folder / "plots")
    drawn = [Drawn("quality_latency", plot.stem, plot.caption, False)]
    page = read_page(write_html(run, Made(drawn, {"memory": "it is not known"})))
    assert set(page.sections) == {*QUALITY, "speed", "reading", "provenance"}
    assert "Not drawn: memory (it is not known)." in page.text
    assert (
        "What do vae , jpeg-q30 and webp-q30 do to 3 pictures, where, and how fast are they?"
        in page.text
    )
    assert "plots/quality_latency.svg" in page.pictures
    assert "set hash" in page.text
    assert "timed on CPU (a CPU, 2 threads)" in page.text


def test_scores_alone_leave_speed_out(make_run: Any, photo_spec: Any, read_page: Any) -> None:
    page = read_page(write_html(make_run(photo_spec), Made()))
    assert set(page.sections) == {*QUALITY, "reading", "provenance"}
    assert "do to 3 pictures, and where?" in page.text
    assert "timed on" not in page.text


def test_a_sweep_that_was_stopped_shows_the_cells_that_are_done(
    make_run: Any, speed_spec: Any, read_page: Any
) -> None:
    speed_spec.finished = False
    run = make_run(speed_spec)
    run = replace(run, record=replace(run.record, codecs=()))
    page = read_page(write_html(run, Made()))
    assert "Only the cells that were done are shown." in page.text
    assert "How fast are vae and tiny on" in page.text


def test_a_sweep_that_has_no_cell_yet_is_a_report_all_the_same(
    make_run: Any, speed_spec: Any, read_page: Any
) -> None:
    speed_spec.finished, speed_spec.timings = False, ()
    page = read_page(write_report(make_run(speed_spec).folder))
    assert page.sections == ["reading", "provenance"]
    assert "How fast are vae and tiny ?" in page.text


def test_any_name_and_reason_is_shown_as_text(
    make_run: Any, speed_spec: Any, made_up: Any, read_page: Any
) -> None:
    speed_spec.codecs, speed_spec.name = (NASTY,), NASTY
    fields = {"codec": NASTY, "device": NASTY}
    speed_spec.timings = [
        *(made_up.cell(stage=stage, **fields) for stage in ("encode", "decode")),
        *(made_up.cell(batch=batch, **fields) for batch in (2, 4)),
        made_up.failed_cell("failed", f"broken {NASTY}", **fields),
        made_up.cpu_cell(NASTY),
    ]
    speed_spec.trend = made_up.trend_of({(NASTY, NASTY): [1.0, 2.0]})
    run = make_run(speed_spec)
    path = write_report(run.folder)
    page = read_page(path)
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert f"broken {NASTY}" in page.text
    names = {name.name for name in (run.folder / "plots").iterdir()}
    assert "latency_by_batch-script-alert-1-script-50-1.svg" in names


def test_a_timed_report_needs_no_torch(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    speed_spec.timings = [made_up.cell(stage=stage) for stage in ("encode", "decode")]
    folder = make_run(speed_spec).folder
    code = (
        "import sys; from vaebench.reports import write_report; write_report(sys.argv[1]);"
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
