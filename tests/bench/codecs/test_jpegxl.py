import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from vaebench.bench.codecs import CODECS
from vaebench.bench.errors import CodecError

JPEGXL = CODECS["jpegxl"]


@pytest.fixture(scope="module")
def photo():
    y, x = np.mgrid[0:96, 0:128]
    waves = [128 + 90 * np.sin(x / (5 + band)) * np.cos(y / 9) for band in range(3)]
    noise = np.random.default_rng(4).normal(0, 6, (96, 128, 3))
    pixels = np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def opened():
    pytest.importorskip("pillow_jxl", reason="needs pillow-jxl-plugin")
    return lambda **settings: JPEGXL.open("it", "jpegxl", settings)


def test_lossless_keeps_every_pixel_from_a_jpeg_xl_file(opened, photo):
    codec = opened(lossless=True)
    encoded = codec.encode(photo)
    assert encoded.payloads[0][:2] == b"\xff\x0a"
    assert encoded.nbits == (8 * len(encoded.payloads[0]),)
    assert torch.equal(codec.decode(encoded), photo)


def test_bytes_are_those_of_the_plugin_and_decode_alike(opened, photo):
    encoded = opened(q=55.5, effort=3).encode(photo)
    picture = Image.fromarray((photo[0].permute(1, 2, 0) * 255).byte().numpy())
    file = io.BytesIO()
    picture.save(file, "JXL", quality=55.5, effort=3)
    assert encoded.payloads == (file.getvalue(),)
    with Image.open(file) as image:
        expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(opened().decode(encoded), expected)


def test_bytes_and_quality_rise_with_q_also_between_whole_numbers(opened, photo):
    encoded = [opened(q=q).encode(photo) for q in (20, 50, 50.6, 80, 95)]
    sizes = [one.nbits[0] for one in encoded]
    assert sizes == sorted(set(sizes))
    errors = [float((opened().decode(one) - photo).square().mean()) for one in encoded]
    assert errors == sorted(errors, reverse=True)


def test_without_the_plugin_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(CodecError) as error:
        JPEGXL.open("xl", "jpegxl", {})
    assert str(error.value) == (
        "Cannot open xl: Pillow reads and writes jpegxl with a plugin alone. "
        "Install it: pip install pillow-jxl-plugin."
    )


def test_settings_out_of_range_are_refused():
    with pytest.raises(CodecError, match="q=101"):
        JPEGXL.open("xl", "jpegxl", {"q": 101})
    assert JPEGXL.claims("jpegxl") and not JPEGXL.claims("jpeg")
