"""Parts of a run that goes on: what is not what the run wrote is told, and scored again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import CodecInfo, ImageRef, Score, Unavailable
from vaebench.bench.store.parts import RunFolderWarning, finished_images, part_path, write_part
from vaebench.bench.store.record import RunRecord, new_record
from vaebench.bench.store.run import create_run, load_run
from vaebench.bench.suite import Suite

SUITE = Suite.create(codecs=["jpeg"])


def record(*image_ids: str, **fields: Any) -> RunRecord:
    images = tuple(ImageRef(image_id, "set", image_id, "0" * 64, 8, 8) for image_id in image_ids)
    codecs = (CodecInfo("jpeg", "classical", "jpeg", {}),)
    return replace(new_record(SUITE, Path("test"), "", images=images, codecs=codecs), **fields)


def score(image_id: str, value: float | None) -> Score:
    return Score(image_id, "jpeg", "whole", "whole", "psnr", "psnr/rgb8", value, "dB")


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part[: len(part) // 2],
        lambda part: b"",
        lambda part: b"\xff\xfe" + part,
        lambda part: b"[]",
        lambda part: b'{"image_id": "a.png"}',
        lambda part: part.replace(b'"a.png"', b'"z.png"'),
        lambda part: part.replace(b'"a.png"', b"7"),
        lambda part: part.replace(b'"unit"', b'"units"'),
        lambda part: part.replace(b'"reason"', b'"why"'),
        lambda part: part.replace(b"31.0", b"31.1"),
        lambda part: part.replace(b"31.0", b'"31.0"'),
        lambda part: part.replace(b"31.0", b"[31.0]"),
    ],
    ids=[
        "cut short", "empty", "no text", "a list", "keys are missing", "of another picture",
        "no name", "another column", "another reason", "another digit", "a text for a number",
        "a list for a number",
    ],
)  # fmt: skip
def test_a_broken_part_is_told_and_its_picture_not_finished(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    folder, rec = tmp_path / "my run", record("a.png", "b.png")
    create_run(folder, rec)
    reason = Unavailable("psnr", "psnr/rgb8", "because", "a.png", "jpeg")
    for image_id in ("a.png", "b.png"):
        write_part(folder, image_id, [score(image_id, 31.0)], [reason], {})
    part = part_path(folder, "a.png")
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(RunFolderError, match="is damaged") as refused:
        load_run(folder)
    assert f"a.png scored again: vaebench run --resume '{folder}'" in str(refused.value)
    with pytest.warns(RunFolderWarning, match="It is scored again"):
        assert finished_images(folder) == {"b.png"}
    assert not part.exists()
    assert load_run(folder).scores["image_id"].tolist() == ["b.png"]


def test_a_part_of_another_run_is_told_and_its_picture_not_finished(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    for run, value in ((folder, 31.0), (other, 47.0)):
        create_run(run, record("a.png", "b.png", run_id=run.name))
        write_part(run, "a.png", [score("a.png", value)], [], {})
    write_part(other, "b.png", [score("b.png", 47.0)], [], {})
    for image_id in ("a.png", "b.png"):
        shutil.copy(part_path(other, image_id), part_path(folder, image_id))
    with pytest.raises(RunFolderError, match=r"damaged: it is of another run, other\. Have a\.png"):
        load_run(folder)
    with pytest.warns(RunFolderWarning, match="another run, other"):
        assert finished_images(folder) == set()
    assert finished_images(other) == {"a.png", "b.png"}
