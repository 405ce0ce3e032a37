"""Files to 8-bit sRGB pixels, and the fit to a fixed size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from vaebench.bench.errors import ImageError
from vaebench.bench.images.pixels import Fit, background_rgb, fit_pixels, placement, read_pixels
from vaebench.bench.records import ImageRef

RANDOM = np.random.default_rng(11)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def test_plain_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    stored = noise(9, 13, 3)
    path = tmp_path / "plain.png"
    Image.fromarray(stored).save(path)
    ref = ImageRef("plain.png", "set", str(path), "", 13, 9)
    for source in (ref, str(path), path):
        rgb, notes = read_pixels(source)
        np.testing.assert_array_equal(rgb, stored)
        assert rgb.dtype == np.uint8
        assert notes == ()


# EXIF 2.32, tag 0x0112: the sides of the picture that row 0 and column 0 of the file show.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", SIDES)
def test_orientation_puts_row_and_column_0_where_exif_says(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    """Closed form from the standard; the whole picture against Pillow's own exif_transpose."""
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[0, :, 0] = 255
    stored[:, 0, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    settings = {"lossless": True} if suffix == ".webp" else {"quality": 100, "subsampling": 0}
    Image.fromarray(stored).save(path, exif=exif, **(settings if suffix != ".tif" else {}))
    rgb, notes = read_pixels(path)
    edges = {"top": rgb[0], "bottom": rgb[-1], "left": rgb[:, 0], "right": rgb[:, -1]}
    row_side, column_side = SIDES[orientation]
    for side, edge in edges.items():
        assert (edge[..., 0].mean() > 200) == (side == row_side)
        assert (edge[..., 1].mean() > 200) == (side == column_side)
    with Image.open(path) as image:
        np.testing.assert_array_equal(
            rgb, np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        )
    assert notes == (() if orientation == 1 else (f"EXIF orientation {orientation} applied",))


@pytest.mark.parametrize("background", ["#ffffff", "#000000", "#204080", "red"])
def test_alpha_is_composited_on_the_background(tmp_path: Path, background: str) -> None:
    stored = noise(17, 19, 4)
    Image.fromarray(stored, "RGBA").save(tmp_path / "alpha.png")
    rgb, notes = read_pixels(tmp_path / "alpha.png", background)
    alpha = stored[..., 3:] / 255
    exact = stored[..., :3] * alpha + np.array(background_rgb(background)) * (1 - alpha)
    np.testing.assert_array_equal(rgb, np.rint(exact))
    assert notes == (f"alpha composited on {background}",)


def test_16_bit_alpha_is_composited_before_rounding(tmp_path: Path) -> None:
    stored = RANDOM.integers(0, 65536, (300, 5, 4), dtype=np.uint16)
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unassalpha"])
    rgb, notes = read_pixels(path, "#204080")
    alpha = stored[..., 3:] / 65535
    exact = stored[..., :3] / 257 * alpha + np.array([0x20, 0x40, 0x80]) * (1 - alpha)
    np.testing.assert_array_equal(rgb, np.rint(exact))
    assert notes == ("16-bit scaled to 8", "alpha composited on #204080")


def test_16_bit_is_scaled_not_cut(tmp_path: Path) -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(stored).save(tmp_path / "ramp.png")
    rgb = read_pixels(tmp_path / "ramp.png").rgb
    np.testing.assert_array_equal(rgb[..., 0], np.rint(stored * (255 / 65535)))
    assert np.count_nonzero(rgb[..., 0] != stored >> 8) == 16256


def test_opaque_alpha_is_no_conversion(tmp_path: Path) -> None:
    stored = noise(4, 4, 4)
    stored[..., 3] = 255
    Image.fromarray(stored, "RGBA").save(tmp_path / "opaque.png")
    rgb, notes = read_pixels(tmp_path / "opaque.png")
    np.testing.assert_array_equal(rgb, stored[..., :3])
    assert notes == ()


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "palette.png", transparency=bytes([255, 0, 51]))
    rgb, notes = read_pixels(tmp_path / "palette.png", "#ffffff")
    assert rgb.tolist() == [[[10, 20, 30], [255, 255, 255], [218, 220, 222]]]
    assert notes == ("palette expanded", "alpha composited on #ffffff")


def test_bilevel_grey_and_grey_with_alpha(tmp_path: Path) -> None:
    grey = noise(5, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey > 127).save(tmp_path / "bilevel.png")
    Image.fromarray(np.stack([grey, grey[::-1]], axis=-1), "LA").save(tmp_path / "la.png")
    Image.fromarray(grey).save(tmp_path / "keyed.png", transparency=int(grey[2, 3]))
    expected = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read_pixels(tmp_path / "grey.png").rgb, expected)
    np.testing.assert_array_equal(
        read_pixels(tmp_path / "bilevel.png").rgb, np.where(expected > 127, 255, 0)
    )
    alpha = grey[::-1, :, None] / 255
    np.testing.assert_array_equal(
        read_pixels(tmp_path / "la.png").rgb, np.rint(expected * alpha + 255 * (1 - alpha))
    )
    np.testing.assert_array_equal(
        read_pixels(tmp_path / "keyed.png").rgb, np.where(expected == grey[2, 3], 255, expected)
    )


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    path = tmp_path / f"moving{suffix}"
    settings = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **settings)
    rgb, notes = read_pixels(path)
    assert (rgb == [255, 0, 0]).all()
    assert "first of 3 frames" in notes


def test_cmyk_jpeg(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 128, 51))
    image.save(tmp_path / "inks.jpg", quality=100)
    rgb, notes = read_pixels(tmp_path / "inks.jpg")
    assert np.abs(rgb.astype(int) - [0, 204, 102]).max() <= 2
    assert notes == ("CMYK without a usable profile converted to RGB",)


def test_a_p3_red_that_is_srgb_red(shared: Path) -> None:
    """Above its label the file holds sRGB's pure red, in the coordinates of a P3 profile."""
    rgb, notes = read_pixels(shared / "images" / "odd" / "libjxl" / "P3-sRGB-red.png")
    assert np.abs(rgb[:850].astype(int) - [255, 0, 0]).max() <= 3
    assert notes == ("DCI-P3-D65-2_2-Gamma profile converted to sRGB",)


def test_interlacing_and_filters_do_not_matter(shared: Path) -> None:
    folder = shared / "images" / "odd" / "pngsuite"
    interlaced, plain = (
        read_pixels(folder / f"16bit_{name}.png").rgb for name in ("basi4a16", "basn4a16")
    )
    np.testing.assert_array_equal(interlaced, plain)


@pytest.mark.parametrize("background", ["#ffffff80", "no colour", ""])
def test_an_impossible_background_is_an_error(tmp_path: Path, background: str) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="expected an opaque colour"):
        read_pixels(tmp_path / "a.png", background)


def test_fit_by_hand() -> None:
    assert placement(100, 50, 10, "crop") == (20, 10, -5, 0, 10)
    assert placement(100, 50, 10, "squash") == (10, 10, 0, 0, 10)
    assert placement(100, 50, 10, "pad") == (10, 5, 0, 2, 10)
    stored = np.zeros((50, 100, 3), np.uint8)
    padded = fit_pixels(stored, 10, "pad", "#00ff00")
    assert (padded[2:7] == 0).all()
    assert (padded[[0, 1, 7, 8, 9]] == [0, 255, 0]).all()
    assert fit_pixels(stored, None, "crop") is stored
    with pytest.raises(ImageError, match="size of 0 px"):
        fit_pixels(stored, 0, "crop")


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.integers(1, 64),
    fit=st.sampled_from(["crop", "squash", "pad"]),
)
def test_fit_covers_the_frame_and_keeps_flat_colour(
    width: int, height: int, size: int, fit: Fit
) -> None:
    place = placement(width, height, size, fit)
    fitted = fit_pixels(np.full((height, width, 3), 90, np.uint8), size, fit, "#ffffff")
    assert fitted.shape == (size, size, 3)
    assert fitted.dtype == np.uint8
    inside = (fitted == 90).all(axis=-1)
    if fit == "pad":
        assert inside.sum() == place.width_px * place.height_px
    else:
        assert inside.all()
