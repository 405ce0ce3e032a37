"""Files that the user named: behind a link, a device, a pipe, or the terminal itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from vaebench.bench.errors import VaebenchError
from vaebench.bench.store.atomic import write_atomic, write_output

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and devices of POSIX")


def test_a_link_stays_and_what_is_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"new", b"again"):
        write_output(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert list((tmp_path / "there").iterdir()) == [target]


def test_a_link_inside_a_folder_of_ours_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.html").symlink_to(tmp_path / "mine")
    write_atomic(tmp_path / "run" / "report.html", b"report")
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_pipe_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        write_output(Path(f"/dev/fd/{write}"), b"told")
        assert os.read(read, 9) == b"told"
    finally:
        os.close(read)
        os.close(write)
    (tmp_path / "null").symlink_to(os.devnull)
    write_output(tmp_path / "null", b"told")
    assert (tmp_path / "null").is_symlink()
    assert Path(os.devnull).is_char_device()


def test_the_terminal_gets_it_behind_what_was_printed(capfd: pytest.CaptureFixture[str]) -> None:
    # Captured, it is a file: a new one in its place, or its beginning, would lose a part.
    os.write(1, b"first\n")
    write_output(Path("/dev/stdout"), b"second\n")
    os.write(1, b"third\n")
    assert capfd.readouterr().out == "first\nsecond\nthird\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "Is a directory"), ("file/below", "File exists"), ("x" * 300, "File name too long")],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(VaebenchError, match=rf"^Cannot write .*: {reason}\. Name another file\.$"):
        write_output(tmp_path / name, b"")


def test_two_threads_may_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, sync = Barrier(2), os.fsync

    def together(file: int) -> None:
        both.wait(30)
        sync(file)

    path = tmp_path / "file"
    monkeypatch.setattr(os, "fsync", together)
    with ThreadPoolExecutor(2) as pool:
        for written in [pool.submit(write_atomic, path, b"the same") for _ in range(2)]:
            written.result()
    assert path.read_bytes() == b"the same"
    assert list(tmp_path.iterdir()) == [path]
