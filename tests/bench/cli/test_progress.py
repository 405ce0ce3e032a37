"""The bars of a terminal, and the silence elsewhere."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console
from vaebench.bench.cli import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is written on a terminal in stderr's place; each look at its clock is 9 s."""
    shown, seconds = io.StringIO(), itertools.count(step=9)

    def console(**_: object) -> Console:
        return Console(
            file=shown, force_terminal=True, width=120, get_time=lambda: float(next(seconds))
        )

    monkeypatch.setattr(progress, "Console", console)
    return shown


def test_each_phase_has_a_bar_with_its_count(terminal: io.StringIO) -> None:
    with progress.shown_progress() as tell:
        for done in range(4):
            tell("scoring", done, 3)
        tell("writing the report", 0, 1)
    written = terminal.getvalue()
    assert "scoring" in written
    assert "3/3" in written
    assert "writing the report" in written
    assert "0/1" in written


def test_what_a_resumed_run_had_done_is_no_speed(terminal: io.StringIO) -> None:
    with progress.shown_progress() as tell:
        # 90 pictures came from before.
        for done in (90, 91, 92, 93):
            tell("scoring", done, 100)
    assert "93/100" in terminal.getvalue()
    assert " s each" in terminal.getvalue()
    assert "/s" not in terminal.getvalue()


def test_nothing_is_written_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown_progress() as tell:
        tell("scoring", 1, 2)
    assert capsys.readouterr() == ("", "")
