"""The command on small real pictures: a demonstration checkpoint beside files."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.latents.stream import pack_latents, unpack_latents
from vaebench.bench.errors import RunFolderError, SuiteError
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.rate import picture as rd_picture
from vaebench.bench.rate.knobs import Asked
from vaebench.bench.rate.points import PointCache
from vaebench.bench.rate.store import RD_COLUMNS, load_rd
from vaebench.bench.rate.sweep import rate_distortion
from vaebench.bench.records import Encoded
from vaebench.bench.suite import CodecSpec

SPECS = ("demo-f8c4", "jpeg", "webp")
ASKED = Asked.parse(["demo-f8c4=0.2,0.5,1,2", "jpeg=10,40,70,90", "webp=10,40,70,90"])


def sweep(images, folder, specs=SPECS, asked=ASKED, **more):
    chosen = Asked({name: values for name, values in asked.values.items() if name in specs})
    settings = {"metrics": ["psnr", "ssim"], "workers": 1, **more}
    codecs = [CodecSpec.parse(text) for text in specs]
    return rate_distortion(codecs, [str(images)], folder, asked=chosen, **settings)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(7)
    for index, (height, width) in enumerate([(64, 56), (48, 80), (50, 61)]):
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / (3 + index) + band) * np.cos(y / 5) for band in range(3)]
        noise = random.normal(0, 4, (height, width, 3))
        pixels = np.clip(128 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    regions = {
        "1.png": [
            {"name": "sign", "kind": "text", "box": [40, 10, 80, 40]},
            {"name": "left-eye", "kind": "eye", "box": [4, 6, 20, 22]},
        ]
    }
    (folder / "regions.json").write_text(json.dumps(regions))
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def found(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rd") / "out"
    return sweep(pictures, folder, regions=[str(pictures / "regions.json")])


def test_every_point_is_a_row_of_each_metric(found):
    points = pd.read_parquet(found.folder / "rd.parquet")
    assert tuple(points.columns) == RD_COLUMNS
    assert len(points) == 3 * 4 * 3 * 2 and points["value"].notna().all()
    assert set(points["setting"]) == {
        *("step=0.2", "step=0.5", "step=1", "step=2"),
        *("q=10", "q=40", "q=70", "q=90"),
    }
    assert [entry["image_id"] for entry in found.record["skipped"]] == ["broken.png"]
    assert found.record["failures"] == []


@pytest.mark.parametrize("image_id", ["0.png", "2.png"])
def test_an_autoencoders_point_is_the_bytes_of_its_latents_and_what_they_decode_to(
    found, pictures, image_id
):
    codec = open_codec("it", "demo-f8c4", {})
    rgb = read_pixels(pictures / image_id).rgb
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="reflect")
    pixels = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        payload = pack_latents(codec.encode(pixels).latents[0].numpy(), step=0.5)
        latents = torch.from_numpy(unpack_latents(payload))[None]
        decoded = codec.decode(Encoded((0,), latents=latents))[0, :, :height, :width]
    levels = decoded.clamp(0, 1).mul(255).round().permute(1, 2, 0).double().numpy()
    psnr = 10 * np.log10(255**2 / np.square(levels - rgb).mean())
    points = found.points.query("codec == 'demo-f8c4' and setting == 'step=0.5'")
    row = points.query("image_id == @image_id and metric == 'psnr'").iloc[0]
    assert row["nbytes"] == len(payload)
    # Bits of the picture's own pixels, not of the padded ones.
    assert row["bpp"] == pytest.approx(8 * len(payload) / (height * width))
    assert row["value"] == pytest.approx(psnr, abs=1e-3)


def test_a_files_point_is_its_bytes(found, pictures):
    rgb = read_pixels(pictures / "1.png").rgb.copy()
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    points = found.points.query("codec == 'jpeg' and image_id == '1.png' and metric == 'psnr'")
    for row in points.to_dict("records"):
        codec = open_codec("it", "jpeg", {"q": int(row["setting"].removeprefix("q="))})
        assert row["nbytes"] == codec.encode(pixels).nbits[0] // 8


def test_rates_are_counted_in_four_ways(found):
    rates = found.rates
    assert list(rates["setting"]) == ["step=0.2", "step=0.5", "step=1", "step=2"]
    assert (rates["n_images"] == 3).all()
    points = found.points.query("codec == 'demo-f8c4' and metric == 'psnr'")
    means = points.groupby("setting", sort=False)["bpp"].mean()
    assert rates["bpp"].tolist() == pytest.approx(means.tolist())
    # All raw bits over all stored bits: pictures count by their size.
    stored = points.assign(pixels=8 * points["nbytes"] / points["bpp"])
    sums = stored.groupby("setting", sort=False)[["pixels", "nbytes"]].sum()
    assert rates["ratio"].tolist() == pytest.approx((3 * sums["pixels"] / sums["nbytes"]).tolist())
    assert (rates["entropy_bpp"] < rates["bpp"]).all()
    assert (rates["header_bpp"] > 0).all()
    # Padded pictures have a few more elements than 4 for each 64 pixels.
    assert ((rates["elements_ratio"] < 48) & (rates["elements_ratio"] > 40)).all()
    assert rates["stored_ratio_fp16"].tolist() == pytest.approx(
        (2 * rates["stored_ratio_fp32"]).tolist()
    )
    assert rates["stored_ratio_fp32"].tolist() == pytest.approx(
        (rates["elements_ratio"] / 4).tolist()
    )


def test_deltas_are_against_jpeg_with_a_reason_for_what_is_missing(found):
    assert found.record["anchor"] == "jpeg"
    assert list(found.bd["codec"]) == ["demo-f8c4", "demo-f8c4", "webp", "webp"]
    assert set(found.bd["anchor"]) == {"jpeg"}
    assert (found.bd["note"] != "").all()
    assert found.bd["ci_low"].isna().all()  # three pictures
    assert list(found.bd_quality["unit"]) == ["dB", "", "dB", ""]


def test_files_come_near_the_autoencoders_bytes_or_say_how_near(found):
    equal = found.equal.query("metric == 'psnr'")
    assert len(equal) == 3 * 3
    others = equal[equal["codec"] != "demo-f8c4"]
    near = others["deviation"].abs() <= 0.02
    assert (near == (others["note"] == "")).all()
    coder = found.points.query("codec == 'demo-f8c4' and setting == 'step=1' and metric == 'psnr'")
    wanted = coder.set_index("image_id")["nbytes"]
    assert (equal["wanted_bytes"] == equal["image_id"].map(wanted)).all()
    deviation = equal["nbytes"] / equal["wanted_bytes"] - 1
    assert deviation.tolist() == pytest.approx(equal["deviation"].tolist())


def test_the_gallery_keeps_pictures_with_eyes_first_and_scores_of_regions(found, pictures):
    gallery = found.record["gallery"]
    assert gallery["pictures"][0]["image_id"] == "1.png"
    assert [region["name"] for region in gallery["pictures"][0]["regions"]] == ["left-eye", "sign"]
    with Image.open(found.folder / "gallery" / gallery["pictures"][0]["reference"]) as image:
        assert np.array_equal(np.asarray(image), read_pixels(pictures / "1.png").rgb)
    for row in gallery["rows"]:
        with Image.open(found.folder / "gallery" / row["picture"]) as image:
            kept = np.asarray(image).astype(np.float64)
        rgb = read_pixels(pictures / row["image_id"]).rgb
        psnr = 10 * np.log10(255**2 / np.square(kept - rgb).mean())
        assert row["values"]["psnr/rgb8"] == pytest.approx(psnr, abs=1e-6)
        if row["image_id"] == "1.png":
            part = np.s_[6:22, 4:20]
            psnr = 10 * np.log10(255**2 / np.square(kept[part] - rgb[part]).mean())
            assert row["regions"]["left-eye"]["psnr/rgb8"] == pytest.approx(psnr, abs=1e-6)


@pytest.fixture
def counted(monkeypatch):
    """Count every encoding and decoding of a padded picture."""
    counts = {"encode": 0, "decode": 0}
    for name in counts:
        method = getattr(rd_picture.OpenedSweep, name)

        def counting(self, *given, method=method, name=name):
            counts[name] += 1
            return method(self, *given)

        monkeypatch.setattr(rd_picture.OpenedSweep, name, counting)
    return counts


def test_what_was_measured_is_not_measured_again(found, pictures, counted):
    again = sweep(pictures, found.folder, regions=[str(pictures / "regions.json")])
    assert counted == {"encode": 0, "decode": 0}
    assert again.points.equals(found.points) and again.equal.equals(found.equal)


def test_another_codec_setting_or_metric_costs_its_own_points_alone(pictures, tmp_path, counted):
    jpeg = Asked.parse(["jpeg=10,40"])
    sweep(pictures, tmp_path / "out", ["jpeg"], jpeg)
    assert counted["decode"] == 6
    sweep(pictures, tmp_path / "out", ["jpeg"], Asked.parse(["jpeg=10,40,90"]))
    assert counted["decode"] == 9
    sweep(pictures, tmp_path / "out", ["jpeg", "webp"], Asked.parse(["jpeg=10", "webp=50"]))
    assert counted["decode"] == 12
    found = sweep(pictures, tmp_path / "out", ["jpeg"], jpeg, metrics=["psnr", "mae"])
    assert counted["decode"] == 18
    assert set(found.points["metric"]) == {"psnr", "mae"}


def test_an_autoencoder_encodes_a_picture_once_for_all_steps(pictures, tmp_path, monkeypatch):
    codec = open_codec("it", "demo-f8c4", {})
    encoded = []
    monkeypatch.setattr(
        type(codec), "encode", lambda self, images: encoded.append(1) or REAL(self, images)
    )
    found = sweep(pictures, tmp_path / "out", ["demo-f8c4"])
    assert len(encoded) == 3 and len(found.points) == 3 * 4 * 2


REAL = type(open_codec("it", "demo-f8c4", {})).encode


def test_a_codec_that_fails_is_listed_and_the_rest_goes_on(pictures, tmp_path, monkeypatch):
    decode = rd_picture.OpenedSweep.decode

    def failing(self, coded, setting, pixels):
        if setting == "q=40" and self.sweep.spec.name == "webp":
            raise RuntimeError("the decoder broke\nat some line")
        return decode(self, coded, setting, pixels)

    monkeypatch.setattr(rd_picture.OpenedSweep, "decode", failing)
    found = sweep(pictures, tmp_path / "out", ["jpeg", "webp"])
    assert found.record["failures"] == [
        {
            "reason": "the decoder broke",
            "codecs": ["webp"],
            "settings": ["q=40"],
            "pictures": ["0.png", "1.png", "2.png"],
        }
    ]
    assert len(found.points) == (4 + 3) * 3 * 2
    monkeypatch.undo()
    assert len(sweep(pictures, tmp_path / "out", ["jpeg", "webp"]).points) == 8 * 3 * 2


def test_a_metric_that_a_picture_is_too_small_for_is_empty_with_its_reason(pictures, tmp_path):
    found = sweep(pictures, tmp_path / "out", ["jpeg"], metrics=["psnr", "ms-ssim"])
    values = found.points.query("metric == 'ms-ssim'")["value"]
    assert values.isna().all()
    reasons = found.record["unavailable"]
    assert [entry["pictures"] for entry in reasons] == [["0.png"], ["1.png"], ["2.png"]]
    assert all(entry["metric"] == "ms-ssim" for entry in reasons)
    assert all(entry["reason"].startswith("MS-SSIM needs pictures of at") for entry in reasons)
    assert found.bd.empty


MANY = Asked.parse([f"jpeg={','.join(map(str, range(5, 96)))}", "webp=10,40,70,90"])
KILLED = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_sweep import MANY, sweep
if __name__ == "__main__":
    sweep(Path({pictures!r}), Path({out!r}), ["jpeg", "webp"], MANY, workers=2)
"""


def test_after_kill_9_no_process_stays_and_the_same_call_goes_on(found, pictures, tmp_path):
    out, script = tmp_path / "out", tmp_path / "script.py"
    here = str(Path(__file__).parent)
    script.write_text(KILLED.format(here=here, pictures=str(pictures), out=str(out)))
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    try:
        wait_until(lambda: len(point_files(out)) >= 5)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not group_lives(process.pid))
    with pytest.raises(RunFolderError, match="is no finished sweep"):
        load_rd(out)
    kept = {path: path.stat().st_mtime_ns for path in point_files(out)}
    told = []
    again = sweep(
        pictures,
        out,
        ["jpeg", "webp"],
        MANY,
        workers=2,
        progress=lambda phase, done, total: told.append((phase, done, total)),
    )
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    measured = [entry for entry in told if entry[0] == "measuring points"]
    assert measured[-1] == ("measuring points", 3 * 95, 3 * 95)
    keys = ["codec", "setting", "image_id", "variant"]
    many = again.points.set_index(keys)
    one = found.points.query("codec != 'demo-f8c4'").set_index(keys)
    assert many.loc[one.index, "nbytes"].equals(one["nbytes"])
    assert many.loc[one.index, "value"].tolist() == pytest.approx(one["value"].tolist(), abs=1e-6)


def test_threads_find_what_one_worker_finds_each_with_codecs_of_its_own(
    found, pictures, tmp_path, monkeypatch
):
    opened = []

    def opening(spec, settings):
        opened.append((threading.get_ident(), spec.name, *settings.items()))
        return open_codec(spec.name, spec.source, settings)

    monkeypatch.setattr(rd_picture, "open_spec", opening)
    regions = [str(pictures / "regions.json")]
    before = torch.get_num_threads()
    told = []

    def progress(phase, done, total):
        told.append((phase, done, threading.get_ident()))

    many = sweep(pictures, tmp_path / "out", workers=3, regions=regions, progress=progress)
    for name in ("points", "equal", "bd"):
        pd.testing.assert_frame_equal(getattr(many, name), getattr(found, name), check_exact=True)
    assert many.record["gallery"] == found.record["gallery"]
    threads = {thread for thread, *_ in opened}
    assert len(threads) > 1 and threading.get_ident() not in threads
    assert len(set(opened)) == len(opened)
    # Who is told is the thread that asked, and its own number of threads is as before.
    assert {thread for *_, thread in told} == {threading.get_ident()}
    measured = [done for phase, done, *_ in told if phase == "measuring points"]
    assert measured == list(range(3 * 14 + 1))
    assert torch.get_num_threads() == before


def test_the_first_thread_that_cannot_go_on_stops_all(pictures, tmp_path, monkeypatch):
    write = PointCache.write

    def full(self, key, point):
        if len(point_files(self.folder.parent)) >= 8:
            raise RunFolderError("Cannot write: no space.")
        write(self, key, point)

    monkeypatch.setattr(PointCache, "write", full)
    before = threading.active_count()
    with pytest.raises(RunFolderError, match="no space"):
        sweep(pictures, tmp_path / "out", ["jpeg", "webp"], MANY, workers=2)
    assert 8 <= len(point_files(tmp_path / "out")) < 20
    assert threading.active_count() == before


def point_files(out):
    return list((out / "points").rglob("[0-9a-f]*.json"))


def wait_until(condition, longest_s=120):
    end = time.monotonic() + longest_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_folder_of_something_else_is_left_alone(pictures, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="neither empty nor of `vaebench rd`"):
        sweep(pictures, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_anchor_is_one_of_the_codecs(pictures, tmp_path):
    with pytest.raises(SuiteError, match=r"Unknown anchor 'jpg'\. Did you mean jpeg"):
        sweep(pictures, tmp_path / "out", anchor="jpg")
    assert not (tmp_path / "out").exists()
    found = sweep(pictures, tmp_path / "out", ["webp", "jpeg"], anchor="webp")
    assert set(found.bd["codec"]) == {"jpeg"} and set(found.bd["anchor"]) == {"webp"}
