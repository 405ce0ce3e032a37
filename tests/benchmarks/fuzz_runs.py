"""Damaged files of run folders and histories: each is refused in a sentence, or read as written.

    python tests/benchmarks/fuzz_runs.py --count 6000

Bits and bytes are changed, parts cut, blanked and repeated; in JSON fields are dropped, doubled and
given other values, in a history cells. What was damaged is then loaded, made into the report's
tables, scored with one more metric, compared and, of an unfinished run, looked through for what is
finished. A finding is any error but the one sentence, and, where a file has a checksum, anything
read that was not written. A history has none; and whoever changes a record can seal it again, which
is tried too.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import random
import shutil
import sqlite3
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from vaebench.bench import api
from vaebench.bench.compare.comparison import compare
from vaebench.bench.errors import VaebenchError
from vaebench.bench.scoring.rescore import add_metrics
from vaebench.bench.store.history.database import open_history, trend
from vaebench.bench.store.history.export import EXPORTS, export
from vaebench.bench.store.history.listing import list_trends
from vaebench.bench.store.parts import finished_images
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.bench.store.sealed import SEAL
from vaebench.reports import write_report
from vaebench.reports.tables.run import TABLES

ASKED: dict[str, Any] = {
    "codecs": ["floor=pca:c=2,f=8", "jpeg:q=40", "webp:q=40"],
    "metrics": ["psnr", "mse"],
}
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1e308, float("nan"), float("inf")),
    *("", "x", "../..", "\0", "{", [], {}, [[]], {"a": 1}),
)
CELLS = ("kind", "run_id", "created", "fingerprint", "cell", "unit", "value", "samples", "extra")


@dataclass(frozen=True)
class Target:
    """A file that is damaged, how it is read, and whether its checksum must tell any change."""

    name: str
    original: bytes
    path: Path
    read: Callable[[int], object]
    is_sealed: bool
    is_sealed_again: bool = False
    """Whether what was changed is given its checksum: that tells no more than a slip."""


def silent(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def stopping(phase: str, done: int, total: int) -> None:
    """Stop a run behind its first pictures."""
    if phase == "scoring" and done == 2:
        raise KeyboardInterrupt


def make(folder: Path) -> tuple[Path, Path, Path]:
    """Make a finished run, an unfinished one and the history of the first; return their places."""
    photos, history = folder / "photos", folder / "history.sqlite"
    photos.mkdir()
    random_values = np.random.default_rng(1)
    for name in "abcd":
        pixels = random_values.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{name}.png")
    (photos / "broken.png").write_bytes(b"x")
    regions = {"a.png": [{"name": "e", "kind": "eye", "box": [1, 1, 20, 20]}]}
    (photos / "regions.json").write_text(json.dumps(regions))
    fields = {**ASKED, "images": [str(photos)], "regions": [str(photos / "regions.json")]}
    whole = api.run(out=folder / "whole", history=str(history), **fields).folder
    with suppress(KeyboardInterrupt):
        api.run(out=folder / "half", history="off", progress=stopping, batch_size=1, **fields)
    with closing(sqlite3.connect(history)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    return whole, folder / "half", history


def targets(whole: Path, half: Path, history: Path) -> list[Target]:
    """Return what is damaged."""
    record = whole / "run.json"
    part = min((half / "parts").glob("*.json"))

    def finished(number: int) -> object:
        return told(load_run(half)), sorted(finished_images(half))

    return [
        Target("run.json", record.read_bytes(), record, lambda n: use(whole, n), True),
        Target(
            "run.json, sealed again",
            record.read_bytes(),
            record,
            lambda n: use(whole, n),
            False,
            True,
        ),
        Target("a part, sealed again", part.read_bytes(), part, finished, False, True),
        Target("a part", part.read_bytes(), part, finished, True),
        *(
            Target(name, (whole / name).read_bytes(), whole / name, lambda n: use(whole, n), True)
            for name in ("scores.parquet", "latents.parquet")
        ),
        Target("history", history.read_bytes(), history, lambda n: use_history(history), False),
    ]


def as_json(value: Any) -> bytes:
    """Return JSON as a run has it."""
    return json.dumps(value, indent=1).encode("utf-8", "surrogatepass")


def told(run: StoredRun) -> tuple[str, ...]:
    """Return all that a run says, in a form that compares."""
    frames = (run.scores, run.images, run.codecs, run.unavailable, run.latents)
    return (repr(run.record), repr(run.regions), *(frame.to_json() for frame in frames))


def use(folder: Path, number: int) -> object:
    """Read a run, and do one of the things that are done with it, on a copy."""
    found = told(run := load_run(folder))
    with tempfile.TemporaryDirectory() as scratch:
        if number % 3 == 0:
            for make_table in TABLES.values():
                make_table(run)
            run._repr_html_()
            if number % 2:
                write_report(shutil.copytree(folder, Path(scratch, "reported")))
        elif number % 3 == 1:
            compare([run], Path(scratch, "compared"))
        else:
            add_metrics(
                load_run(shutil.copytree(folder, Path(scratch, "run"))), ["mae"], None, silent
            )
    return found


def use_history(path: Path) -> None:
    """List and export a history."""
    opened = open_history(str(path), to_read=True)
    assert opened is not None
    frame = opened.read()
    list(list_trends(trend(frame)))
    for form in EXPORTS:
        with suppress(VaebenchError):
            export(frame, form)


def damage(target: Target, draw: random.Random) -> bytes:
    """Return the file's bytes, changed."""
    if target.is_sealed_again:
        fields = json.loads(with_other_fields(json.loads(target.original), draw))
        fields.pop(SEAL, None)
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        return as_json({**fields, SEAL: digest})
    if target.path.suffix == ".json" and draw.random() < 0.5:
        return with_other_fields(json.loads(target.original), draw)
    data = bytearray(target.original)
    for _ in range(draw.choice((1, 1, 1, 3))):
        at = draw.randrange(len(data))
        match draw.randrange(6):
            case 0 | 1:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                data[at] = draw.choice(b'0123456789"[]{},:-e\\\0\xff')
            case 3:
                data[at : at + 64] = bytes(len(data[at : at + 64]))
            case 4:
                data[at:at] = data[at : at + draw.randrange(1, 64)]
            case _:
                del data[max(at, 1) :]
    return bytes(data)


def with_other_fields(value: Any, draw: random.Random) -> bytes:
    """Return JSON with one field dropped, doubled or of another value."""
    changed = copy.deepcopy(value)
    # Without the checksum it would be one of before.
    *way, last = draw.choice([way for way in places(changed) if way != (SEAL,)])
    owner = changed
    for key in way:
        owner = owner[key]
    match draw.randrange(3):
        case 0:
            del owner[last]
        case 1 if isinstance(owner, list):
            owner.insert(last, copy.deepcopy(owner[last]))
        case 1:
            owner[draw.choice(("x", "", f"{last}s"))] = owner.pop(last)
        case _:
            owner[last] = draw.choice(VALUES)
    return as_json(changed)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to everything in a JSON value."""
    if isinstance(value, dict):
        keys: Any = list(value)
    else:
        keys = range(len(value)) if isinstance(value, list) else ()
    below = [found for key in keys for found in places(value[key], (*way, key))]
    return [way, *below] if way else below


def damage_cell(path: Path, draw: random.Random) -> None:
    """Give a cell of a history another value."""
    values = [str(value) if isinstance(value, list | dict) else value for value in VALUES[:-1]]
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.Error, OverflowError):
        (count,) = database.execute("SELECT count(*) FROM measurements").fetchone()
        database.execute(
            f'UPDATE measurements SET "{draw.choice(CELLS)}"=? WHERE id=?',
            (draw.choice(values), draw.randint(1, count)),
        )
        database.commit()


def outcome(target: Target, number: int, seed: int, expected: object) -> str:
    """Damage a file, read it and put it right again; return what came of it."""
    draw = random.Random(f"{seed}:{number}")
    if target.name == "history" and draw.random() < 0.5:
        damage_cell(target.path, draw)
    else:
        target.path.write_bytes(damage(target, draw))
    try:
        found = target.read(number)
        if target.is_sealed and found != expected:
            return "read otherwise than written"
        return "read"
    except VaebenchError as error:
        return "refused" if str(error).isprintable() else f"unprintable: {error}"
    except Exception:
        return "raised: " + traceback.format_exc().strip()
    finally:
        target.path.unlink(missing_ok=True)
        target.path.write_bytes(target.original)


def main() -> None:
    """Print a Markdown table, and each kind of finding once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["VAEBENCH_HISTORY"] = "off"
    warnings.simplefilter("ignore")
    done: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        chosen = targets(*make(Path(folder)))
        for number in range(given.count):
            target = chosen[number % len(chosen)]
            target.path.write_bytes(target.original)
            turn = number // len(chosen)
            expected = target.read(turn) if target.is_sealed else None
            result = outcome(target, turn, given.seed, expected)
            kind = result if result in ("read", "refused") else "finding"
            done[target.name, kind] += 1
            if kind == "finding":
                print(f"{target.name}, {number}: {result}\n")
    print("| file | inputs | refused | read | findings |\n|---|---:|---:|---:|---:|")
    for target in chosen:
        refused, read, findings = (
            done[target.name, kind] for kind in ("refused", "read", "finding")
        )
        total = refused + read + findings
        print(f"| {target.name} | {total} | {refused} | {read} | {findings} |")


if __name__ == "__main__":
    main()
