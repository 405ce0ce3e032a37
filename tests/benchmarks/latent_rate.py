"""What quantised latents take in bytes, beside their entropy and beside zstandard.

    python tests/benchmarks/latent_rate.py --images ../shared/images/kodak \
        --codec demo-f8c4 --codec demo-f8c16 --codec taef2=../shared/weights/taef2 \
        --out reports/published/latent-rate

Each picture is encoded once by each autoencoder; then its latents are quantised, packed, unpacked
from the bytes alone and compared bit by bit with what they were quantised to. Writes rates.csv
(all sizes in bytes) and README.md. Ends with exit code 1 where a picture did not come back
exactly, or took over 2 % and its header more than its entropy, or more than by zstandard.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import zstandard
from vaebench.bench.codecs import Codec, open_codec
from vaebench.bench.codecs.latents.stream import (
    Symbols,
    entropy_bits,
    header_bytes,
    pack_latents,
    quantise,
    unpack_latents,
)
from vaebench.bench.codecs.tensors import reflect_pad
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.suite import CodecSpec

QUANTISERS: dict[str, dict[str, Any]] = {
    **{f"step={step:g}": {"step": step} for step in (0.125, 0.25, 0.5, 1.0, 2.0)},
    **{f"bits={bits}": {"bits": bits} for bits in (4, 6)},
}
LEVEL = 19
ALLOWED_PERCENT = 2.0


def latents_of(codec: Codec, picture: Path) -> tuple[np.ndarray, int]:
    """Return float32 latents [C, h, w], and the picture's number of pixels before padding."""
    rgb = read_pixels(picture).rgb
    images = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float().div(255)
    latents = codec.encode(reflect_pad(images, codec.info.multiple_px)).latents
    assert latents is not None
    return latents[0].float().cpu().numpy(), rgb.shape[0] * rgb.shape[1]


def histogram_bytes(symbols: Symbols) -> float:
    """Return the empirical entropy of the channels' histograms, these themselves not counted."""
    bits = 0.0
    for channel in symbols.values:
        counts = np.unique(channel, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def by_zstandard(symbols: Symbols) -> int:
    """Return the bytes of the same symbols, 8 bits each where they fit and else 16."""
    kind = np.int8 if np.abs(symbols.values).max(initial=0) < 128 else np.int16
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    return len(compressor.compress(symbols.values.astype(kind).tobytes()))


def measure(latents: np.ndarray, pixel_count: int, quantiser: dict[str, Any]) -> dict[str, Any]:
    symbols = quantise(latents, **quantiser)
    started = time.process_time()
    payload = pack_latents(latents, **quantiser)
    packed = time.process_time()
    found = unpack_latents(payload)
    unpacked = time.process_time()
    header, entropy = header_bytes(payload), entropy_bits(symbols) / 8
    return {
        "values": latents.size,
        "payload": len(payload),
        "bpp": 8 * len(payload) / pixel_count,
        "header": header,
        "entropy": entropy,
        "over_entropy_percent": 100 * ((len(payload) - header) / entropy - 1),
        "histogram_entropy": histogram_bytes(symbols),
        "zstandard": by_zstandard(symbols),
        "exact": found.tobytes() == symbols.dequantise().tobytes(),
        "pack_ms": 1e3 * (packed - started),
        "unpack_ms": 1e3 * (unpacked - packed),
    }


def table(rates: pd.DataFrame) -> str:
    """Return the means over the pictures as Markdown."""
    lines = [
        "| codec | quantiser | bpp | bytes | of these header | entropy | over entropy, % (worst) | "
        "histograms' entropy | zstandard | against zstandard, % (worst) |",
        "|" + " --- |" * 10,
    ]
    for (codec, quantiser), group in rates.groupby(["codec", "quantiser"], sort=False):
        mean = group.mean(numeric_only=True)
        saved = 100 * (group["payload"] / group["zstandard"] - 1)
        lines.append(
            f"| {codec} | {quantiser} | {mean['bpp']:.3f} | {mean['payload']:,.0f} | "
            f"{mean['header']:.0f} | {mean['entropy']:,.0f} | "
            f"{group['over_entropy_percent'].mean():+.2f} "
            f"({group['over_entropy_percent'].max():+.2f}) | {mean['histogram_entropy']:,.0f} | "
            f"{mean['zstandard']:,.0f} | {saved.mean():+.1f} ({saved.max():+.1f}) |"
        )
    return "\n".join(lines)


def readme(rates: pd.DataFrame) -> str:
    command = shlex.join(["python", *sys.argv])
    pictures = rates["image"].nunique()
    within = int((rates["over_entropy_percent"] <= ALLOWED_PERCENT).sum())
    smaller = int((rates["payload"] < rates["zstandard"]).sum())
    f8c16 = rates[rates["values"] == 16 * 96 * 64]
    speed = ""
    if len(f8c16):
        pack, unpack = f8c16["pack_ms"].median(), f8c16["unpack_ms"].median()
        speed = (
            f"Of 16×96×64 values, packing takes {pack:.0f} ms and unpacking {unpack:.0f} ms of "
            "processor time (medians, one thread).\n\n"
        )
    return f"""# What quantised latents take in bytes

Made by

    {command}

with constriction {version("constriction")} and zstandard {version("zstandard")}, level {LEVEL}.
{pictures} pictures; a payload is all that a decoder needs beside the autoencoder. {len(rates)}
payloads were unpacked from their bytes alone: {int(rates["exact"].sum())} gave the quantised
latents bit by bit. {within} of {len(rates)} are, header aside, within {ALLOWED_PERCENT:g} % of
their entropy, and {smaller} are smaller than the same symbols by zstandard (planes of channels, a
byte each where they fit, else two).

Means over the pictures, sizes in bytes:

{table(rates)}

`entropy` is that of the symbols under the class of models that the payload uses: discretised
logistic distributions around predictions from four neighbours, with the best real-valued scale for
each of 9 classes of activity in each channel; what the parameters take is in the header instead. A
payload can be below it where latents have heavier tails than that distribution: the coder passes
what is far out on to a table eight times as wide. `histograms' entropy` is what an ideal coder
without context would take, were each channel's histogram known for nothing.

{speed}rates.csv has each picture's figures.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--codec", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for text in asked.codec:
        spec = CodecSpec.parse(text)
        codec = open_codec(spec.name, spec.source, spec.settings)
        for image in find_images([asked.images]).images:
            latents, pixel_count = latents_of(codec, Path(image.path))
            for name, quantiser in QUANTISERS.items():
                found = measure(latents, pixel_count, quantiser)
                rows.append(
                    {"codec": spec.name, "image": image.image_id, "quantiser": name, **found}
                )
        print(f"{spec.name}: {len(rows)} payloads so far", flush=True)
    rates = pd.DataFrame(rows)
    asked.out.mkdir(parents=True, exist_ok=True)
    rates.to_csv(asked.out / "rates.csv", index=False, float_format="%.6g")
    (asked.out / "README.md").write_text(readme(rates), encoding="utf-8")
    holds = (
        rates["exact"]
        & (rates["over_entropy_percent"] <= ALLOWED_PERCENT)
        & (rates["payload"] < rates["zstandard"])
    )
    print(table(rates))
    print(rates[~holds].to_string() if not holds.all() else "all hold")
    return int(not holds.all())


if __name__ == "__main__":
    sys.exit(main())
