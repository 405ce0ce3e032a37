"""What the commands share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from vaebench.bench.cli.options import stoppable, typed_command


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        ("postgresql://team:top@secret@host/db", "postgresql://team:***@host/db"),
        ("postgresql://team@host/db?password=secret&x=1", "password=***&x=1"),
        ("postgresql://team:to/p sec secret@host/db", "postgresql://team:***@host/db"),
        ("postgresql:team:secret@host/db", "postgresql:team:***@host/db"),
        ("host=there password=secret", "password=***"),
        ("h\udcff.sqlite", "h\\udcff.sqlite"),
        ("runs/history.sqlite", "runs/history.sqlite"),
    ],
)
def test_the_command_is_kept_without_passwords(
    history: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["vaebench", "speed", "--history", history])
    assert kept in typed_command()
    assert "secret" not in typed_command()


def test_ctrl_c_says_how_to_go_on_once_something_is_kept(tmp_path: Path) -> None:
    begun = tmp_path / "run.json"
    with pytest.raises(KeyboardInterrupt, match=r"^$"), stoppable("Go on.", begun):
        raise KeyboardInterrupt
    begun.touch()
    for condition in (begun, None):
        with pytest.raises(KeyboardInterrupt, match=r"^Go on\.$"), stoppable("Go on.", condition):
            raise KeyboardInterrupt
