import json
import os

import pytest
from vaebench.bench.rate.points import Point, PointCache, codec_identity, read_versions
from vaebench.bench.records import CodecInfo

INFO = CodecInfo("mine", "autoencoder", "./vae", {"dtype": "float32"}, weights_sha256="ab" * 32)


@pytest.fixture
def cache(tmp_path):
    return PointCache(tmp_path / "points", {"torch": "2.14"})


def test_a_point_is_read_back_as_it_was_written(cache):
    point = Point(123, {"psnr/rgb8": float("inf"), "ms-ssim/x": None}, {"ms-ssim/x": "too small"})
    cache.write("0" * 32, point)
    assert cache.read("0" * 32) == point
    assert not point.lacks(["psnr/rgb8", "ms-ssim/x"]) and point.lacks(["psnr/rgb8", "flip"])
    assert cache.read("1" * 32) is None


def test_another_metric_joins_what_was_known(cache):
    cache.write("0" * 32, Point(123, {"psnr/rgb8": 30.0}, {"flip": "absent"}))
    cache.write("0" * 32, Point(123, {"ssim": 0.9}))
    assert cache.read("0" * 32).values == {"psnr/rgb8": 30.0, "ssim": 0.9}
    assert cache.read("0" * 32).reasons == {"flip": "absent"}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"unknown": 1}'])
def test_a_damaged_file_is_a_point_that_was_not_measured(cache, damage):
    cache.write("0" * 32, Point(123, {"psnr/rgb8": 30.0}))
    (path,) = cache.folder.rglob("*.json")
    path.write_bytes(damage)
    assert cache.read("0" * 32) is None
    cache.write("0" * 32, Point(7))
    assert cache.read("0" * 32) == Point(7)


def test_a_flipped_digit_and_a_point_under_anothers_name_are_measured_again(cache):
    cache.write("0" * 32, Point(123, {"psnr/rgb8": 30.0}))
    (path,) = cache.folder.rglob("*.json")
    text = path.read_text()
    path.write_text(text.replace("30.0", "31.0"))
    assert cache.read("0" * 32) is None
    path.write_text(text)
    assert cache.read("0" * 32) == Point(123, {"psnr/rgb8": 30.0})
    other = cache.folder / "11" / f"{'1' * 32}.json"
    other.parent.mkdir()
    path.rename(other)
    assert cache.read("1" * 32) is None


def test_nothing_but_whole_points_is_ever_seen(cache, monkeypatch):
    cache.write("0" * 32, Point(1))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        cache.write("0" * 32, Point(2))
    assert cache.read("0" * 32) == Point(1)
    assert [path.name for path in cache.folder.rglob("*") if path.is_file()] == [f"{'0' * 32}.json"]


def test_the_key_holds_all_that_decides_a_point_and_no_name(cache):
    def key(info=INFO, step=0.5, image="a" * 64, versions=None):
        other = cache if versions is None else PointCache(cache.folder, versions)
        return other.hashed([codec_identity(info), step], image)

    def changed(**fields):
        return key(CodecInfo(**{**INFO.__dict__, **fields}))

    assert key() == key()
    assert changed(name="other") == key() and changed(source="./moved") == key()
    different = [
        key(step=0.6),
        key(image="b" * 64),
        key(versions={"torch": "2.15"}),
        changed(weights_sha256="cd" * 32),
        changed(settings={"dtype": "float16"}),
        changed(family="taesd"),
        changed(device="cuda:0"),
    ]
    assert len({key(), *different}) == 1 + len(different)


def test_a_codec_without_weights_is_known_by_its_source():
    jpeg = CodecInfo("jpeg", "jpeg", "jpeg", {"q": 50})
    assert codec_identity(jpeg)["source"] == "jpeg" and "source" not in codec_identity(INFO)


def test_versions_name_the_libraries_that_decide_bytes_and_scores():
    versions = read_versions("cpu")
    assert versions["device"] == "cpu"
    assert {"vaebench", "torch", "pillow", "constriction", "pillow jpg"} <= versions.keys()
    json.dumps(versions)
