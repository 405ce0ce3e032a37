"""`vaebench rd` from the command line to the page."""

import json

import pytest
import typer
from typer.testing import CliRunner
from vaebench.bench.cli.rate import rd
from vaebench.bench.errors import SuiteError

app = typer.Typer()
app.command()(rd)


@app.callback()
def _group() -> None:
    """Make `rd` a command with a name, as it is in vaebench."""


def call(*words):
    return CliRunner().invoke(app, ["rd", *map(str, words)])


def test_the_command_measures_and_says_where_the_page_is(photos, tmp_path):
    out = tmp_path / "out"
    words = ["--images", photos, "--regions", photos / "regions.json", "--metric", "psnr"]
    words += ["--codec", "jpeg", "--codec", "w=webp:method=0", "--workers", 1, "--out", out]
    words += ["--sweep", "jpeg=10,40,70,90", "--sweep", "w=10,40.5,70,90"]
    result = call(*words)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("BD-rate of w against jpeg: psnr ")
    assert lines[-1] == f"Report: {out / 'rd.html'}"
    assert any(line.startswith("Skipped: broken.png: ") for line in lines)
    record = json.loads((out / "rd.json").read_text())
    assert record["unused_regions"] == ["gone.png/eye"]
    assert record["codecs"][1]["swept"] == ["q=10", "q=40.5", "q=70", "q=90"]
    assert {"rd.parquet", "bd.csv", "rd.html", "tables", "plots"} <= {
        path.name for path in out.iterdir()
    }
    assert "w" in (out / "rd.html").read_text()


def test_a_sweep_that_cannot_be_is_refused_before_anything_is_written(photos, tmp_path):
    out = tmp_path / "out"
    result = call("--images", photos, "--codec", "jpeg", "--sweep", "webp=1", "--out", out)
    assert isinstance(result.exception, SuiteError)
    assert str(result.exception) == "Unknown codec in --sweep 'webp'. Valid: jpeg."
    assert not out.exists()


def test_without_a_codec_the_usage_is_told():
    result = call()
    assert result.exit_code == 2 and "--codec" in result.output


@pytest.mark.parametrize(("source", "name"), [("photos", "photos"), ("photos/a.png", "a")])
def test_the_folder_is_called_after_the_pictures(photos, tmp_path, monkeypatch, source, name):
    monkeypatch.chdir(tmp_path)
    words = ["--codec", "jpeg:q=50", "--metric", "psnr", "--workers", 1]
    result = call("--images", photos.parent / source, *words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "rd" / name / "rd.json").is_file()
