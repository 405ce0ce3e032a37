"""Random layers in their steady form, compared bit for bit across numbers of threads.

    python tests/benchmarks/same_layers.py --count 5000

Each layer is run with one thread and with 2 to 128; what differs is listed.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter

import torch
from torch import Tensor, nn
from vaebench.bench.codecs.networks.steady_layers import steady

THREADS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
CHANNELS = (3, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 384, 512)
MOST_PRODUCTS = 512 * 512 * 3000


def layer_of(kind: str, width_in: int, width_out: int) -> nn.Module:
    """Return a layer with random settings; grouped ones round the channels up."""
    bias = random.random() < 0.7
    if kind == "linear":
        return nn.Linear(width_in, width_out, bias=bias)
    if kind == "1x1":
        return nn.Conv2d(width_in, width_out, 1, bias=bias)
    if kind == "3x3":
        return nn.Conv2d(width_in, width_out, 3, random.choice((1, 2)), 1, bias=bias)
    if kind == "depthwise":
        return nn.Conv2d(width_in, width_in, random.choice((3, 5)), 1, 2, groups=width_in)
    if kind == "grouped":
        groups = random.choice((2, 4))
        widths = [-(-width // groups) * groups for width in (width_in, width_out)]
        return nn.Conv2d(*widths, random.choice((1, 3)), 1, 1, groups=groups)
    side = random.choice((2, 4, 5, 7))
    return nn.Conv2d(width_in, width_out, side, random.choice((1, 2)), 3, bias=bias)


def values_for(layer: nn.Module, height: int, width: int) -> Tensor:
    """Return what the layer takes: [1, C, H, W], or [1, H·W, C] in one of two memory layouts."""
    if isinstance(layer, nn.Conv2d):
        return torch.randn(1, layer.in_channels, height, width)
    assert isinstance(layer, nn.Linear)
    columns = torch.randn(1, layer.in_features, height * width).transpose(1, 2)
    return columns.contiguous() if random.random() < 0.5 else columns


@torch.inference_mode()
def main() -> None:
    """Print what differs and how many comparisons were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    torch.manual_seed(given.seed)
    kinds: Counter[str] = Counter()
    different = 0
    while kinds.total() < given.count:
        kind = random.choice(("linear", "1x1", "3x3", "depthwise", "grouped", "other"))
        width_in, width_out = random.choice(CHANNELS), random.choice(CHANNELS)
        most = 300 if random.random() < 0.15 else 90
        height, width = random.randint(1, most), random.randint(1, most)
        if width_in * width_out * height * width > MOST_PRODUCTS:
            continue
        layer = layer_of(kind, width_in, width_out).requires_grad_(False)
        steady(layer)
        values = values_for(layer, height, width)
        kinds[kind] += 1
        torch.set_num_threads(1)
        expected = layer(values)
        for threads in THREADS:
            torch.set_num_threads(threads)
            if not torch.equal(layer(values), expected):
                different += 1
                print(f"{layer} of {list(values.shape)} differs with {threads} threads", flush=True)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{given.count} layers ({counts}), {len(THREADS)} numbers of threads: {different} differ")


if __name__ == "__main__":
    main()
