"""run.json: what was damaged, or lacks something, is told in a sentence and never read."""

from __future__ import annotations

import copy
import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Region, Unavailable
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.record import (
    RUN,
    read_record,
    region_from_json,
    region_to_json,
    write_record,
)
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
    reason = Unavailable("mae", "mae/rgb8", "because", "a.png", None)
    write_record(folder, replace(record, unavailable=(reason,), notes=("a note",)))
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
            assert read_record(run) == expected
        except RunFolderError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
        else:
            # A blank made another, or the name of the checksum: the rest is as it was written.
            outcomes["without effect"] += 1
    assert outcomes["refused"] > 200


def test_a_record_comes_back_as_it_was_written(run: Path) -> None:
    record = read_record(run)
    assert (record.regions[0].name, record.skipped[0].image_id) == ("left-eye", "broken.png")
    mask = np.packbits(np.eye(3, dtype=bool)).tobytes()
    masked = Region("a.png", "eye", "eye", (1, 2, 4, 5), mask)
    changed = replace(
        record,
        regions=(masked, *record.regions),
        codecs=(replace(record.codecs[0], scaling_factor=math.inf), *record.codecs[1:]),
    )
    write_record(run, changed)
    assert read_record(run) == changed
    assert read_record(run).created == record.created
    assert record.created.tzinfo is not None


def test_a_sealed_record_with_a_field_missing_or_of_another_type_is_refused(run: Path) -> None:
    """A checksum says that a record is as it was written, not by whom."""
    record = json.loads((run / "run.json").read_text())
    del record["sha256"], record["schema_version"]
    ways = [way for way in places(record) if way[0] != "suite"]
    assert len(ways) > 150
    refused = 0
    for way in ways:
        changed = copy.deepcopy(record)
        owner: Any = changed
        for key in way[:-1]:
            owner = owner[key]
        owner[way[-1]] = ["of", {"another": "type"}]
        RUN.write(run, changed)
        with pytest.raises(RunFolderError, match=f"damaged: {way[0]}"):
            read_record(run)
        if isinstance(owner, dict):
            del owner[way[-1]]
            RUN.write(run, changed)
            try:
                read_record(run)
            except RunFolderError as error:
                refused += "damaged" in str(error)
    assert refused > 80


def test_a_record_that_was_changed_by_hand_is_refused(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["name"] = "another"
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match=r"damaged, or was changed by hand: its checksum"):
        read_record(run)


def test_a_region_survives_json() -> None:
    mask = np.packbits(np.eye(3, dtype=bool)).tobytes()
    for region in (
        Region("a.png", "eye", "eye", (1, 2, 4, 5), mask),
        Region("a.png", "box", "text", (0, 0, 9, 9)),
    ):
        assert region_from_json(json.loads(json.dumps(region_to_json(region)))) == region
