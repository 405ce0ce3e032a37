"""Plots of time and memory: a line a codec, a figure a device, and no device among another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.errors import VaebenchError
from vaebench.reports.plots import PLOTS, NothingToShowError
from vaebench.reports.plots.trend import draw_trend, write_trend

TIMED = (
    "latency_by_size",
    "latency_by_batch",
    "throughput",
    "memory",
    "stage_split",
    "quality_latency",
)


def shown(plot: Any) -> list[Any]:
    return [axis for axis in plot.figure.axes if axis.get_visible()]


def titles(plot: Any) -> list[str]:
    return [axis.get_title(loc="left") for axis in shown(plot)]


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(axis: Any) -> list[Any]:
    """Return the lines through cells, without their whiskers."""
    return [container.lines[0] for container in axis.containers]


def whisker(axis: Any, line: int, point: int) -> list[float]:
    segments = axis.containers[line].lines[2][0].get_segments()
    return [float(y) for _, y in segments[point]]


@pytest.mark.parametrize("name", TIMED)
def test_a_run_that_was_not_timed_says_so(make_run: Any, golden_spec: Any, name: str) -> None:
    with pytest.raises(NothingToShowError, match="not timed"):
        PLOTS[name](make_run(golden_spec))


def test_latency_by_size_has_a_panel_a_stage_and_a_line_a_codec(
    make_run: Any, speed_spec: Any
) -> None:
    (plot,) = PLOTS["latency_by_size"](make_run(speed_spec))
    assert plot.stem == "latency_by_size"
    assert titles(plot) == [
        f"{stage} · batch {batch}"
        for batch in (1, 4)
        for stage in ("Encode", "Decode", "Roundtrip")
    ]
    first = shown(plot)[0]
    assert (first.get_xscale(), first.get_yscale()) == ("log", "log")
    assert legend(plot.figure) == ["vae", "tiny"]
    # Encoding one picture of 256 px takes 1.00, 1.01, … 1.10 ms: p50 1.05, p90 1.09.
    vae = lines(first)[0]
    assert list(vae.get_xdata()) == [256, 512]
    assert list(vae.get_ydata()) == pytest.approx([1.05, 4.2])
    assert whisker(first, 0, 0) == pytest.approx([1.05, 1.09])
    assert "NVIDIA H100 80GB HBM3" in first.get_ylabel()
    assert "Measured on NVIDIA H100 80GB HBM3. All float16, eager." in plot.caption


def test_latency_and_throughput_by_batch(make_run: Any, speed_spec: Any) -> None:
    run = make_run(speed_spec)
    (latency,) = PLOTS["latency_by_batch"](run)
    (throughput,) = PLOTS["throughput"](run)
    assert titles(latency)[0] == titles(throughput)[0] == "Encode · 256 px"
    assert list(lines(shown(latency)[0])[1].get_ydata()) == pytest.approx([2.1, 2.1 * 4**0.9])
    rates = lines(shown(throughput)[0])[1]
    assert list(rates.get_xdata()) == [1, 4]
    assert list(rates.get_ydata()) == pytest.approx([1000 / 2.1, 4000 / (2.1 * 4**0.9)])
    assert whisker(shown(throughput)[0], 1, 0) == pytest.approx([1000 / 2.18, 1000 / 2.1])
    assert shown(throughput)[0].get_ylim()[0] == 0


def test_modes_and_precisions_are_lines_of_their_own(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    speed_spec.timings = [
        made_up.cell("vae", height_px=size, width_px=size, mode=mode, dtype=dtype)
        for size in (256, 512)
        for mode in ("eager", "compile")
        for dtype in ("float16", "bfloat16")
    ]
    (plot,) = PLOTS["latency_by_size"](make_run(speed_spec))
    assert legend(plot.figure) == [
        "vae · float16 · eager",
        "vae · bfloat16 · eager",
        "vae · float16 · compile",
        "vae · bfloat16 · compile",
    ]
    drawn = lines(shown(plot)[0])
    looks = {(line.get_linestyle(), line.get_fillstyle()) for line in drawn}
    assert len(looks) == 4
    assert "All" not in plot.caption


def test_devices_never_share_a_figure(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    speed_spec.timings = [
        *made_up.sweep_of(("vae",)),
        *made_up.sweep_of(("tiny",), made_up.cpu_cell),
    ]
    run = make_run(speed_spec)
    for name in ("latency_by_size", "latency_by_batch", "throughput", "stage_split"):
        gpu, cpu = PLOTS[name](run)
        assert gpu.stem == f"{name}-nvidia-h100-80gb-hbm3"
        assert cpu.stem == f"{name}-cpu"
        assert "Measured on CPU (a CPU, 2 threads), not on a GPU." in cpu.caption
        axis = shown(cpu)[0]
        assert "on CPU" in axis.get_ylabel() + axis.get_xlabel()
        assert "NVIDIA" not in axis.get_ylabel() + axis.get_xlabel() + cpu.caption
        assert "CPU" not in gpu.caption


def test_what_ran_out_of_memory_is_marked_where_it_did(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    large = {"batch": 4, "height_px": 1024, "width_px": 1024}
    speed_spec.timings = [
        *made_up.sweep_of(("vae",)),
        made_up.cell("tiny", status="overflow", reason=".", **large),
        made_up.failed_cell("out of memory", "No.", codec="vae", **large),
    ]
    (plot,) = PLOTS["latency_by_size"](make_run(speed_spec))
    assert set(legend(plot.figure)) == {"vae", "tiny", "out of memory", "overflow or throttled"}
    panel = shown(plot)[titles(plot).index("Decode · batch 4")]
    (mark,) = [line for line in panel.lines if line.get_label() == "out of memory"]
    assert list(mark.get_xdata()) == [1024]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["256", "512", "1024"]


def test_one_size_and_batch_is_no_curve(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    speed_spec.timings = [made_up.cell(stage=stage) for stage in ("encode", "decode")]
    run = make_run(speed_spec)
    with pytest.raises(NothingToShowError, match=r"only one size .*--size"):
        PLOTS["latency_by_size"](run)
    with pytest.raises(NothingToShowError, match=r"only one batch .*--batch"):
        PLOTS["throughput"](run)
    with pytest.raises(NothingToShowError, match="no metric"):
        PLOTS["quality_latency"](run)


def test_memory_is_a_gpus_alone(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    gpu, cpu = made_up.sweep_of(("vae",)), made_up.sweep_of(("tiny",), made_up.cpu_cell)
    speed_spec.timings = [*gpu, *cpu]
    (plot,) = PLOTS["memory"](make_run(speed_spec))
    assert legend(plot.figure) == ["vae"]
    assert list(lines(shown(plot)[0])[0].get_ydata()) == [1.5, 1.5]


def test_memory_of_a_cpu_is_not_known(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    speed_spec.timings = made_up.sweep_of(("tiny",), made_up.cpu_cell)
    with pytest.raises(NothingToShowError, match="a GPU alone"):
        PLOTS["memory"](make_run(speed_spec))


def test_bars_are_encode_and_decode_end_to_end(make_run: Any, speed_spec: Any) -> None:
    (plot,) = PLOTS["stage_split"](make_run(speed_spec))
    assert titles(plot) == ["256×256 px · batch 1", "512×512 px · batch 1"]
    bars = shown(plot)[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([1.05, 2.1, 2.1, 4.2])
    assert [bar.get_x() for bar in bars] == pytest.approx([0, 1.05, 0, 2.1])
    assert legend(plot.figure) == ["encode", "decode", "roundtrip"]
    words = [text.get_text() for text in shown(plot)[0].texts]
    assert words[0] == "1.050 + 2.100 ms, roundtrip 3.255"


def scored_and_timed(spec: Any, made_up: Any) -> Any:
    """The first codec of the made-up runs is scored in float32, the others are classical."""
    fast, slow = made_up.cell, made_up.cpu_cell
    spec.timings = [
        fast("vae", "roundtrip", dtype="float16", samples_ms=(1.0,) * 10),
        fast("vae", "roundtrip", dtype="float32", mode="compile", samples_ms=(2.0,) * 10),
        fast("vae", "roundtrip", dtype="float32", samples_ms=(8.0,) * 10),
        fast("vae", "roundtrip", dtype="float32", batch=4, samples_ms=(20.0,) * 10),
        slow("jpeg-q30", "roundtrip", dtype=None, samples_ms=(4.0,) * 10),
        slow("webp-q30", "decode", dtype=None, samples_ms=(4.0,) * 10),
    ]
    return spec


def test_quality_against_latency_is_in_the_precision_that_was_scored(
    make_run: Any, photo_spec: Any, made_up: Any
) -> None:
    run = make_run(scored_and_timed(photo_spec, made_up))
    (plot,) = PLOTS["quality_latency"](run)
    assert titles(plot) == ["PSNR, dB · higher is better", "FLIP · lower is better"]
    axis = shown(plot)[0]
    points = [c for c in axis.collections if len(c.get_offsets()) == 1 and c.get_label()[0] != "_"]
    psnr = run.scores[(run.scores["metric"] == "psnr") & (run.scores["region"] == "whole")]
    means = psnr.groupby("codec")["value"].mean()
    where = {point.get_label(): tuple(point.get_offsets()[0]) for point in points}
    assert where == {
        "vae": pytest.approx((8.0, means["vae"])),
        "jpeg-q30": pytest.approx((4.0, means["jpeg-q30"])),
    }
    faces = {point.get_label(): tuple(point.get_facecolor()[0][:3]) for point in points}
    assert faces["jpeg-q30"] == (1, 1, 1) != faces["vae"]
    assert "NVIDIA H100 80GB HBM3 (filled), CPU (hollow)" in axis.get_xlabel()
    assert "hollow markers are on CPU (a CPU, 2 threads), not on a GPU" in plot.caption


def test_quality_against_latency_needs_a_common_precision(
    make_run: Any, photo_spec: Any, made_up: Any
) -> None:
    photo_spec.timings = [made_up.cell("vae", "roundtrip", dtype="float16")]
    with pytest.raises(NothingToShowError, match="in which it was scored"):
        PLOTS["quality_latency"](make_run(photo_spec))


def test_a_trend_joins_no_environments_and_marks_steps(made_up: Any) -> None:
    frame = made_up.trend_of(
        {
            ("vae · decode · CPU", "aaaaaaaaaaaa"): [10.0, 10.0, 12.0, 12.0],
            ("vae · decode · CPU", "bbbbbbbbbbbb"): [5.0, 5.0],
            ("once", "aaaaaaaaaaaa"): [1.0],
        }
    )
    frame.loc[2, "is_step"] = True
    figure = draw_trend(frame)
    (axis,) = [axis for axis in figure.axes if axis.get_visible()]
    series = [line for line in axis.lines if line.get_label().startswith("environment")]
    assert [list(line.get_ydata()) for line in series] == [[10, 10, 12, 12], [5, 5]]
    assert legend(figure) == ["environment aaaaaaaa", "environment bbbbbbbb", "suspected step"]
    assert [text.get_text() for text in axis.texts] == ["+20 %"]
    (step,) = [line for line in axis.lines if line.get_label() == "suspected step"]
    assert list(step.get_xdata()) == [1.5, 1.5]


def test_a_trend_shows_twelve_cells_those_with_steps_first(
    make_run: Any, speed_spec: Any, made_up: Any
) -> None:
    values = {(f"cell {place}", "aaaaaaaaaaaa"): [1.0, 1.0, 1.0] for place in range(15)}
    frame = made_up.trend_of(values)
    frame.loc[len(frame) - 1, "is_step"] = True
    speed_spec.trend = frame
    (plot,) = PLOTS["trend"](make_run(speed_spec))
    assert len(shown(plot)) == 12
    assert shown(plot)[0].get_title(loc="left") == "cell 14"
    assert "3 more cells are in the history" in plot.caption


def test_noise_does_not_fill_a_panel_of_a_trend(made_up: Any) -> None:
    figure = draw_trend(made_up.trend_of({("c", "a"): [10.0, 10.01, 9.99]}))
    low, high = figure.axes[0].get_ylim()
    assert (low, high) == pytest.approx((9.5, 10.5))


def test_a_trend_is_written_by_its_ending(made_up: Any, tmp_path: Path) -> None:
    frame = made_up.trend_of({("c", "a"): [1.0, 2.0]})
    write_trend(frame, tmp_path / "t.svg")
    write_trend(frame, tmp_path / "t.PNG")
    assert (tmp_path / "t.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (tmp_path / "t.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(VaebenchError, match=r"ends in \.png or \.svg"):
        write_trend(frame, tmp_path / "t.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(VaebenchError, match="Cannot write"):
        write_trend(frame, tmp_path / "file" / "t.png")


def test_an_empty_history_has_no_trend(make_run: Any, speed_spec: Any, made_up: Any) -> None:
    with pytest.raises(NothingToShowError, match="measured twice"):
        PLOTS["trend"](make_run(speed_spec))
    with pytest.raises(NothingToShowError, match="measured twice"):
        draw_trend(made_up.trend_of({("once", "a"): [1.0]}))
