"""Plots show what the run holds, say why they show nothing, and leave no global state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from vaebench.bench.records import Region
from vaebench.reports.plots import PLOTS, NothingToShowError, save
from vaebench.reports.plots.latents import latents
from vaebench.reports.plots.style import COLOURS


def points_of(axis: Any) -> int:
    return sum(len(collection.get_offsets()) for collection in axis.collections)


def test_distributions_show_every_picture(make_run: Any, photo_spec: Any) -> None:
    (plot,) = PLOTS["distributions"](make_run(photo_spec))
    shown = [axis for axis in plot.figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == ["PSNR, dB", "FLIP"]
    assert [points_of(axis) for axis in shown] == [9, 9]


def test_distributions_count_identical_pictures_apart(make_run: Any, golden_spec: Any) -> None:
    (plot,) = PLOTS["distributions"](make_run(golden_spec))
    axis = plot.figure.axes[0]
    assert points_of(axis) == 7
    assert "+1 identical (inf)" in [text.get_text() for text in axis.texts]


def test_region_bars_have_the_tables_heights(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    (plot,) = PLOTS["regions"](run)
    heights = [bar.get_height() for bar in plot.figure.axes[0].patches]
    psnr = run.scores[run.scores["variant"] == "psnr/rgb8"]
    expected: list[float] = []
    for codec in photo_spec.codecs:
        of_codec = psnr[psnr["codec"] == codec]
        means = of_codec.groupby("kind")["value"].mean()
        expected.extend(means[["whole", "eye", "face", "nose"]])
    assert heights == pytest.approx(expected)


def test_error_maps_share_one_colour_scale(make_run: Any, photo_spec: Any) -> None:
    (plot,) = PLOTS["error_maps"](make_run(photo_spec))
    images = [image for axis in plot.figure.axes for image in axis.images]
    maps = [image for image in images if image.get_array().ndim == 2]
    assert len(maps) == 9
    assert len({image.get_clim() for image in maps}) == 1
    assert "FLIP per pixel (flip/ppd67)" in [text.get_text() for text in plot.figure.texts]


def test_strips_write_each_region_s_value_below_it(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    (plot,) = PLOTS["strips"](run)
    texts = [text.get_text() for axis in plot.figure.axes for text in axis.texts]
    rows = run.scores[(run.scores["region"] == "left-eye") & (run.scores["metric"] == "psnr")]
    for value in rows["value"]:
        assert any(text.startswith(f"{value:.2f} dB (") for text in texts)


@pytest.mark.parametrize("channels", [1, 4, 16, 32])
def test_latents_of_any_number_of_channels(make_run: Any, photo_spec: Any, channels: int) -> None:
    photo_spec.latent_channels = channels
    (plot,) = latents(make_run(photo_spec))
    assert len(plot.figure.axes) == channels
    ranges = [axis.texts[-1].get_text() for axis in plot.figure.axes]
    assert ranges[0].startswith("−2 … ")
    assert ranges[-1].endswith(" … 3")


def test_latents_that_are_not_finite_are_counted(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    path = run.latents_path("vae", "cat.png")
    channels = np.load(path)
    channels[1, 0, :3] = np.nan
    channels[2] = np.inf
    np.save(path, channels)
    (plot,) = latents(run)
    notes = [axis.texts[-1].get_text() for axis in plot.figure.axes]
    assert notes[1].endswith("3 not finite")
    assert notes[2] == "no finite value"


def test_latents_of_codecs_with_like_names_get_files_of_their_own(
    make_run: Any, photo_spec: Any
) -> None:
    photo_spec.codecs = ("a#b", "jpeg")
    run = make_run(photo_spec)
    other = run.folder / "latents" / "A b" / "cat.png.npy"
    other.parent.mkdir()
    np.save(other, np.zeros((2, 3, 4), np.float32))
    first, second = run.record.codecs
    record = replace(run.record, codecs=(first, replace(second, name="A b")))
    assert [plot.stem for plot in latents(replace(run, record=record))] == [
        "latents-a_b",
        "latents-A_b-2",
    ]


def test_what_cannot_be_shown_says_why(make_run: Any, golden_spec: Any) -> None:
    golden_spec.keep = lambda image_id: False
    run = make_run(golden_spec)
    reasons = {"strips": "--regions", "regions": "--regions", "error_maps": "--keep all"}
    for name, mend in {**reasons, "latents": "--keep all"}.items():
        with pytest.raises(NothingToShowError, match=mend):
            PLOTS[name](run)


def test_many_codecs_wrap_and_stay_at_page_width(make_run: Any, photo_spec: Any) -> None:
    photo_spec.codecs = tuple(f"codec-{place}" for place in range(12))
    photo_spec.pixels = {"cat.png": photo_spec.pixels["cat.png"]}
    photo_spec.regions = (Region("cat.png", "left-eye", "eye", (57, 35, 126, 98)),)
    run = make_run(photo_spec)
    for name in ("strips", "error_maps", "distributions", "rate"):
        (plot,) = PLOTS[name](run)
        assert plot.figure.get_figwidth() == 9.0


def test_saving_leaves_matplotlib_s_settings_alone(
    make_run: Any, golden_spec: Any, tmp_path: Path
) -> None:
    before = dict(mpl.rcParams)
    (plot,) = PLOTS["rate"](make_run(golden_spec))
    png, svg = save(plot, tmp_path / "plots")
    assert dict(mpl.rcParams) == before
    with Image.open(png) as picture:
        assert picture.size[0] == 1800
        assert "Software" not in picture.info
    assert b"<dc:date>" not in svg.read_bytes()


def test_the_colours_are_okabe_and_ito_s() -> None:
    assert set(COLOURS) == {
        *("#000000", "#E69F00", "#56B4E9", "#009E73"),
        *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    }
