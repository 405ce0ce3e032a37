"""Files in the place of a run's kept pictures: told in one sentence by every command."""

from __future__ import annotations

import io
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.compare.explain.explain import explain
from vaebench.bench.errors import RunFolderError
from vaebench.bench.store.kept import read_kept, read_kept_latents

ROOT = Path(__file__).resolve().parents[2]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 40\n%%EndComments\nshowpage\n"
PLACES = ("reconstructions/reference", "reconstructions/a", "maps/a")


def png(width: int, height: int, kind: int = 2) -> bytes:
    """A PNG whose header claims a size and holds no more than a row of it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(body, zlib.crc32(name))
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = zlib.compress(bytes(100))
    mark = b"\x89PNG\r\n\x1a\n"
    return mark + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def saved(kind: str, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size).save(sink, kind)
    return sink.getvalue()


HOSTILE: dict[str, bytes] = {
    "EPS": EPS,
    "18,000²": png(18_000, 18_000),
    "60,000²": png(60_000, 60_000),
    "no bytes": b"",
    "text": b"no picture",
    "cut": png(48, 40),
    "GIF": saved("GIF"),
    "TIFF": saved("TIFF"),
    "PPM": saved("PPM"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one picture by two codecs."""
    folder = tmp_path_factory.mktemp("made")
    values = np.random.default_rng(3).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "x.png")
    api.run(
        images=[str(folder / "x.png")],
        codecs=["a=jpeg:q=75", "b=jpeg:q=20"],
        metrics=["psnr"],
        out=folder / "run",
        history="off",
    )
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is made when anybody starts Ghostscript."""
    marker, tools = tmp_path / "started", tmp_path / "bin"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {marker}\nexit 1\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return marker


COMMANDS: dict[str, Callable[[Path], object]] = {
    "report": api.report,
    "single file": lambda run: api.report(run, single_file=True),
    "compare": lambda run: api.compare([run], run.parent / "compared"),
    "explain": lambda run: explain(api.load_run(run), "psnr", "30.2"),
    "score": lambda run: api.score(run, ["mae"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["EPS", "60,000²"])
def test_what_is_no_picture_of_ours_is_named(
    run: Path, ghostscript: Path, kind: str, place: str, command: str
) -> None:
    if command == "explain" and place.startswith("maps"):
        pytest.skip("explain reads no maps")
    path = run / place / "x.png.png"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(RunFolderError, match="Cannot read") as told:
        COMMANDS[command](run)
    assert str(path) in str(told.value)
    assert len(str(told.value)) < 500
    assert not ghostscript.exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(3, 5), (500, 2)])
@pytest.mark.parametrize("command", ["report", "compare", "explain"])
def test_a_picture_of_another_size_is_no_traceback(
    run: Path, size: tuple[int, int], place: str, command: str
) -> None:
    (run / place / "x.png.png").write_bytes(saved("PNG", size, "L" if "maps" in place else "RGB"))
    try:
        COMMANDS[command](run)
    except RunFolderError as error:
        assert "x.png.png" in str(error)


def test_a_bomb_is_a_sentence_of_the_command(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "maps/a/x.png.png").write_bytes(HOSTILE["60,000²"])
    monkeypatch.setattr(sys, "argv", ["vaebench", "report", str(run)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "64 megapixels" in told


@pytest.mark.parametrize("kind", HOSTILE)
def test_one_door_refuses_what_a_run_does_not_write(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(RunFolderError, match=r"Cannot read .*Delete it"):
        read_kept(path)


def test_files_are_refused_by_their_size_before_they_are_read(tmp_path: Path) -> None:
    for path in (tmp_path / "large.png", tmp_path / "large.npy"):
        with path.open("wb") as file:
            file.write(png(48, 40))
            file.truncate(5_000_000_000)
    with pytest.raises(RunFolderError, match="larger than 320 MB"):
        read_kept(tmp_path / "large.png")
    with pytest.raises(RunFolderError, match="Cannot read"):
        read_kept_latents(tmp_path / "large.npy")


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 3)),
        np.zeros((2, 3, 4), complex),
        np.full((2, 3, 4), "x"),
        np.zeros((1, 2, 2), [("a", "f4")]),
    ],
)
def test_latents_are_floats_of_channels(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(RunFolderError, match="not \\[C, h, w\\] of floats"):
        read_kept_latents(tmp_path / "x.npy")


def test_latents_are_one_array(tmp_path: Path) -> None:
    with (tmp_path / "x.npy").open("wb") as file:
        np.savez(file, np.zeros((1, 2, 2)))
    with pytest.raises(RunFolderError, match="Cannot read"):
        read_kept_latents(tmp_path / "x.npy")


def test_pictures_are_opened_by_these_files_alone() -> None:
    doors = {
        # Files of an image set; what a codec has just written; what a folder keeps.
        *(f"bench/images/files/{name}.py" for name in ("decode", "jpeg", "tiff")),
        "bench/codecs/classical.py",
        "bench/store/kept.py",
        # The training of the demonstration checkpoints is no part of the package.
        "bench/codecs/demo/training/crops.py",
    }
    files = [
        path for room in ("bench", "metrics", "reports") for path in (ROOT / room).rglob("*.py")
    ]
    opened = re.compile(r"Image\.open\(|imread\(|np\.load\(")
    found = {path.relative_to(ROOT).as_posix() for path in files if opened.search(path.read_text())}
    # Latents that a run has just kept itself, and the pixels that a worker is handed.
    found -= {"bench/scoring/latent_health.py", "bench/timing/worker.py"}
    assert found <= doors
    for path in files:
        if path.relative_to(ROOT).as_posix() in doors - {"bench/codecs/demo/training/crops.py"}:
            for call in re.findall(r"Image\.open\([^\n]*", path.read_text()):
                assert "formats=" in call or path.name == "classical.py", path
