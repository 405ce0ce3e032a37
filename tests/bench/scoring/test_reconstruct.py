"""Padding, cropping, and what becomes of a codec that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.codecs.tensors import reflect_pad
from vaebench.bench.records import CodecInfo, Encoded
from vaebench.bench.scoring.reconstruct import Failure, Reconstruction, reconstruct


class Codec:
    """Passes pictures through a function, with latents of one eighth the size."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], multiple_px: int = 8):
        self.change = change
        self.info = CodecInfo("test", "test", "test", {}, dtype="float16", multiple_px=multiple_px)
        self.seen: list[tuple[int, ...]] = []

    def encode(self, images: torch.Tensor) -> Encoded:
        self.seen.append(tuple(images.shape))
        self.pixels = self.change(images)
        return Encoded((640,) * len(images), latents=images[:, :, ::8, ::8])

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return self.pixels


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.sampled_from([1, 2, 8, 16, 32])
)
@settings(max_examples=60, deadline=None)
def test_padding_is_numpys_reflection_to_the_multiple(
    height: int, width: int, multiple: int
) -> None:
    pixels = torch.rand(2, 3, height, width)
    padded = reflect_pad(pixels, multiple)
    right, below = -width % multiple, -height % multiple
    expected = np.pad(pixels.numpy(), ((0, 0), (0, 0), (0, below), (0, right)), mode="reflect")
    assert np.array_equal(padded.numpy(), expected)
    assert padded.shape[2] % multiple == 0
    assert padded.shape[3] % multiple == 0


def test_the_picture_comes_back_at_its_own_size() -> None:
    pixels = torch.rand(2, 3, 13, 21)
    codec = Codec(lambda images: images)
    answers = reconstruct(codec, pixels)
    assert codec.seen == [(2, 3, 16, 24)]
    for answer, own in zip(answers, pixels, strict=True):
        assert isinstance(answer, Reconstruction)
        assert torch.equal(answer.pixels, own)
        assert answer.nbits == 640


def test_a_cpu_gets_pictures_one_by_one() -> None:
    codec = Codec(lambda images: images)
    codec.info = replace(codec.info, device="cpu")
    pixels = torch.rand(3, 3, 16, 16)
    answers = reconstruct(codec, pixels)
    assert codec.seen == [(1, 3, 16, 16)] * 3
    for answer, own in zip(answers, pixels, strict=True):
        assert isinstance(answer, Reconstruction)
        assert torch.equal(answer.pixels, own)


def test_one_bad_picture_does_not_take_the_batch_with_it() -> None:
    def fail_on_black(images: torch.Tensor) -> torch.Tensor:
        if bool((images.amax((1, 2, 3)) == 0).any()):
            raise RuntimeError("out of ink\nsecond line")
        return images

    pixels = torch.rand(3, 3, 8, 8)
    pixels[1] = 0
    good, bad, other = reconstruct(Codec(fail_on_black), pixels)
    assert isinstance(good, Reconstruction)
    assert isinstance(other, Reconstruction)
    assert bad == Failure("test failed: out of ink")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_a_failure_of_their_picture(value: float) -> None:
    def overflow(images: torch.Tensor) -> torch.Tensor:
        images = images.clone()
        images[0, 1, 3, 3] = value
        return images

    bad, good = reconstruct(Codec(overflow), torch.rand(2, 3, 8, 8))
    assert isinstance(bad, Failure)
    assert "in decoding" in bad.reason
    assert "float16 overflows" in bad.reason
    assert isinstance(good, Reconstruction)
