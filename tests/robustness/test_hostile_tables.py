"""Parquet tables of a run that others made: rows that none of ours has are one sentence."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.compare.store import load_comparison
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Timing
from vaebench.bench.store.parts import finished_images, part_path
from vaebench.bench.store.run import load_run
from vaebench.bench.store.sealed import write_sealed
from vaebench.bench.store.tables import write_timings
from vaebench.reports import write_report

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with latents and timings, and its comparison."""
    folder = tmp_path_factory.mktemp("made")
    values = np.random.default_rng(3).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "x.png")
    regions = folder / "regions.json"
    regions.write_text('{"x.png": [{"name": "e", "kind": "eye", "box": [1, 2, 20, 21]}]}')
    api.run(
        images=[str(folder / "x.png")],
        codecs=["a=jpeg:q=75", "b=jpeg:q=20", "c=pca:c=2,f=8"],
        metrics=["psnr", "mae"],
        regions=[str(regions)],
        out=folder / "run",
        history="off",
    )
    write_timings(folder / "run", [timing("a"), timing("b")])
    api.compare([folder / "run"], folder / "compared")
    return folder


def timing(codec: str) -> Timing:
    cell = (codec, "decode", None, 1, 64, 64, "eager", {}, "CPU", "perf_counter")
    return Timing(*cell, samples_ms=(1.0, 2.0))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "run", tmp_path / "run")


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def with_column(
    name: str, values: Callable[[pa.Table], pa.Array]
) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, values(table))

    return change


def of_first(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """Another value in the first row of a column."""

    def values(table: pa.Table) -> pa.Array:
        held = table.column(name)
        return pa.array([value, *held.to_pylist()[1:]], held.type)

    return with_column(name, values)


def twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table])


SCORES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "null regions": (
        with_column("region", lambda table: pa.nulls(len(table))),
        "holds null as region, not text",
    ),
    "int regions": (
        with_column("region", lambda table: pa.array(range(len(table)))),
        "holds int64 as region, not text",
    ),
    "text values": (
        with_column("value", lambda table: pa.array(["1"] * len(table))),
        "holds string as values, not float64",
    ),
    "one null region": (of_first("region", None), "a row without region"),
    "one null unit": (of_first("unit", None), "a row without unit"),
    "twice": (twice, "has a row twice: x.png, a, whole, "),
    "another picture": (of_first("image_id", "z.png"), r"'z\.png' is not among the images"),
    "another codec": (of_first("codec", "z"), "'z' is not among the codecs"),
    "another metric": (of_first("variant", "z"), "'z' is not among the metrics"),
    "another region": (of_first("region", "z"), "'z' is no 'whole' of 'x.png'"),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_the_record(run: Path, name: str) -> None:
    change, told = SCORES[name]
    rewritten(run / "scores.parquet", change)
    with pytest.raises(RunFolderError, match=told) as error:
        load_run(run)
    assert str(error.value).isprintable()


def test_more_rows_than_there_can_be_take_no_memory(run: Path) -> None:
    """10⁷ rows of one value are a small file, and were 4 GB."""
    path = run / "scores.parquet"
    table = pq.read_table(path).slice(0, 1)
    many = {
        field.name: pa.array([table.column(field.name)[0].as_py()] * 1_000_000, field.type)
        for field in table.schema
    }
    pq.write_table(pa.table(many), path)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(RunFolderError, match="has 1000000 rows, where at most") as error:
        load_run(run)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000
    # A picture and its region, three codecs, two metrics and what rates there may be.
    assert "at most 60 can be" in str(error.value)


@pytest.mark.parametrize("value", [1e308, -1e308, np.inf, np.nan])
def test_large_values_are_values(run: Path, value: float) -> None:
    rewritten(
        run / "scores.parquet",
        with_column("value", lambda table: pa.array([value] * len(table), pa.float64())),
    )
    assert write_report(run).is_file()
    api.compare([run], run.parent / "compared")


LATENTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "another codec": (of_first("codec", "z"), "'z' is not among the codecs"),
    "twice": (twice, "has a row twice: c, 0"),
    "a channel less": (lambda table: table.slice(1), "the channels of c are not whole"),
    "a correlation less": (of_first("correlation", [1.0]), "the channels of c are not whole"),
    "no correlation": (of_first("correlation", None), "the channels of c are not whole"),
    "a null count": (of_first("count", None), "a row without count"),
}


@pytest.mark.parametrize("name", LATENTS)
def test_latents_are_those_of_the_record(run: Path, name: str) -> None:
    change, told = LATENTS[name]
    rewritten(run / "latents.parquet", change)
    with pytest.raises(RunFolderError, match=told):
        write_report(run)


TIMINGS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "another codec": (of_first("codec", "z"), "'z' is not among the codecs"),
    "twice": (twice, "has a row twice: a, decode"),
    "settings": (of_first("settings", "{"), "'{' as settings: "),
    "settings of a list": (of_first("settings", "[]"), r"'\[\]' as settings: "),
    "a state": (of_first("before", json.dumps({"x": 1})), "as before: "),
    "a null batch": (of_first("batch", None), "a row without batch"),
    "a null device": (of_first("device", None), "a row without device"),
}


@pytest.mark.parametrize("name", TIMINGS)
def test_timings_are_those_of_the_record(run: Path, name: str) -> None:
    change, told = TIMINGS[name]
    rewritten(run / "timings.parquet", change)
    with pytest.raises(RunFolderError, match=told):
        write_report(run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_first("codec", "z"), "'z' is not among the codecs"),
        (of_first("variant", "z"), "'z' is not among the metrics"),
        (of_first("n_images", None), "a row without n_images"),
        (twice, "has a row twice"),
    ],
)
def test_a_comparison_s_rows_are_those_of_its_record(
    made: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], told: str
) -> None:
    folder = shutil.copytree(made / "compared", tmp_path / "compared")
    rewritten(folder / "comparison.parquet", change)
    with pytest.raises(RunFolderError, match=told):
        load_comparison(folder)


def test_a_part_with_a_number_beyond_all_is_told(run: Path) -> None:
    """10⁴⁰⁰ is JSON, and no float."""
    record = json.loads((run / "run.json").read_text())
    score = {
        **{"image_id": "x.png", "codec": "a", "region": "whole", "kind": "whole"},
        **{"metric": "psnr", "variant": "psnr/rgb8", "unit": "dB", "value": 10**400},
    }
    fields = {"run_id": record["run_id"], "image_id": "x.png", "scores": [score]}
    write_sealed(part_path(run, "x.png"), {**fields, "unavailable": [], "latents": {}})
    with pytest.warns(UserWarning, match="is damaged"):
        assert finished_images(run) == set()
