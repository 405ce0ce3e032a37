"""Parts of a run that goes on: what is not what the run wrote is told, and scored again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Score, Unavailable
from vaebench.bench.store.run import (
    SCHEMA_VERSION,
    RunFolderWarning,
    create_run,
    finished_images,
    load_run,
    part_path,
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
        write_part(folder, image_id, [score(image_id, 31.0)], [reason])
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
        create_run(run, {**record("a.png", "b.png"), "run_id": run.name})
        write_part(run, "a.png", [score("a.png", value)], [])
    write_part(other, "b.png", [score("b.png", 47.0)], [])
    for image_id in ("a.png", "b.png"):
        shutil.copy(part_path(other, image_id), part_path(folder, image_id))
    with pytest.raises(RunFolderError, match=r"damaged: it is of another run, other\. Have a\.png"):
        load_run(folder)
    with pytest.warns(RunFolderWarning, match="another run, other"):
        assert finished_images(folder) == set()
    assert finished_images(other) == {"a.png", "b.png"}


def test_a_picture_whose_latents_are_broken_is_not_finished(tmp_path: Path) -> None:
    folder, rec = tmp_path / "run", record("a.png", "b.png")
    create_run(folder, rec)
    for image_id in ("a.png", "b.png"):
        np.savez(sink := BytesIO(), latents=np.ones((4, 8, 8)))
        write_atomic(part_path(folder, image_id, "-vae.npz"), sink.getvalue())
        write_part(folder, image_id, [score(image_id, 31.0)], [])
    assert finished_images(folder) == {"a.png", "b.png"}
    latents = part_path(folder, "a.png", "-vae.npz")
    whole, draw = latents.read_bytes(), random.Random(2)
    damaged = [b"nothing", whole[:-30], whole.replace(b"\xf0\x3f", b"\xf1\x3f", 1)]
    places = range(200, 800, 10)
    damaged += [whole[:place] + draw.randbytes(9) + whole[place + 9 :] for place in places]
    for data in damaged:
        latents.write_bytes(data)
        write_part(folder, "a.png", [score("a.png", 31.0)], [])
        with pytest.warns(RunFolderWarning, match=r"latents .* damaged: .* It is scored again"):
            assert finished_images(folder) == {"b.png"}
