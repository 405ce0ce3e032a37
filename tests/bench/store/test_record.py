"""run.json: what was damaged, or lacks something, is told in a sentence and never read."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from vaebench.bench.api import load_run
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Unavailable
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.record import read_record, write_record
from vaebench.bench.suite import Suite

SUITE = Suite.create(codecs=["floor=pca:c=2,f=8", "jpeg:q=40"], metrics=["psnr"], keep="none")


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    """A whole run, with every kind of entry in its run.json."""
    given = {"images": [str(photos)], "regions": [str(photos / "regions.json")]}
    folder = tmp_path / "run"
    suite = Suite.create(**{**SUITE.model_dump(), **given})
    record = evaluate(suite, folder, "command", quiet).record
    reason = asdict(Unavailable("mae", "mae/rgb8", "because", "a.png", None))
    write_record(folder, {**record, "unavailable": [reason], "notes": ["a note"]})
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a document, the document's own fields and theirs."""
    if path:
        yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from places(value[key], (*path, key))


def without_seal(folder: Path) -> dict[str, Any]:
    """Make a run one of before run.json had a checksum."""
    record = json.loads((folder / "run.json").read_text())
    del record["sha256"]
    (folder / "run.json").write_text(json.dumps(record))
    return record


def test_a_record_that_is_damaged_anywhere_is_refused(run: Path) -> None:
    whole, path, draw = (run / "run.json").read_bytes(), run / "run.json", random.Random(3)
    expected, outcomes = read_record(run), Counter[str]()
    for index in range(300):
        data = bytearray(whole)
        place = draw.randrange(len(data))
        if index % 2:
            data[place] ^= 1 << draw.randrange(8)
        else:
            data[place : place + 9] = draw.randbytes(draw.randrange(20))
        path.write_bytes(data if index % 5 else data[:place])
        try:
            assert {key: read_record(run)[key] for key in expected} == expected
        except RunFolderError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
        else:
            # A blank made another, or the name of the checksum: the rest is as it was written.
            outcomes["without effect"] += 1
    assert outcomes["refused"] > 200


def test_an_older_run_is_read(run: Path) -> None:
    """One of before the checksum, latents, timings and some of a suite's fields."""
    record = without_seal(run)
    record["schema_version"] = 0
    for key in ("latents", "notes", "working_folder"):
        del record[key]
    for key in ("speed", "background"):
        del record["suite"][key]
    for codec in record["codecs"]:
        del codec["notes"]
    (run / "run.json").write_text(json.dumps(record))
    (run / "latents.parquet").unlink()
    pd.read_parquet(run / "scores.parquet").to_parquet(run / "scores.parquet", index=False)
    stored = load_run(run)
    assert len(stored.scores) > 0
    assert stored.record["suite"]["background"] == "#ffffff"
    assert stored.record["codecs"][0]["notes"] == []
    assert len(stored.latents) == len(stored.timings) == len(stored.trend) == 0


def test_an_older_record_with_a_field_missing_or_of_another_type_is_refused(run: Path) -> None:
    """Or the field is one that has a default, as in a suite, or that nothing reads by its type."""
    record, path = without_seal(run), run / "run.json"
    ways = [way for way in places(record) if way[0] not in ("schema_version", "suite")]
    assert len(ways) > 150
    refused = 0
    for way in ways:
        changed = copy.deepcopy(record)
        owner: Any = changed
        for key in way[:-1]:
            owner = owner[key]
        owner[way[-1]] = ["of", {"another": "type"}]
        path.write_text(json.dumps(changed))
        with pytest.raises(RunFolderError, match=f"damaged: {way[0]}"):
            read_record(run)
        if isinstance(owner, dict):
            del owner[way[-1]]
            path.write_text(json.dumps(changed))
            try:
                read_record(run)
            except RunFolderError as error:
                refused += "damaged" in str(error)
    assert refused > 90


@pytest.mark.parametrize("field", ["name", "kind"])
def test_an_older_record_with_a_nameless_region_is_refused(run: Path, field: str) -> None:
    record = without_seal(run)
    record["regions"][0][field] = ""
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match=rf"damaged: regions\.0\.{field}"):
        read_record(run)


def test_a_record_that_was_changed_by_hand_is_read_once_its_checksum_is_out(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["name"] = "another"
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match=r"changed by hand.* take its last field, sha256, out"):
        read_record(run)
    del record["sha256"]
    (run / "run.json").write_text(json.dumps(record))
    assert read_record(run)["name"] == "another"
