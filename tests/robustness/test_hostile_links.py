"""Links in a folder that others made: nothing is written or deleted where they lead."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from vaebench.bench import api
from vaebench.bench.compare.store import load_comparison
from vaebench.bench.errors import RunFolderError
from vaebench.bench.rate.knobs import Asked
from vaebench.bench.rate.sweep import rate_distortion
from vaebench.bench.store.lock import LOCK_NAME
from vaebench.bench.suite import CodecSpec
from vaebench.reports import write_comparison_report, write_report
from vaebench.reports.write import write_rd_report

Command = Callable[[Path], object]


def report_alone(folder: Path) -> object:
    return write_report(folder)


def score(folder: Path) -> object:
    return api.score(folder, ["mae"])


COMMANDS: dict[str, Command] = {
    "report": api.report,
    "score": score,
    "resume": lambda folder: api.resume(folder, history="off"),
    "write_report": report_alone,
}
ROOMS = (
    *("tables", "plots", "viewer", "thumbnails", "viewer/0"),
    *("reconstructions", "reconstructions/reference", "maps", "parts"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one of our own pictures."""
    folder = tmp_path_factory.mktemp("made") / "run"
    api.run(
        images=["sample"],
        codecs=["jpeg:q=75"],
        metrics=["psnr"],
        out=folder,
        history="off",
        size=64,
        fit="crop",
    )
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of two codecs, and their comparison."""
    parent = tmp_path_factory.mktemp("compared")
    codecs = ["a=jpeg:q=75", "b=jpeg:q=20"]
    api.run(images=["sample"], codecs=codecs, metrics=["psnr"], out=parent / "two", history="off")
    api.compare([parent / "two"], parent / "made")
    return parent / "two", parent / "made"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody's, with a file of every kind that a report writes."""
    folder = tmp_path / "elsewhere"
    (folder / "0").mkdir(parents=True)
    for suffix in ("png", "svg", "csv", "md", "tex", "webp", "js", "jpg", "json"):
        (folder / f"own.{suffix}").write_text("mine")
        (folder / "0" / f"own.{suffix}").write_text("mine")
    (folder / "summary.csv").write_text("mine")
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def link(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("room", ROOMS)
def test_a_linked_folder_in_a_run_is_refused(
    run: Path, elsewhere: Path, room: str, command: str
) -> None:
    link(run / room, elsewhere)
    before = state(elsewhere)
    with pytest.raises(RunFolderError, match=f"{room} is a link to .*elsewhere") as told:
        COMMANDS[command](run)
    assert "delete the link" in str(told.value)
    assert state(elsewhere) == before
    assert not (run / LOCK_NAME).exists()


@pytest.mark.parametrize("room", ["tables", "plots", "thumbnails"])
def test_a_link_to_nothing_is_refused_too(run: Path, tmp_path: Path, room: str) -> None:
    link(run / room, tmp_path / "absent")
    with pytest.raises(RunFolderError, match=f"{room} is a link"):
        api.report(run)
    assert not (tmp_path / "absent").exists()


def test_linked_files_are_replaced_and_temporary_ones_made_anew(run: Path, elsewhere: Path) -> None:
    before = state(elsewhere)
    for name in ("report.html", "tables/summary.csv", "plots/rate.png", "viewer/pictures.js"):
        link(run / name, elsewhere / "own.png")
    for number in ("0", "1"):
        link(run / "viewer" / f".{os.getpid()}-{number}.tmp", elsewhere / "own.png")
    api.report(run)
    assert state(elsewhere) == before
    assert not [path for path in run.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("kind", ["symbolic", "to nothing", "hard", "folder"])
def test_a_linked_lock_is_named_and_what_it_links_to_stays(
    run: Path, elsewhere: Path, kind: str
) -> None:
    target, lock = elsewhere / "own.json", run / LOCK_NAME
    if kind == "hard":
        lock.hardlink_to(target)
    else:
        places = {"symbolic": target, "to nothing": elsewhere / "absent", "folder": elsewhere}
        lock.symlink_to(places[kind])
    before = state(elsewhere)
    with pytest.raises(RunFolderError, match=r"\.lock is (a link to|no file of its own)"):
        api.report(run)
    assert state(elsewhere) == before


@pytest.mark.parametrize("room", ["tables", "plots", "viewer", "thumbnails", "pictures"])
def test_a_linked_folder_in_a_comparison_is_refused(
    compared: tuple[Path, Path], elsewhere: Path, tmp_path: Path, room: str
) -> None:
    two, made = compared
    folder = shutil.copytree(made, tmp_path / "compared")
    link(folder / room, elsewhere)
    before = state(elsewhere)
    with pytest.raises(RunFolderError, match=f"{room} is a link to"):
        write_comparison_report(folder)
    # One that was stopped is begun again in its place.
    (folder / "comparison.html").unlink()
    with pytest.raises(RunFolderError):
        api.compare([two], folder)
    assert state(elsewhere) == before
    assert load_comparison(folder).record["baseline"] == "a"


@pytest.mark.parametrize("room", ["tables", "plots", "gallery", "points"])
def test_a_linked_folder_in_a_sweep_is_refused(
    photos: Path, elsewhere: Path, tmp_path: Path, room: str
) -> None:
    folder = tmp_path / "rd"

    def sweep() -> object:
        asked = Asked.parse(["jpeg=10,50,90"])
        codecs = [CodecSpec.parse("jpeg")]
        return rate_distortion(
            codecs, [str(photos)], folder, metrics=["psnr"], workers=1, asked=asked
        )

    sweep()
    link(folder / room, elsewhere)
    before = state(elsewhere)
    with pytest.raises(RunFolderError, match=f"{room} is a link to"):
        write_rd_report(folder)
    with pytest.raises(RunFolderError, match=f"{room} is a link to"):
        sweep()
    assert state(elsewhere) == before
