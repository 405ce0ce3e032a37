from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from PIL import Image
from vaebench.bench.compare.comparison import compare
from vaebench.bench.compare.store import (
    COMPARISON_COLUMNS,
    PER_IMAGE_COLUMNS,
    StoredComparison,
    load_comparison,
)
from vaebench.bench.errors import RunFolderError
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite

CODECS = ("fine=jpeg:q=95", "again=jpeg:q=95", "coarse=jpeg:q=10", "png")
PICTURES = 8


def pictures(folder: Path, names: Sequence[str]) -> Path:
    """Write the same few pictures under any names; the first two have eyes."""
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        random = np.random.default_rng(index)
        y, x = np.mgrid[0:40, 0:56]
        waves = [np.sin(x / (3 + index) + channel) * np.cos(y / 5) for channel in range(3)]
        noise = random.normal(0, 4 + 2 * index, (40, 56, 3))
        pixels = np.clip(128 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    eyes = [
        {"name": "left-eye", "kind": "eye", "box": [4, 6, 20, 22]},
        {"name": "right-eye", "kind": "eye", "box": [30, 6, 50, 22]},
    ]
    regions = {names[0]: eyes, names[1]: eyes[:1]}
    (folder / "regions.json").write_text(json.dumps(regions))
    return folder


def names_of(stem: str) -> list[str]:
    return [f"{stem}{index}.png" for index in range(PICTURES)]


def scored(images: Path, out: Path, codecs: Sequence[str] = CODECS, **fields: Any) -> StoredRun:
    suite = Suite.create(
        **{
            "images": [str(images)],
            "regions": [str(images / "regions.json")],
            "codecs": list(codecs),
            # Pictures this small are too small for MS-SSIM.
            "metrics": ["psnr", "ssim", "ms-ssim"],
            **fields,
        }
    )
    return evaluate(suite, out, "a test", lambda phase, done, total: None)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    folder = tmp_path_factory.mktemp("first")
    return scored(pictures(folder / "photos", names_of("a")), folder / "runs" / "first")


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """The same pictures under other names, and two of the codecs."""
    folder = tmp_path_factory.mktemp("renamed")
    images = pictures(folder / "photos", names_of("other-"))
    return scored(images, folder / "runs" / "renamed", ("fine=jpeg:q=95", "coarse=jpeg:q=10"))


@pytest.fixture(scope="module")
def compared(first: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> StoredComparison:
    return compare([first], tmp_path_factory.mktemp("compared") / "within", command="a test")


def rows(comparison: StoredComparison, codec: str, region: str = "whole") -> pd.DataFrame:
    table = comparison.table
    chosen = table[(table["codec"] == codec) & (table["region"] == region)]
    return chosen.set_index("metric")


def test_a_codec_against_itself_is_the_same(compared: StoredComparison) -> None:
    again = rows(compared, "again")
    assert list(again.index) == ["psnr", "ssim"]
    assert set(again["verdict"]) == {"same"}
    assert (again[["mean_diff", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert set(again["share_won"]) == {0.5}


def test_a_coarse_codec_is_worse_and_a_fine_one_better(
    compared: StoredComparison, first: StoredRun, tmp_path: Path
) -> None:
    coarse = rows(compared, "coarse")
    assert set(coarse["verdict"]) == {"worse"}
    assert set(coarse["n_images"]) == {PICTURES}
    assert (coarse["ci_high"] < 0).all()
    assert set(coarse["share_won"]) == {0.0}
    turned = compare([first], tmp_path / "turned", baseline="coarse")
    assert set(rows(turned, "fine")["verdict"]) == {"better"}
    assert rows(turned, "fine")["mean_diff"].to_list() == pytest.approx(-coarse["mean_diff"])


def test_the_tables_say_what_the_run_says(compared: StoredComparison, first: StoredRun) -> None:
    assert tuple(compared.table.columns) == COMPARISON_COLUMNS
    assert tuple(compared.per_image.columns) == PER_IMAGE_COLUMNS
    scores = first.scores
    whole = scores[(scores["region"] == "whole") & (scores["metric"] == "psnr")]
    means = whole.groupby("codec")["value"].mean()
    row = rows(compared, "coarse").loc["psnr"]
    assert row["codec_mean"] == pytest.approx(means["coarse"])
    assert row["baseline_mean"] == pytest.approx(means["fine"])
    assert row["mean_diff"] == pytest.approx(means["coarse"] - means["fine"])
    behind = compared.per_image.query(
        "codec == 'coarse' and region == 'whole' and metric == 'psnr'"
    )
    assert behind["difference"].mean() == pytest.approx(row["mean_diff"])
    assert (behind["codec_value"] - behind["baseline_value"]).to_list() == pytest.approx(
        behind["difference"]
    )


def test_kinds_are_averaged_within_a_picture(compared: StoredComparison, first: StoredRun) -> None:
    eye = rows(compared, "coarse", "eye").loc["psnr"]
    assert eye["n_images"] == 2
    behind = compared.per_image.query("codec == 'coarse' and region == 'eye' and metric == 'psnr'")
    scores = first.scores.query("codec == 'coarse' and metric == 'psnr' and image_id == 'a0.png'")
    eyes = scores[scores["kind"] == "eye"]["value"]
    assert len(eyes) == 2
    value = behind.set_index("image_id").loc["a0.png", "codec_value"]
    assert value == pytest.approx(eyes.mean())
    # No two pictures can show a difference: no p of theirs is below one half.
    assert eye["verdict"] == "undecided"


def test_a_lossless_codec(compared: StoredComparison) -> None:
    png = rows(compared, "png")
    psnr = png.loc["psnr"]
    assert psnr[["mean_diff", "ci_low", "ci_high", "baseline_mean"]].isna().all()
    assert (psnr["share_won"], psnr["verdict"], psnr["n_images"]) == (1.0, "better", PICTURES)
    assert f"{PICTURES} of {PICTURES} pictures infinite" in psnr["note"]
    assert png.loc["ssim", "verdict"] == "better"
    behind = compared.per_image.query("codec == 'png' and metric == 'psnr' and region == 'whole'")
    assert np.isinf(behind["difference"]).all()
    # What changed most is told by a metric that has numbers for it.
    changed = [entry for entry in compared.record["changed"] if entry["codec"] == "png"]
    assert {entry["variant"] for entry in changed} == {"ssim/gauss11-rgb8"}
    assert all(math.isfinite(entry["difference"]) for entry in changed)


def test_a_metric_without_values_is_listed_with_its_reason(compared: StoredComparison) -> None:
    assert "ms-ssim" not in set(compared.table["metric"])
    entries = [entry for entry in compared.record["mismatches"] if "ms-ssim" in entry["where"]]
    assert [entry["what"] for entry in entries] == ["value"] * 3
    assert entries[0]["where"].startswith("again against fine: ms-ssim/")
    assert "MS-SSIM" in entries[0]["reason"] or "px" in entries[0]["reason"]


def test_holm_is_over_the_rows_of_one_codec(compared: StoredComparison) -> None:
    for _, family in compared.table.groupby("codec"):
        # Rows of eyes, on two pictures, can never be decided: they burden no other.
        whole = family[family["region"] == "whole"]
        decided = whole[whole["p"] < 1]
        if len(decided):
            expected = min(1.0, decided["p"].min() * len(decided))
            assert family["p_holm"].min() == pytest.approx(expected)
        assert (family.loc[family["region"] == "eye", "p_holm"] == 1).all()
        assert family.loc[family["region"] == "eye", "smallest_detectable"].isna().all()
        assert (family["p_holm"] >= family["p"]).all()


def test_an_exact_tie_is_the_same(compared: StoredComparison) -> None:
    again = compared.table[compared.table["codec"] == "again"]
    assert set(again["verdict"]) == {"same"}


def test_the_record(compared: StoredComparison, first: StoredRun) -> None:
    record = compared.record
    assert record["baseline"] == "fine"
    assert [entry["label"] for entry in record["codecs"]] == ["fine", "again", "coarse", "png"]
    assert record["codecs"][2]["info"]["settings"]["q"] == 10
    assert record["runs"][0]["run_id"] == first.record.run_id
    assert record["protocol"] == {"size": None, "fit": None, "rounding": "8bit", "pictures": 8}
    assert record["margins"]["psnr/rgb8"] == 0.1
    assert [entry["variant"] for entry in record["metrics"]][:2] == [
        "psnr/rgb8",
        "ssim/gauss11-rgb8",
    ]
    assert len(record["images"]) == PICTURES
    assert (record["images"][0]["width_px"], record["images"][0]["height_px"]) == (56, 40)
    # Other readers of JSON know no Infinity.
    json.loads((compared.folder / "comparison.json").read_text(), parse_constant=pytest.fail)


def test_twice_gives_the_same_bytes(
    compared: StoredComparison, first: StoredRun, tmp_path: Path
) -> None:
    second = compare([first], tmp_path / compared.folder.name, command="again")
    paths = sorted(path.relative_to(second.folder) for path in second.folder.rglob("*.*"))
    assert paths == sorted(
        path.relative_to(compared.folder) for path in compared.folder.rglob("*.*")
    )
    for path in paths:
        if path.name != "comparison.json":
            assert (second.folder / path).read_bytes() == (compared.folder / path).read_bytes()
    own = {"created", "command"}
    assert {key: value for key, value in second.record.items() if key not in own} == {
        key: value for key, value in compared.record.items() if key not in own
    }


def test_renamed_files_pair(first: StoredRun, renamed: StoredRun, tmp_path: Path) -> None:
    both = compare([first, renamed], tmp_path / "both")
    labels = [entry["label"] for entry in both.record["codecs"]]
    assert labels == [
        "first/fine",
        "again",
        "first/coarse",
        "png",
        "renamed/fine",
        "renamed/coarse",
    ]
    fine = rows(both, "renamed/fine")
    assert set(fine["verdict"]) == {"same"}
    assert set(fine["n_images"]) == {PICTURES}
    assert rows(both, "renamed/fine", "eye").loc["psnr", "n_images"] == 2
    assert set(both.per_image["image_id"]) == set(names_of("a"))
    assert not [entry for entry in both.record["mismatches"] if entry["what"] == "picture"]


def test_what_does_not_match_is_listed_and_left_out(first: StoredRun, tmp_path: Path) -> None:
    images = pictures(tmp_path / "photos", names_of("a"))
    (images / "a7.png").unlink()
    shutil.copy(images / "a1.png", images / "copy.png")
    Image.new("RGB", (56, 40), "red").save(images / "red.png")
    other_box = {"a1.png": [{"name": "left-eye", "kind": "eye", "box": [5, 6, 20, 22]}]}
    (images / "regions.json").write_text(json.dumps(other_box))
    second = scored(images, tmp_path / "second", ["coarse=jpeg:q=10"], metrics=["psnr", "mae"])
    both = compare([first, second], tmp_path / "both")
    listed = {
        (entry["what"], entry["where"]): entry["reason"] for entry in both.record["mismatches"]
    }
    assert listed["picture", "a7.png"] == "only in first"
    assert listed["picture", "red.png"] == "only in second"
    assert "counts once" in listed["picture", "copy.png"]
    assert listed["metric", "ssim/gauss11-rgb8"] == "only in first"
    assert listed["metric", "mae/rgb8"] == "only in second"
    assert "second" in listed["region", "a0.png: eye"]
    assert "second" in listed["region", "a1.png: eye"]
    coarse = both.table[both.table["codec"] == "second/coarse"]
    assert [*coarse["metric"]] == ["psnr"]
    assert [*coarse["region"]] == ["whole"]
    assert [*coarse["n_images"]] == [PICTURES - 1]
    # The codecs of the first run keep all their pictures.
    assert rows(both, "again").loc["psnr", "n_images"] == PICTURES


def test_another_protocol_is_refused_or_stands_apart(first: StoredRun, tmp_path: Path) -> None:
    images = pictures(tmp_path / "photos", names_of("a"))
    small = scored(images, tmp_path / "small", ["tiny=jpeg:q=50"], size=32, fit="crop")
    with pytest.raises(RunFolderError, match=r"tiny \(protocol\): 32 px by crop.*native size"):
        compare([first, small], tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    both = compare([first, small], tmp_path / "both", allow_mismatch=True)
    assert "tiny" not in set(both.table["codec"])
    psnr = next(row for row in both.record["apart"] if row["variant"] == "psnr/rgb8")
    expected = small.scores.query("metric == 'psnr' and region == 'whole'")["value"].mean()
    assert (psnr["codec"], psnr["n_images"]) == ("tiny", PICTURES)
    assert psnr["mean"] == pytest.approx(expected)
    assert psnr["protocol"] == "32 px by crop, rounded to 8 bits"
    lacking = next(row for row in both.record["apart"] if row["variant"].startswith("ms-ssim"))
    assert (lacking["mean"], lacking["n_images"]) == (None, 0)


def test_other_pictures_are_refused(first: StoredRun, tmp_path: Path) -> None:
    images = tmp_path / "photos"
    images.mkdir()
    Image.new("RGB", (56, 40), "red").save(images / "red.png")
    (images / "regions.json").write_text("{}")
    second = scored(images, tmp_path / "second", ["other=jpeg:q=10"])
    with pytest.raises(RunFolderError, match="no picture in common with first"):
        compare([first, second], tmp_path / "both")


def test_margins(first: StoredRun, tmp_path: Path) -> None:
    wide = compare([first], tmp_path / "wide", margins={"psnr": 100.0, "ssim/gauss11-rgb8": 1e-9})
    assert rows(wide, "coarse").loc["psnr", "verdict"] == "same"
    assert rows(wide, "coarse").loc["psnr", "margin"] == 100
    assert rows(wide, "coarse").loc["ssim", "verdict"] == "worse"
    with pytest.raises(RunFolderError, match="Did you mean psnr"):
        compare([first], tmp_path / "unknown", margins={"psn": 1.0})
    with pytest.raises(RunFolderError, match="at least 0"):
        compare([first], tmp_path / "negative", margins={"psnr": -1.0})


def test_quoted_figures_stand_beside(first: StoredRun, tmp_path: Path) -> None:
    quoted = tmp_path / "quoted.toml"
    figure = {"name": "a paper", "variant": "psnr/rgb-float", "value": 24.5}
    figure |= {"protocol": "256 px", "source": "table 3"}
    quoted.write_text(tomli_w.dumps({"quoted": [figure]}))
    found = compare([first], tmp_path / "with", quoted=quoted)
    assert found.record["quoted"] == [{**figure, "unit": "dB"}]
    assert "psnr/rgb-float" not in set(found.table["variant"])


def test_what_cannot_be_compared_is_said(
    first: StoredRun, compared: StoredComparison, tmp_path: Path
) -> None:
    with pytest.raises(RunFolderError, match="Did you mean fine"):
        compare([first], tmp_path / "a", baseline="fin")
    with pytest.raises(RunFolderError, match="given twice"):
        compare([first, first], tmp_path / "b")
    (tmp_path / "mine" / "pictures").mkdir(parents=True)
    (tmp_path / "mine" / "pictures" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(RunFolderError, match="not an empty folder"):
        compare([first], tmp_path / "mine")
    assert (tmp_path / "mine" / "pictures" / "holiday.png").read_bytes() == b"mine"
    alone = scored(pictures(tmp_path / "photos", names_of("a")), tmp_path / "alone", ["png"])
    with pytest.raises(RunFolderError, match="nothing to compare png with"):
        compare([alone], tmp_path / "c")
    unfinished = replace(first, record=replace(first.record, finished=False))
    with pytest.raises(RunFolderError, match="not finished"):
        compare([unfinished], tmp_path / "d")
    empty = replace(first, scores=first.scores.iloc[:0])
    with pytest.raises(RunFolderError, match="holds no scores"):
        compare([empty], tmp_path / "e")


def test_a_damaged_comparison_is_told(compared: StoredComparison, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no comparison folder"):
        load_comparison(tmp_path)
    folder = tmp_path / "copy"
    shutil.copytree(compared.folder, folder)
    (folder / "per_image.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match=r"Cannot read .*per_image.parquet"):
        load_comparison(folder)
    (folder / "comparison.json").write_text('{"schema_version": 99}')
    with pytest.raises(RunFolderError, match="schema version 99"):
        load_comparison(folder)
    (folder / "comparison.json").write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        load_comparison(folder)
