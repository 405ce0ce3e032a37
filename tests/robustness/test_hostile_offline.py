"""The demonstration runs where every socket is forbidden, and asks for none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FORBID = """
import os, socket
def forbidden(name):
    def refuse(*args, **kwargs):
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{name} {args[1:]!r}\\n")
        raise OSError(f"{name} is forbidden here")
    return refuse
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, forbidden(name))
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, forbidden(name))
"""


SEVERAL = """
import json, sys
from vaebench.bench.cli.app import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["vaebench", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{arguments} ended with {ended.code}")
"""


@pytest.fixture
def without_network(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that may not open a connection; `asked` lists its tries."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FORBID)
    home = tmp_path / "home"
    home.mkdir()
    variables = {
        "PYTHONPATH": str(folder),
        "ASKED": str(tmp_path / "asked"),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "TORCH_HOME": str(home / "torch"),
        "HF_HOME": str(home / "hf"),
        "OMP_NUM_THREADS": "1",
    }
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **variables}


def vaebench(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vaebench.bench.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_trap_springs(tmp_path: Path, without_network: dict[str, str]) -> None:
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=without_network)
    assert b"forbidden here" in done.stderr
    assert (tmp_path / "asked").read_text()


@pytest.mark.slow
def test_the_demonstration_and_what_follows_it_ask_for_no_network(
    photos: Path, tmp_path: Path, shared: Path, without_network: dict[str, str]
) -> None:
    weights = ("--weights", str(shared / "weights"))
    of_codecs = ("--codec", "demo-f8c4", "--codec", "jpeg:q=75")
    picture = str(photos / "a.png")
    commands = [
        ("run", "--images", picture, *of_codecs, "--out", "run", *weights),
        ("report", "run", "--single-file"),
        ("score", "run", "--metric", "lpips-squeeze", *weights),
        ("compare", "run", "--out", "compared"),
        ("rd", "--images", picture, "--codec", "jpeg", "--metric", "psnr", "--out", "rd"),
        ("encode", picture, "a.vbl", "--codec", "quantised(demo-f8c4, step=0.5)"),
        ("decode", "a.vbl", "a.png"),
        ("images", str(photos)),
        ("history",),
        ("doctor", *weights),
    ]
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=without_network,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unavailable lpips" not in done.stdout
    for written in ("run/report.html", "compared/comparison.html", "rd/rd.html", "a.png"):
        assert (tmp_path / written).is_file(), written
    assert not (tmp_path / "asked").exists(), (tmp_path / "asked").read_text()


@pytest.mark.slow
def test_a_hub_id_without_a_network_is_one_sentence(
    photos: Path, tmp_path: Path, without_network: dict[str, str]
) -> None:
    code, told = vaebench(
        *(tmp_path, without_network, "run", "--images", str(photos / "a.png")),
        *("--codec", "nobody/nothing", "--out", "run", "--metric", "psnr"),
    )
    assert code == 2
    (sentence,) = told.strip().splitlines()
    assert sentence.startswith("Error: Cannot open nobody/nothing: there is no such folder")
    assert not (tmp_path / "run").exists()
