"""The doctor: what it finds, what it calls a problem, and what it never tells."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from vaebench.bench.cli import examine as doctor
from vaebench.bench.cli.doctor import doctor as command
from vaebench.bench.cli.examine import Finding, examine, impersonal
from vaebench.bench.errors import CodecError
from vaebench.bench.suite import CodecSpec

app = typer.Typer()
app.command()(command)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of a user called ada, without weights or history anywhere."""
    folder = tmp_path / "home" / "ada"
    (folder / "work").mkdir(parents=True)
    monkeypatch.chdir(folder / "work")
    for name, value in {
        "HOME": str(folder),
        "USER": "ada",
        "LOGNAME": "ada",
        "TORCH_HOME": str(folder / "torch"),
        "XDG_DATA_HOME": str(folder / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("VAEBENCH_WEIGHTS", "VAEBENCH_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def by_topic(found: list[Finding]) -> dict[str, Finding]:
    return {entry.topic: entry for entry in found}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the opening of the checkpoints out."""
    monkeypatch.setattr("vaebench.bench.api.DEFAULT_CODECS", ("jpeg:q=90",))


def test_a_sound_installation_has_no_error(home: Path) -> None:
    found = by_topic(examine())
    assert found["torch"].value == importlib.metadata.version("torch")
    assert found["codec demo-f8c4"].value == "opens"
    assert found["WebP"].problem is None
    assert found["sample pictures"].value == "8 found"
    assert found["working folder"].value == "~/work"
    assert [entry for entry in found.values() if entry.problem and entry.is_needed] == []


@pytest.mark.usefixtures("quick")
def test_missing_weights_are_a_note_that_says_where_they_were_looked_for(home: Path) -> None:
    found = by_topic(examine(home / "weights"))["lpips-alex"]
    assert "~/weights/lpips/alexnet_features.safetensors" in found.value
    assert "~/torch/hub/checkpoints/alexnet-owt-7be5be79.pth" in found.value
    assert found.problem is not None
    assert "--weights" in found.problem
    assert not found.is_needed


@pytest.mark.usefixtures("quick")
def test_weights_are_found_and_others_are_refused(home: Path, shared: Path) -> None:
    found = by_topic(examine(shared / "weights"))
    assert found["lpips-alex"].value.endswith("alexnet_features.safetensors")
    assert found["lpips-alex"].problem is None
    wrong = home / "weights" / "lpips" / "alexnet_features.safetensors"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(bytes(100))
    assert by_topic(examine(home / "weights"))["lpips-alex"].value == "not usable"


@pytest.mark.usefixtures("quick")
def test_the_history_is_told_and_not_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_topic(examine())["history"]
    assert found.value == "none yet; the first run makes ~/data/vaebench/history.sqlite"
    assert not (home / "data").exists()
    monkeypatch.setenv("VAEBENCH_HISTORY", "off")
    assert by_topic(examine())["history"].value == "off"
    (home / "none.sqlite").write_bytes(b"no database" * 100)
    monkeypatch.setenv("VAEBENCH_HISTORY", str(home / "none.sqlite"))
    broken = by_topic(examine())["history"]
    assert broken.problem is not None
    assert not broken.is_needed


@pytest.mark.usefixtures("quick", "home")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@127.0.0.1:1/team",
        "postgresql://127.0.0.1:1/team?user=ada&password=s3cret",
        "postgresql://ada:s3c@s3cret@127.0.0.1:1/team",
        "mysql://ada:s3cret@127.0.0.1/team",
        "host=127.0.0.1 password=s3cret",
        "postgresql:/ada:s3cret@127.0.0.1:1/team",
    ],
)
def test_no_password_and_no_user_of_a_history_is_told(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("VAEBENCH_HISTORY", url)
    result = CliRunner().invoke(app, [])
    assert "note: history:" in result.output
    assert "s3c" not in result.output
    assert "ada" not in result.output


@pytest.mark.usefixtures("home")
def test_what_a_plain_run_needs_and_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: CodecSpec) -> None:
        raise CodecError(f"Cannot open {spec.name}: no such thing.")

    monkeypatch.setattr("vaebench.bench.codecs.open_spec", refuse)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "! codec demo-f8c4" in result.output
    assert "error: codec demo-f8c4: Cannot open demo-f8c4: no such thing." in result.output
    assert "A plain `vaebench run` does not work." in result.output


@pytest.mark.usefixtures("quick", "home")
def test_a_full_disk_and_a_broken_package_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 10**18)
    monkeypatch.setattr(doctor, "_NEEDED", ("no-such-package",))
    found = by_topic(examine())
    assert found["free disk"].problem == "a run may not fit; make room"
    assert found["no-such-package"].value == "absent"
    assert found["no-such-package"].is_needed


@pytest.mark.usefixtures("quick", "home")
def test_what_cannot_even_be_looked_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("driver mismatch")

    monkeypatch.setattr(doctor, "read_environment", fail)
    found = by_topic(examine())["device"]
    assert found.problem == "it cannot be looked at (RuntimeError: driver mismatch)"
    assert found.is_needed


def test_paths_lose_the_home_folder_and_the_user(home: Path) -> None:
    assert impersonal(f"{home}/runs and {home}") == "~/runs and ~"
    assert impersonal(f"{home}line") == f"{home.parent}/adaline"
    assert impersonal("/data/ada/x, /data/adam, ada") == "/data/<user>/x, /data/adam, ada"


@pytest.mark.usefixtures("quick", "home")
def test_the_command_exits_0_and_tells_each_topic(home: Path) -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert result.output.endswith("`vaebench run` works.\n")
    assert "ada" not in result.output
    assert "codec jpeg-q90" in result.output
