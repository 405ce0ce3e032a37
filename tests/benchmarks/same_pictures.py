"""What checkpoints make of a picture, compared bit for bit across numbers of threads on a CPU.

    python tests/benchmarks/same_pictures.py demo-f8c4 ./my-vae --size 104 --size 328
    python tests/benchmarks/same_pictures.py --classes

`--classes` makes networks of random weights: Stable Diffusion's AutoencoderKL, VQModel,
AsymmetricAutoencoderKL and AutoencoderDC. Everything runs with one thread first.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from vaebench.bench.codecs import Codec, open_codec
from vaebench.bench.images.sample import sample_pixels
from vaebench.bench.scoring.reconstruct import Reconstruction, reconstruct

THREADS = (2, 3, 8, 16, 64)
SIZES = (64, 104, 200, 328)


def networks() -> Iterator[Any]:
    """Yield a model of each class, with random weights."""
    torch.manual_seed(0)
    kinds = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    four = {"down_block_types": kinds[0], "up_block_types": kinds[1], "layers_per_block": 2}
    yield diffusers.AutoencoderKL(block_out_channels=(128, 256, 512, 512), **four)
    yield diffusers.VQModel(block_out_channels=(64, 128, 256, 256), **four)
    three = {"down_block_types": kinds[0][:3], "up_block_types": kinds[1][:3]}
    widths = {"down_block_out_channels": (64, 128, 128), "up_block_out_channels": (64, 128, 128)}
    yield diffusers.AsymmetricAutoencoderKL(**three, **widths)
    blocks = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
    of_half = {
        "block_types": blocks,
        "block_out_channels": (64, 128, 128, 256, 256, 512),
        "layers_per_block": (1,) * 6,
        "qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
    }
    halves = {f"{half}_{key}": of_half[key] for half in ("encoder", "decoder") for key in of_half}
    yield diffusers.AutoencoderDC(**halves)


@torch.inference_mode()
def compare(name: str, codec: Codec, size: int) -> None:
    """Print whether a sample picture is the same for any number of threads."""
    picture = torch.from_numpy(sample_pixels(size, 1)).permute(0, 3, 1, 2).float() / 255
    expected: Reconstruction | None = None
    differences: list[str] = []
    for threads in (1, *THREADS):
        torch.set_num_threads(threads)
        (found,) = reconstruct(codec, picture)
        assert isinstance(found, Reconstruction)
        expected = expected or found
        most = float((found.pixels - expected.pixels).abs().max())
        if most:
            differences.append(f"{most:.1e} with {threads} threads")
    print(f"{name} {size} px: {', '.join(differences) or 'the same'}", flush=True)


def main() -> None:
    """Print a line for each checkpoint and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codecs", nargs="*")
    parser.add_argument("--classes", action="store_true", help="make networks of random weights")
    parser.add_argument("--size", type=int, action="append")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        sources = {codec: codec for codec in given.codecs}
        for model in networks() if given.classes else ():
            name = type(model).__name__
            sources[name] = str(Path(made, name))
            model.save_pretrained(sources[name])
        for name, source in sources.items():
            codec = open_codec(name, source, {"device": "cpu"})
            for size in given.size or SIZES:
                compare(name, codec, size)


if __name__ == "__main__":
    main()
