"""The run folder: whole files only, exact columns, resumable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Region, Score, Unavailable
from vaebench.bench.store import (
    SCHEMA_VERSION,
    SCORE_COLUMNS,
    create_run,
    finish_run,
    finished_images,
    load_run,
    read_record,
    region_from_json,
    region_to_json,
    write_atomic,
    write_part,
)


def record(*image_ids: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": "test",
        "finished": False,
        "images": [{"image_id": image_id} for image_id in image_ids],
        "regions": [],
        "codecs": [{"name": "jpeg"}],
        "unavailable": [],
    }


def score(image_id: str, value: float | None) -> Score:
    return Score(image_id, "jpeg", "whole", "whole", "psnr", "psnr/rgb8", value, "dB")


def test_scores_have_exactly_the_columns_and_keep_every_digit(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("b.png", "a.png")
    create_run(folder, rec)
    write_part(folder, "a.png", [score("a.png", 0.1 + 0.2)], [])
    write_part(folder, "b.png", [score("b.png", math.inf), score("b.png", None)], [])
    finish_run(folder, rec)
    table = pq.read_table(folder / "scores.parquet")
    assert tuple(table.column_names) == SCORE_COLUMNS
    # In the order of the record's images, not of the parts; unavailable is null, not NaN.
    assert table.column("image_id").to_pylist() == ["b.png", "b.png", "a.png"]
    assert table.column("value").to_pylist() == [math.inf, None, 0.1 + 0.2]
    assert not (folder / "parts").exists()
    assert load_run(folder).record["finished"] is True


def test_a_run_that_was_stopped_shows_what_it_has(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png", "dir/b.png")
    create_run(folder, rec)
    assert finished_images(folder) == set()
    reason = Unavailable("psnr", "psnr/rgb8", "because", "dir/b.png", "jpeg")
    write_part(folder, "dir/b.png", [score("dir/b.png", None)], [reason])
    assert finished_images(folder) == {"dir/b.png"}
    run = load_run(folder)
    assert run.scores["image_id"].tolist() == ["dir/b.png"]
    assert run.unavailable["reason"].tolist() == ["because"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="it is not an empty folder"):
        create_run(tmp_path, record())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    create_run(tmp_path / "run", record())
    with pytest.raises(RunFolderError, match="--resume"):
        create_run(tmp_path / "run", record())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is no run folder"),
        ("{", "is damaged"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), "Install a newer vaebench"),
        ("[]", "schema version None"),
    ],
)
def test_a_foreign_folder_is_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=reason):
        read_record(tmp_path)


def test_a_damaged_scores_file_is_refused(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png")
    create_run(folder, rec)
    finish_run(folder, rec)
    (folder / "scores.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(RunFolderError, match=r"Cannot read .*scores\.parquet"):
        load_run(folder)
    pd.DataFrame({"value": [1.0]}).to_parquet(folder / "scores.parquet")
    with pytest.raises(RunFolderError, match="lacks the columns image_id"):
        load_run(folder)


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_regions_survive_json(tmp_path: Path) -> None:
    mask = np.packbits(np.eye(3, dtype=bool)).tobytes()
    for region in (
        Region("a.png", "eye", "eye", (1, 2, 4, 5), mask),
        Region("a.png", "box", "text", (0, 0, 9, 9)),
    ):
        assert region_from_json(json.loads(json.dumps(region_to_json(region)))) == region


def test_a_notebook_sees_means_of_whole_pictures(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png", "b.png")
    create_run(folder, rec)
    write_part(folder, "a.png", [score("a.png", 20.0)], [])
    write_part(folder, "b.png", [score("b.png", 31.0)], [])
    finish_run(folder, rec)
    assert "25.5" in load_run(folder)._repr_html_()
