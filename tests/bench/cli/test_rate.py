"""What the bytes buy, from the command line to the page; a picture to a .vbl file and back."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from diffusers import AutoencoderKL, VQModel
from PIL import Image
from typer.testing import CliRunner
from vaebench.bench.cli import rate
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.vbl import from_bytes, read_latent_file, to_bytes
from vaebench.bench.errors import CodecError, ImageError, SuiteError, VaebenchError
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.scoring.reconstruct import Reconstruction, reconstruct

BLOCKS = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
STEP = "step=0.5"

app = typer.Typer()
app.command()(rate.rd)


@app.callback()
def _group() -> None:
    """Make `rd` a command with a name, as it is in vaebench."""


def call(*words):
    return CliRunner().invoke(app, ["rd", *map(str, words)])


def test_the_command_measures_and_says_where_the_page_is(photos, tmp_path):
    out = tmp_path / "out"
    words = ["--images", photos, "--regions", photos / "regions.json", "--metric", "psnr"]
    words += ["--codec", "jpeg", "--codec", "w=webp:method=0", "--workers", 1, "--out", out]
    words += ["--sweep", "jpeg=10,40,70,90", "--sweep", "w=10,40.5,70,90"]
    result = call(*words)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("BD-rate of w against jpeg: psnr ")
    assert lines[-1] == f"Report: {out / 'rd.html'}"
    assert any(line.startswith("Skipped: broken.png: ") for line in lines)
    record = json.loads((out / "rd.json").read_text())
    assert record["unused_regions"] == ["gone.png/eye"]
    assert record["codecs"][1]["swept"] == ["q=10", "q=40.5", "q=70", "q=90"]
    assert {"rd.parquet", "bd.csv", "rd.html", "tables", "plots"} <= {
        path.name for path in out.iterdir()
    }
    assert "w" in (out / "rd.html").read_text()


def test_a_sweep_that_cannot_be_is_refused_before_anything_is_written(photos, tmp_path):
    out = tmp_path / "out"
    result = call("--images", photos, "--codec", "jpeg", "--sweep", "webp=1", "--out", out)
    assert isinstance(result.exception, SuiteError)
    assert str(result.exception) == "Unknown codec in --sweep 'webp'. Valid: jpeg."
    assert not out.exists()


def test_without_a_codec_the_usage_is_told():
    result = call()
    assert result.exit_code == 2 and "--codec" in result.output


@pytest.mark.parametrize(("source", "name"), [("photos", "photos"), ("photos/a.png", "a")])
def test_the_folder_is_called_after_the_pictures(photos, tmp_path, monkeypatch, source, name):
    monkeypatch.chdir(tmp_path)
    words = ["--codec", "jpeg:q=50", "--metric", "psnr", "--workers", 1]
    result = call("--images", photos.parent / source, *words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "rd" / name / "rd.json").is_file()


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "vae"
    AutoencoderKL(**BLOCKS).save_pretrained(folder)
    return folder


def typed(*words: str | Path) -> str:
    """Run a command; return what it told, or raise what `main` turns into a sentence."""
    app = typer.Typer()
    app.command()(rate.encode)
    app.command()(rate.decode)
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, VaebenchError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_picture_comes_back_as_a_run_would_reconstruct_it(
    photos: Path, vae: Path, tmp_path: Path
) -> None:
    picture, coded, decoded = photos / "wide.png", tmp_path / "a.vbl", tmp_path / "a.png"
    # An odd size, and a picture that is stored sideways.
    image = Image.open(picture).crop((0, 0, 71, 43))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    spec = f"quantised({vae}, {STEP})"

    told = typed("encode", tmp_path / "turned.png", coded, "--codec", spec)
    size = coded.stat().st_size
    found = re.search(r"([\d,]+) bytes, ([\d.]+) bits per pixel, ([\d.]+) times smaller", told)
    assert found is not None
    assert int(found[1].replace(",", "")) == size
    assert float(found[2]) == pytest.approx(8 * size / (71 * 43), abs=1e-3)
    assert float(found[3]) == pytest.approx(3 * 71 * 43 / size, abs=0.06)

    assert "43×71 px" in typed("decode", coded, decoded)
    codec = open_codec("it", f"quantised({vae})", {"step": 0.5})
    rgb = read_pixels(tmp_path / "turned.png").rgb
    assert rgb.shape == (71, 43, 3)
    pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float().div(255)
    (expected,) = reconstruct(codec, pixels)
    assert isinstance(expected, Reconstruction)
    rounded = expected.pixels.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(decoded)), rounded)
    assert 8 * len(read_latent_file(coded).payload) == expected.nbits


def test_a_vector_quantised_model(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    VQModel(**BLOCKS, num_vq_embeddings=40).save_pretrained(tmp_path / "vq")
    coded, decoded = tmp_path / "a.vbl", tmp_path / "a.png"
    typed("encode", photos / "a.png", coded, "--codec", f"quantised({tmp_path / 'vq'})")
    typed("decode", coded, decoded)
    assert Image.open(decoded).size == (56, 64)
    # 28×32 indices below 40, and the container.
    assert len(read_latent_file(coded).payload) < 28 * 32 * np.log2(40) / 8 * 1.01 + 24


def test_a_checkpoint_that_moved_is_named_and_one_with_other_weights_refused(
    photos: Path, vae: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "moving"
    AutoencoderKL.from_pretrained(vae).save_pretrained(folder)
    coded, out = tmp_path / "a.vbl", tmp_path / "a.png"
    typed("encode", photos / "a.png", coded, "--codec", f"x=quantised({folder}, bits=5)")
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(CodecError, match=r"moving: there is no such file or folder"):
        typed("decode", coded, out)
    typed("decode", coded, out, "--codec", f"quantised({moved}, bits=5)")
    first = out.read_bytes()

    torch.manual_seed(1)
    AutoencoderKL(**BLOCKS).save_pretrained(folder)
    with pytest.raises(CodecError, match=r"made with other weights \([0-9a-f]{12}…\)"):
        typed("decode", coded, out)
    assert out.read_bytes() == first


def test_what_is_wrong_is_told(photos: Path, vae: Path, tmp_path: Path) -> None:
    picture, coded, out = photos / "a.png", tmp_path / "a.vbl", tmp_path / "a.png"
    spec = f"quantised({vae}, {STEP})"
    with pytest.raises(
        CodecError, match=r"a quantised autoencoder is expected. Pass, say, --codec"
    ):
        typed("encode", picture, coded, "--codec", str(vae))
    with pytest.raises(SuiteError, match="is not closed"):
        typed("encode", picture, coded, "--codec", f"quantised({vae}")
    with pytest.raises(VaebenchError, match=r"a name that ends with \.vbl is expected"):
        typed("encode", picture, tmp_path / "a.bin", "--codec", spec)
    with pytest.raises(ImageError, match=r"Cannot read broken\.png"):
        typed("encode", photos / "broken.png", coded, "--codec", spec)
    assert not coded.exists()

    typed("encode", picture, coded, "--codec", spec)
    with pytest.raises(VaebenchError, match=r"a name that ends with \.png is expected"):
        typed("decode", coded, tmp_path / "a.jpg")
    with pytest.raises(CodecError, match=r"picture: it is no \.vbl|a\.png: it is no \.vbl"):
        typed("decode", picture, out)
    data = bytearray(coded.read_bytes())
    data[-1] ^= 1
    (tmp_path / "damaged.vbl").write_bytes(data)
    with pytest.raises(CodecError, match=r"damaged\.vbl: it is damaged, its checksum is wrong"):
        typed("decode", tmp_path / "damaged.vbl", out)
    assert not out.exists()


def test_a_file_that_is_made_up_is_refused(photos: Path, vae: Path, tmp_path: Path) -> None:
    """Its checksums are right; what it says is not."""
    coded, out = tmp_path / "a.vbl", tmp_path / "a.png"
    typed("encode", photos / "a.png", coded, "--codec", f"quantised({vae}, {STEP})")
    file = from_bytes(coded.read_bytes(), "a.vbl")

    def refused(reason: str, **changed: object) -> None:
        coded.write_bytes(to_bytes(replace(file, **changed)))
        with pytest.raises(VaebenchError, match=reason) as caught:
            typed("decode", coded, out)
        assert "\n" not in str(caught.value)

    refused("says 4000000000×64 px, more than the limit", width_px=4_000_000_000)
    refused("says 70×64 px and holds 56×64", width_px=70)
    refused("says 0×64 px", width_px=0)
    refused("payload is damaged", payload=file.payload[:-9])
    refused("payload is damaged", payload=b"")
    refused("Cannot read the codec", spec="")
    refused("a quantised autoencoder is expected", spec="jpeg:q=5")
    # A stranger's file must not be what runs the code of a checkpoint.
    refused("runs code of the checkpoint", spec=f"quantised({vae}:trust_remote_code=true):step=1")
    head = struct.pack("<BHHH", 1, 4, 60000, 60000)
    refused("payload is damaged", payload=head + bytes(60))
    assert not out.exists()
