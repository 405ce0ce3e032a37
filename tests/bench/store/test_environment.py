"""The fingerprint that every run carries."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from vaebench.bench.store import environment
from vaebench.bench.store.environment import git_revision, read_environment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=it", "-c", "user.email=it@example.org")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_versions_are_those_installed() -> None:
    found = read_environment()
    assert found.torch == torch.__version__
    assert found.diffusers == version("diffusers")
    assert found.threads == torch.get_num_threads()
    assert found.libraries["numpy"] == version("numpy")
    assert "pyiqa" not in found.libraries or found.libraries["pyiqa"] == version("pyiqa")


def test_a_library_that_is_absent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LIBRARIES", ("numpy", "no-such-distribution"))
    assert read_environment().libraries == {"numpy": version("numpy")}


def test_a_checkout_is_told_by_its_commit_and_a_changed_one_by_a_plus(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked.txt").write_text("counts for nothing")
    assert git_revision(tmp_path) == commit
    (tmp_path / "a.py").write_text("2\n")
    assert git_revision(tmp_path) == f"{commit}+"


def test_what_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert git_revision(tmp_path) is None


def test_a_machine_without_git_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None
