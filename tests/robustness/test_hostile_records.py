"""Records that were changed and sealed again: one sentence, or read; never a traceback."""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.compare.store import COMPARISON
from vaebench.bench.errors import RunFolderError, VaebenchError
from vaebench.bench.rate.knobs import Asked
from vaebench.bench.rate.store import RD
from vaebench.bench.rate.sweep import rate_distortion
from vaebench.bench.store.record import RUN, read_record
from vaebench.bench.store.sealed import RecordFile
from vaebench.bench.suite import CodecSpec
from vaebench.reports import write_comparison_report, write_report
from vaebench.reports.write import write_rd_report

SIZE_PX = (48, 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its comparison and a sweep, each of two small pictures with a region."""
    folder = tmp_path_factory.mktemp("made")
    draw = np.random.default_rng(3)
    for name in ("x.png", "y.png"):
        values = draw.integers(0, 256, (*SIZE_PX[::-1], 3), dtype=np.uint8)
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(values).save(folder / "photos" / name)
    regions = folder / "regions.json"
    regions.write_text('{"x.png": [{"name": "e", "kind": "eye", "box": [1, 2, 20, 21]}]}')
    common: dict[str, Any] = {"regions": [str(regions)], "metrics": ["psnr"]}
    photos = [str(folder / "photos")]
    codecs = ["a=jpeg:q=75", "b=jpeg:q=20", "c=pca:c=2,f=8"]
    api.run(images=photos, codecs=codecs, out=folder / "run", history="off", **common)
    api.compare([folder / "run"], folder / "compared")
    rate_distortion(
        [CodecSpec.parse(text) for text in ("jpeg", "webp", "demo-f8c4")],
        photos,
        folder / "rd",
        workers=1,
        asked=Asked.parse(["jpeg=10,30,50,90", "webp=10,30,50,90", "demo-f8c4=0.2,0.5,1,2"]),
        **common,
    )
    return folder


def fields_of(folder: Path, file: RecordFile) -> dict[str, Any]:
    fields = json.loads(file.path(folder).read_text())
    return {key: value for key, value in fields.items() if key not in ("sha256", "schema_version")}


def changed(fields: dict[str, Any], way: str, value: Any) -> dict[str, Any]:
    """Return fields with another value where `images.0.width_px` leads."""
    copied = copy.deepcopy(fields)
    *outer, last = [int(key) if key.isdigit() else key for key in way.split(".")]
    owner: Any = copied
    for key in outer:
        owner = owner[key]
    owner[last] = value
    return copied


RUN_FAULTS: list[tuple[str, Any]] = [
    *(("images.0.width_px", value) for value in (-1, 0, 10**9)),
    ("images.1.height_px", -40),
    *(("images.0.sha256", value) for value in ("", "x", "Z" * 64, "../" + "a" * 61)),
    *(("images.0.image_id", value) for value in ("", "../../x", "/etc/x", "a\x1b.png", "y.png")),
    *(
        ("regions.0.box_px", value)
        for value in ([-1, 0, 5, 5], [5, 5, 5, 9], [9, 0, 3, 5], [0, 0, 49, 5], [0, 0, 5, 41])
    ),
    ("regions.0.name", ""),
    ("regions.0.name", "whole"),
    ("regions.0.kind", ""),
    ("regions.0.image_id", "z.png"),
    ("regions.0.mask", "AA=="),
    *(("codecs.0.name", value) for value in ("", "..", "reference", "b")),
    ("codecs.0.multiple_px", 0),
    ("codecs.2.latent_channels", -2),
    ("metrics.0.variant", ""),
    ("metrics.0.name", ""),
    *(("error_map.max", value) for value in (math.nan, math.inf, 0.0, -1.0)),
    ("latents.0.codec", "z"),
    ("run_id", ""),
]


@pytest.mark.parametrize(("way", "value"), RUN_FAULTS)
def test_a_run_says_nothing_that_none_can(made: Path, tmp_path: Path, way: str, value: Any) -> None:
    RUN.write(tmp_path, changed(fields_of(made / "run", RUN), way, value))
    with pytest.raises(RunFolderError, match=rf"damaged: {way.split('.')[0]}"):
        read_record(tmp_path)


COMPARISON_FAULTS: list[tuple[str, Any]] = [
    ("created", "yesterday"),
    ("confidence", 0.0),
    ("confidence", math.nan),
    ("baseline", "z"),
    ("metrics", []),
    ("codecs", "x"),
    ("images.0.width_px", -1),
    ("images.0.sha256", "x"),
    ("map.max", math.nan),
    ("map.signed_max", 0.0),
    ("map", None),
    ("changed.0.codec", "z"),
    ("changed.0.variant", "z"),
    ("changed.0.image_id", "z"),
    ("changed.0.verdict", "z"),
    ("changed.0.box_px", [0, 0, -1, 5]),
    ("changed.0.pictures.codec", "../../x.png"),
    ("changed.0.pictures.codec", "/etc/passwd"),
    ("patches.0.box_px", [0, 0, 500, 5]),
    ("patches.0.pictures.map", "pictures/../x.png"),
    ("protocol.pictures", "2"),
    ("margins", []),
]


@pytest.mark.parametrize(("way", "value"), COMPARISON_FAULTS)
def test_a_comparison_says_nothing_that_none_can(
    made: Path, tmp_path: Path, way: str, value: Any
) -> None:
    COMPARISON.write(tmp_path, changed(fields_of(made / "compared", COMPARISON), way, value))
    with pytest.raises(RunFolderError, match=r"damaged: .*Compare the runs again"):
        COMPARISON.read(tmp_path)


RD_FAULTS: list[tuple[str, Any]] = [
    ("created", ""),
    ("anchor", "z"),
    ("bootstrap.confidence", 7.0),
    ("codecs.0.name", ""),
    ("codecs.0.name", "webp"),
    ("images.0.height_px", 0),
    ("images.0.sha256", None),
    ("gallery.pictures.0.reference", "../x.webp"),
    ("gallery.pictures.0.image_id", "z"),
    ("gallery.pictures.0.regions.0.box_px", [0, 0, 49, 5]),
    ("failures", [{"reason": 3}]),
    ("environment", {}),
]


@pytest.mark.parametrize(("way", "value"), RD_FAULTS)
def test_a_sweep_says_nothing_that_none_can(
    made: Path, tmp_path: Path, way: str, value: Any
) -> None:
    RD.write(tmp_path, changed(fields_of(made / "rd", RD), way, value))
    with pytest.raises(RunFolderError, match=r"damaged: .*Run vaebench rd again"):
        RD.read(tmp_path)


def test_half_a_character_is_told(made: Path, tmp_path: Path) -> None:
    for way in ("images.0.image_id", "codecs.0.name", "notes"):
        value = ["\ud800"] if way == "notes" else "\ud800"
        fields = changed(fields_of(made / "run", RUN), way, value)
        # As JSON may write it: no file of UTF-8 can hold it otherwise.
        path = tmp_path / "run.json"
        path.write_text(json.dumps({"schema_version": 1, **fields}))
        with pytest.raises(RunFolderError, match=r"half a character, '\\ud800'"):
            read_record(tmp_path)


VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1e308, math.nan, math.inf, "", "x", "../..", [], {}, [[]]),
    *({"a": 1}, "\x1b[31m", [-5, -5, 3, 3]),
)


def places(value: Any, way: str = "") -> list[str]:
    keys: Any = value if isinstance(value, dict) else range(len(value))
    if not isinstance(value, dict | list):
        return []
    found = [f"{way}{key}" for key in keys]
    return found + [
        deeper
        for key in keys
        if isinstance(value[key], dict | list)
        for deeper in places(value[key], f"{way}{key}.")
    ]


REPORTS: dict[str, tuple[RecordFile, Callable[[Path], object]]] = {
    "run": (RUN, write_report),
    "compared": (COMPARISON, write_comparison_report),
    "rd": (RD, write_rd_report),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_changed_field_is_a_sentence_or_a_report(made: Path, tmp_path: Path, name: str) -> None:
    """Of a few changes; more are tried by tests/benchmarks/fuzz_runs.py."""
    file, report = REPORTS[name]
    folder = shutil.copytree(made / name, tmp_path / name)
    whole, draw = fields_of(folder, file), random.Random(5)
    # Environment and settings are shown as they are; deep in them nothing is read.
    ways = [way for way in places(whole) if not way.startswith(("environment.", "versions."))]
    outcomes = {"refused": 0, "read": 0}
    for way in draw.sample(ways, 30):
        file.write(folder, changed(whole, way, draw.choice(VALUES)))
        try:
            report(folder)
        except VaebenchError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 1000
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    assert outcomes["refused"] > 8
