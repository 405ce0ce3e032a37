"""Mutated picture files through `read_pixels`: each must be read or refused with its reason.

    python tests/benchmarks/fuzz_images.py --count 50000

Every input follows from the seed and its number. Every fifth is a picture cut short, which may be
read only where its pixels are all there. Workers have 2 GB of address space and 20 s an input; one
that dies is replaced, and the input is a finding. What is done is kept in .cache/fuzz, so that a
stopped run goes on; inputs with findings are kept there too.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
MEMORY_BYTES = 2 * 10**9
LIMIT_S = 20.0
BATCH = 500


def seeds() -> dict[str, bytes]:
    """Return small pictures in every format and layout that is fuzzed, by name."""
    from vaebench.bench.images.files.marks import opens_heif

    y, x = np.mgrid[0:40, 0:56]
    waves = np.stack([128 + 90 * np.sin(x / 5 + c) * np.cos(y / (4 + c)) for c in range(3)], -1)
    noise = np.random.default_rng(0).normal(0, 9, waves.shape)
    rgb = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))
    later = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    deep = np.clip(waves * 250, 0, 65535).astype(np.uint16)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [later]}
    pictures: dict[str, tuple[Image.Image, dict]] = {
        "png": (rgb, {"exif": exif}),
        "png-alpha": (alpha, {}),
        "png-palette": (rgb.quantize(64), {"transparency": 3}),
        "png-grey16": (Image.fromarray(deep[..., 0]), {}),
        "png-animated": (rgb, frames),
        "jpeg": (rgb, {"quality": 80, "exif": exif}),
        "jpeg-progressive": (rgb, {"quality": 80, "progressive": True}),
        "jpeg-cmyk": (rgb.convert("CMYK"), {"quality": 80}),
        "jpeg-restarts": (rgb, {"quality": 80, "restart_marker_blocks": 2}),
        "webp": (rgb, {"quality": 80, "exif": exif}),
        "webp-lossless": (alpha, {"lossless": True}),
        "webp-animated": (rgb, frames),
        "avif": (rgb, {"quality": 70, "speed": 10}),
        "gif": (rgb.quantize(32), {"save_all": True, "append_images": [later.quantize(32)]}),
        "tiff": (rgb, {"compression": "raw"}),
        "tiff-deflate": (alpha, {"compression": "tiff_adobe_deflate"}),
        "tiff-lzw": (rgb, {"compression": "tiff_lzw"}),
        "tiff-jpeg": (rgb, {"compression": "jpeg"}),
        "tiff-grey16": (Image.fromarray(deep[..., 0]), {}),
        "tiff-group3": (rgb.convert("1"), {"compression": "group3"}),
        "tiff-group4": (rgb.convert("1"), {"compression": "group4"}),
        "ppm-grey16": (Image.fromarray(deep[..., 0]), {}),
    }
    points = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    told = PngImagePlugin.PngInfo()
    told.add(b"cHRM", struct.pack(">8I", *points))
    told.add(b"gAMA", struct.pack(">I", 55556))
    adobe = Image.Exif()
    adobe[271] = "camera"
    adobe.get_ifd(0x8769)[0xA001] = 2
    pictures |= {
        "png-gama": (rgb, {"pnginfo": told}),
        "jpeg-adobe-rgb": (rgb, {"quality": 80, "exif": adobe}),
        "tiff-primaries": (rgb, {"tiffinfo": {318: (0.31, 0.33), 319: P3}}),
        "jpeg2000": (rgb, {"no_jp2": False}),
        "bmp": (rgb, {}),
    }
    if opens_heif():
        pictures["heif"] = (rgb, {"quality": 70})
    made: dict[str, bytes] = {"png-rgb16": _png_16(deep)}
    for name, (image, options) in pictures.items():
        buffer = io.BytesIO()
        image.save(buffer, name.partition("-")[0].upper(), **options)
        made[name] = buffer.getvalue()
    return made


def _png_16(samples: np.ndarray) -> bytes:
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def is_cut(number: int) -> bool:
    """Whether an input is a picture cut short, and nothing else."""
    return number % 5 == 0


def mutant(seed: int, number: int, pictures: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name of the picture that an input comes from, and the input."""
    source = random.Random(f"{seed}:{number}")
    name = source.choice(sorted(pictures))
    data = bytearray(pictures[name])
    if is_cut(number):
        # Half of them get the mark by which a reader knows the end.
        closing = source.choice((b"", CLOSINGS.get(name.partition("-")[0], b"")))
        return name, bytes(data[: source.randrange(len(data))]) + closing
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        if data:
            source.choice(MUTATIONS)(data, source, pictures)
    if name.startswith("png") and source.random() < 0.6:
        data = _with_checksums(data)
    return name, bytes(data)


def _place(data: bytearray, source: random.Random) -> int:
    # Headers are short, and decide more than the pixels behind them.
    return source.randrange(min(len(data), 64) if source.random() < 0.3 else len(data))


def _flip(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    data[_place(data, source)] ^= 1 << source.randrange(8)


def _byte(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    data[_place(data, source)] = source.choice((0, 1, 127, 128, 254, 255, source.randrange(256)))


def _number(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    value = source.choice((0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    layout = source.choice(("<I", ">I", "<H", ">H"))
    packed = struct.pack(layout, value & (0xFFFF if layout[1] == "H" else 0xFFFFFFFF))
    at = _place(data, source)
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    del data[_place(data, source) :]


def _drop(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    at = _place(data, source)
    del data[at : at + source.randint(1, 64)]


def _insert(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    at = _place(data, source)
    data[at:at] = source.randbytes(source.randint(1, 64))


def _repeat(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    at = _place(data, source)
    data[at:at] = data[at : at + source.randint(1, 256)]


def _blank(data: bytearray, source: random.Random, _: dict[str, bytes]) -> None:
    at = _place(data, source)
    length = min(source.randint(1, 256), len(data) - at)
    data[at : at + length] = bytes(length)


def _splice(data: bytearray, source: random.Random, pictures: dict[str, bytes]) -> None:
    other = pictures[source.choice(sorted(pictures))]
    at = _place(data, source)
    data[at:] = other[source.randrange(len(other)) :]


CLOSINGS = {"png": _chunk(b"IEND", b""), "jpeg": b"\xff\xd9", "gif": b"\0;"}

Mutation = Callable[[bytearray, random.Random, dict[str, bytes]], None]
MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _byte, _number, _cut, _drop),
    *(_insert, _repeat, _blank, _splice),
)


def _with_checksums(data: bytearray) -> bytearray:
    """Make the CRC of each PNG chunk right again, so that the damage reaches its reader."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


def work(seed: int, first: int, last: int) -> None:
    """Try inputs in this process; tell each outcome as a line of JSON."""
    from vaebench.bench.errors import ImageError
    from vaebench.bench.images.files.limits import MAX_PIXELS
    from vaebench.bench.images.pixels import read_pixels

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    pictures = seeds()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "input.bin")
        whole: dict[str, np.ndarray] = {}
        for name, data in pictures.items():
            path.write_bytes(data)
            whole[name] = read_pixels(path).rgb
        for number in range(first, last):
            name, data = mutant(seed, number, pictures)
            path.write_bytes(data)
            start = time.perf_counter()
            try:
                rgb = read_pixels(path).rgb
                sound = rgb.dtype == np.uint8 and rgb.shape[2:] == (3,)
                sound = sound and 0 < rgb.shape[0] * rgb.shape[1] <= MAX_PIXELS
                outcome = "read" if sound else f"unsound {rgb.dtype} {rgb.shape}"
                if is_cut(number) and not np.array_equal(rgb, whole[name]):
                    outcome = "cut short and yet read"
            except ImageError as error:
                told = str(error)
                outcome = "refused" if told.startswith("Cannot read input.bin: ") else told
                if "memory ran out" in told:
                    outcome = "memory"
            except Exception as error:
                outcome = f"raised {type(error).__name__}: {error}"
            line = {"number": number, "picture": name, "outcome": outcome}
            line["seconds"] = round(time.perf_counter() - start, 3)
            line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
            print(json.dumps(line), flush=True)


def outcomes(seed: int, todo: list[int]) -> Iterator[dict]:
    """Yield the outcome of each input, from one worker after another."""
    pictures = seeds()
    while todo:
        batch = [number for number in todo[:BATCH] if number - todo[0] < BATCH]
        command = [sys.executable, __file__, "--seed", str(seed), "--worker"]
        worker = subprocess.Popen(
            [*command, str(batch[0]), str(batch[-1] + 1)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        expected = batch[0]
        for line in _lines(worker):
            told = json.loads(line)
            expected = told["number"] + 1
            yield told
        code = worker.wait()
        if expected <= batch[-1]:
            name, _ = mutant(seed, expected, pictures)
            outcome = "hang" if code == -9 else f"worker ended with {code}"
            yield {"number": expected, "picture": name, "outcome": outcome}
            expected += 1
        todo = [number for number in todo if number >= expected]


def _lines(worker: subprocess.Popen) -> Iterator[bytes]:
    """Yield a worker's lines; kill it where the next takes too long."""
    assert worker.stdout is not None
    # The first includes the start of the interpreter.
    limit, pending = 3 * LIMIT_S, b""
    while select.select([worker.stdout], [], [], limit)[0]:
        block = worker.stdout.read(65536)
        if not block:
            return
        *lines, pending = (pending + block).split(b"\n")
        yield from lines
        limit = LIMIT_S
    worker.kill()


def report(done: dict[int, dict]) -> Iterator[str]:
    """Yield a Markdown table, a row a format."""
    yield "| format | inputs | read | refused | findings | slowest (s) | largest process (MB) |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    formats = sorted({entry["picture"].partition("-")[0] for entry in done.values()})
    for name in [*formats, "all"]:
        rows = [e for e in done.values() if name in ("all", e["picture"].partition("-")[0])]
        told = Counter(entry["outcome"] for entry in rows)
        good = told["read"] + told["refused"]
        slowest = max(entry.get("seconds", LIMIT_S) for entry in rows)
        peak = max(entry.get("peak_mb", 0) for entry in rows)
        yield (
            f"| {name} | {len(rows)} | {told['read']} | {told['refused']} | {len(rows) - good} "
            f"| {slowest:.2f} | {peak} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path(".cache/fuzz"))
    parser.add_argument("--worker", type=int, nargs=2, metavar=("FIRST", "LAST"))
    options = parser.parse_args()
    if options.worker:
        work(options.seed, *options.worker)
        return
    options.state.mkdir(parents=True, exist_ok=True)
    journal = options.state / f"seed-{options.seed}.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = {entry["number"]: entry for entry in map(json.loads, lines)}
    done = {number: entry for number, entry in done.items() if number < options.count}
    todo = [number for number in range(options.count) if number not in done]
    pictures = seeds()
    with journal.open("a") as file:
        for entry in outcomes(options.seed, todo):
            done[entry["number"]] = entry
            file.write(json.dumps(entry) + "\n")
            if entry["outcome"] not in ("read", "refused"):
                name, data = mutant(options.seed, entry["number"], pictures)
                (options.state / f"{options.seed}-{entry['number']}.{name}").write_bytes(data)
                print(entry)
    print("\n".join(report(done)))
    sys.exit(any(entry["outcome"] not in ("read", "refused") for entry in done.values()))


if __name__ == "__main__":
    main()
