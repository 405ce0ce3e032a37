"""The run folder: whole files only, exact columns, resumable."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import shutil
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import CodecInfo, ImageRef, MetricColumn, Score, Unavailable
from vaebench.bench.store.atomic import write_atomic
from vaebench.bench.store.parts import finished_images, parts_of, write_part
from vaebench.bench.store.record import RUN, RunRecord, new_record, read_record
from vaebench.bench.store.run import (
    clean_up,
    create_run,
    finish_run,
    load_run,
)
from vaebench.bench.store.tables import SCORE_COLUMNS
from vaebench.bench.suite import Suite

SUITE = Suite.create(codecs=["jpeg"])


def record(*image_ids: str, **fields: Any) -> RunRecord:
    images = tuple(ImageRef(image_id, "set", image_id, "0" * 64, 8, 8) for image_id in image_ids)
    codecs = (CodecInfo("jpeg", "classical", "jpeg", {}),)
    metrics = tuple(MetricColumn("psnr", f"psnr/{of}", "dB", True) for of in ("rgb8", "float"))
    made = new_record(SUITE, Path("test"), "", images=images, codecs=codecs, metrics=metrics)
    return replace(made, **fields)


def score(image_id: str, value: float | None) -> Score:
    return Score(image_id, "jpeg", "whole", "whole", "psnr", "psnr/rgb8", value, "dB")


def test_scores_have_exactly_the_columns_and_keep_every_digit(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("b.png", "a.png")
    create_run(folder, rec)
    write_part(folder, "a.png", [score("a.png", 0.1 + 0.2)], [], {})
    none = replace(score("b.png", None), variant="psnr/float")
    write_part(folder, "b.png", [score("b.png", math.inf), none], [], {})
    finish_run(folder, rec, parts_of(folder, rec))
    table = pq.read_table(folder / "scores.parquet")
    assert tuple(table.column_names) == SCORE_COLUMNS
    # In the order of the record's images, not of the parts; unavailable is null, not NaN.
    assert table.column("image_id").to_pylist() == ["b.png", "b.png", "a.png"]
    assert table.column("value").to_pylist() == [math.inf, None, 0.1 + 0.2]
    assert not (folder / "parts").exists()
    assert load_run(folder).record.finished is True


def test_a_run_that_was_stopped_shows_what_it_has(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png", "dir/b.png")
    create_run(folder, rec)
    assert finished_images(folder) == set()
    reason = Unavailable("psnr", "psnr/rgb8", "because", "dir/b.png", "jpeg")
    write_part(folder, "dir/b.png", [score("dir/b.png", None)], [reason], {})
    assert finished_images(folder) == {"dir/b.png"}
    run = load_run(folder)
    assert run.scores["image_id"].tolist() == ["dir/b.png"]
    assert run.unavailable["reason"].tolist() == ["because"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="it is not an empty folder"):
        create_run(tmp_path, record())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    create_run(tmp_path / "a run", record())
    with pytest.raises(RunFolderError, match=r"--resume '.*a run', or choose"):
        create_run(tmp_path / "a run", record())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is no run folder"),
        ("{", "is damaged"),
        (json.dumps({"schema_version": RUN.schema_version + 1}), "Install a newer vaebench"),
        ("[]", "schema version None"),
        (json.dumps({"schema_version": "1"}), "schema version 1"),
    ],
)
def test_a_foreign_folder_is_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=reason) as refused:
        read_record(tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises(RunFolderError, match=reason):
        load_run(tmp_path)


def test_a_damaged_scores_file_is_refused(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png")
    create_run(folder, rec)
    finish_run(folder, rec, parts_of(folder, rec))
    (folder / "scores.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(RunFolderError, match=r"Cannot read .*scores\.parquet"):
        load_run(folder)
    pd.DataFrame({"value": [1.0]}).to_parquet(folder / "scores.parquet")
    with pytest.raises(RunFolderError, match="lacks the columns image_id"):
        load_run(folder)
    texts = pd.DataFrame({name: ["31"] for name in SCORE_COLUMNS})
    texts.to_parquet(folder / "scores.parquet")
    with pytest.raises(RunFolderError, match="as values, not float64"):
        load_run(folder)
    (folder / "scores.parquet").unlink()
    with pytest.raises(RunFolderError, match="it is gone"):
        load_run(folder)


def test_a_table_of_another_run_is_refused(tmp_path: Path) -> None:
    for name, image_id in (("run", "a.png"), ("other", "b.png")):
        create_run(tmp_path / name, rec := record(image_id))
        write_part(tmp_path / name, image_id, [score(image_id, 31.0)], [], {})
        finish_run(tmp_path / name, rec, parts_of(tmp_path / name, rec))
    shutil.copy(tmp_path / "other" / "scores.parquet", tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"of another run: 'b\.png' is not among the images"):
        load_run(tmp_path / "run")


def test_a_table_that_is_damaged_anywhere_is_never_another_number(tmp_path: Path) -> None:
    """Flipped bits, missing ends and foreign bytes: refused in a sentence, or without effect."""
    names = [f"{value}.png" for value in range(50)]
    folder, rec = tmp_path / "run", record(*names)
    create_run(folder, rec)
    for value, name in enumerate(names):
        write_part(folder, name, [score(name, value / 7)], [], {})
    finish_run(folder, rec, parts_of(folder, rec))
    scores, path = load_run(folder).scores, folder / "scores.parquet"
    whole, draw = path.read_bytes(), random.Random(1)
    outcomes: Counter[str] = Counter()
    for index in range(400):
        data = bytearray(whole)
        place = draw.randrange(len(data))
        if index % 2:
            data[place] ^= 1 << draw.randrange(8)
        else:
            data[place : place + 9] = draw.randbytes(draw.randrange(20))
        path.write_bytes(data if index % 5 else data[:place])
        try:
            assert load_run(folder).scores.equals(scores)
        except RunFolderError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
        else:
            outcomes["without effect"] += 1
    assert outcomes["refused"] > 200


def test_a_suite_may_lie_in_the_folder_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text("codecs = ['png']")
    create_run(tmp_path, record())
    assert load_run(tmp_path).record.images == ()


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png")
    left = [folder / ".77-a1b2c3.tmp", folder / "reconstructions" / "jpeg" / ".9-0.tmp"]
    mine = [folder / "notes.tmp", folder / ".draft.tmp", folder / "tables" / ".9-0.tmp.csv"]
    create_run(folder, rec)
    write_part(folder, "a.png", [score("a.png", 31.0)], [], {})
    for path in (*left, *mine):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert load_run(folder).scores["value"].tolist() == [31.0]
    clean_up(folder)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in mine)
    assert finished_images(folder) == {"a.png"}
    finish_run(folder, rec, parts_of(folder, rec))
    write_part(folder, "a.png", [], [], {})
    clean_up(folder)
    assert not (folder / "parts").exists()


def test_a_run_that_was_killed_before_it_began_leaves_its_folder_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".77-a1b2c3.tmp").write_bytes(b'{"schema_ver')
    (folder / ".lock").write_bytes(b"")
    with pytest.raises(RunFolderError, match=f"no run folder yet.* --out {folder}"):
        read_record(folder)
    create_run(folder, record("a.png"))
    assert not (folder / ".77-a1b2c3.tmp").exists()
    assert [image.image_id for image in load_run(folder).record.images] == ["a.png"]


def test_a_write_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, then name, then the folder that holds the name; so too for a new folder."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_sync(opened: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        steps.append("sync folder" if is_folder else f"sync {os.fstat(opened).st_size} bytes")
        fsync(opened)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomic(tmp_path / "new" / "file", b"four")
    assert steps == ["sync folder", "sync 4 bytes", "rename", "sync folder"]


def test_a_folder_that_cannot_be_synced_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems refuse it; what a disk's fault says is told."""
    fsync, fault = os.fsync, errno.EINVAL

    def files_alone(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(fault, os.strerror(fault))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", files_alone)
    write_atomic(tmp_path / "file", b"four")
    assert (tmp_path / "file").read_bytes() == b"four"
    fault = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(tmp_path / "file", b"five")


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


def test_a_notebook_sees_means_of_whole_pictures(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png", "b.png")
    create_run(folder, rec)
    write_part(folder, "a.png", [score("a.png", 20.0)], [], {})
    write_part(folder, "b.png", [score("b.png", 31.0)], [], {})
    finish_run(folder, rec, parts_of(folder, rec))
    assert "25.5" in load_run(folder)._repr_html_()
