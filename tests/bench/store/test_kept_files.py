"""Whether a picture was kept: the disk is asked once a folder, whatever the number of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import CodecInfo, ImageRef
from vaebench.bench.store.record import new_record
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite

CODECS = [f"c{place}" for place in range(5)]
IMAGES = [f"deep/{place // 100}/{place}.png" for place in range(1000)]


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    made = new_record(Suite.create(codecs=["jpeg"]), tmp_path, "")
    images = tuple(ImageRef(name, "set", name, f"{i:064x}", 8, 8) for i, name in enumerate(IMAGES))
    codecs = tuple(CodecInfo(name, "classical", "jpeg", {}) for name in CODECS)
    return StoredRun(tmp_path, replace(made, images=images, codecs=codecs), pd.DataFrame())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every look at the disk."""
    looks: list[str] = []
    for name in ("scandir", "stat"):
        look = getattr(os, name)

        def told(path: Any, *rest: Any, look: Any = look, **named: Any) -> Any:
            looks.append(str(path))
            return look(path, *rest, **named)

        monkeypatch.setattr(os, name, told)
    yield looks


def looked_for(run: StoredRun) -> int:
    found = 0
    for image in run.record.images:
        found += run.reference_path(image.image_id) is not None
        for codec in CODECS:
            found += run.reconstruction_path(codec, image.image_id) is not None
            found += run.map_path(codec, image.image_id) is not None
    return found


def test_what_was_never_kept_is_looked_for_once(run: StoredRun, asked: list[str]) -> None:
    """11,000 questions about a folder that holds no pictures at all."""
    assert looked_for(run) == 0
    assert len(asked) < 10


def test_what_was_kept_is_listed_once_a_folder(run: StoredRun, asked: list[str]) -> None:
    for name in IMAGES[::7]:
        path = run.folder / "maps" / "c1" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    asked.clear()
    assert looked_for(run) == len(IMAGES[::7])
    # Ten folders of pictures and those above them; none below the rooms that are not there. A
    # picture that is listed is looked for once more.
    assert len(asked) < 20 + len(IMAGES[::7])
    assert run.map_path("c1", IMAGES[0]) == run.folder / "maps" / "c1" / f"{IMAGES[0]}.png"
    assert run.map_path("c1", IMAGES[1]) is None
    (run.folder / "maps" / "c1" / f"{IMAGES[0]}.png").unlink()
    assert run.map_path("c1", IMAGES[0]) is None


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_told(run: StoredRun, kind: str) -> None:
    path = run.folder / "reconstructions" / "c0" / f"{IMAGES[0]}.png"
    path.parent.mkdir(parents=True)
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(RunFolderError, match="it is no file"):
        run.reconstruction_path("c0", IMAGES[0])


def test_a_link_to_a_picture_is_followed(run: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").touch()
    path = run.folder / "reconstructions" / "c0" / f"{IMAGES[0]}.png"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere.png")
    assert run.reconstruction_path("c0", IMAGES[0]) == path
