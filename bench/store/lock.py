"""One process at a time writes in a folder; what keeps it from writing is one sentence.

The lock is the operating system's, so it ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunFolderError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_NAME = ".lock"
DISK_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", None)}
"""What a disk says that does not take what is written."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP}


@contextmanager
def writing_run(folder: Path, command: str) -> Generator[None]:
    """Hold a run folder; see `writing_folder`."""
    with writing_folder(folder, command, _REFUSALS.get(command, _again)):
        yield


def _again(folder: Path, reason: str) -> str:
    cause = f"Cannot write the folder {folder}: {reason}."
    if not folder.is_dir():
        return f"{cause} Choose another --out."
    return f"{cause} Make room there, or make it writable, and give the same command again."


@contextmanager
def writing_folder(
    folder: Path, command: str, refusal: Callable[[Path, str], str] = _again
) -> Generator[None]:
    """Hold a folder for as long as this process writes in it.

    The folder is made; it is removed again where nothing came to be in it.

    Args:
        command: what is done, `run` or `report`, say: another process is told.
        refusal: returns the sentence for a folder that the disk does not let be written, and why.
    Raises: RunFolderError where another process holds it, or the disk does not take what is
        written (full, read-only); what is finished stays.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise RunFolderError(
            f"Cannot write in {str(folder)!a}: its name is no UTF-8. Choose another folder."
        ) from None
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"Cannot write in {folder}: it is no folder. Choose another.")
    made: list[Path] = []
    try:
        made = _make_folder(folder)
        lock = _acquire(folder, command)
        try:
            yield
        finally:
            _release(lock, folder, made)
    except OSError as error:
        if not _is_about(error, folder):
            raise
        raise RunFolderError(refusal(folder, error.strerror or str(error))) from error


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were not there, the deepest first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _acquire(folder: Path, command: str) -> BaseFileLock:
    # It imports asyncio, which --help can do without.
    from filelock import FileLock, Timeout

    path = folder / LOCK_NAME
    _refuse_linked(path)
    # The soft lock that it would take instead outlives a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunFolderError(
            f"Cannot write in {folder}: {_holder(path)} is writing in it. Wait until that has "
            "ended, or choose another folder."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise RunFolderError(
            f"Cannot write in {folder}: its file system has no locks ({error.strerror}), so two "
            "commands could mix. Choose another folder, on a local disk say."
        ) from error
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        told = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        # Not by a rename: the lock is this file's.
        path.write_text(json.dumps({**told, "command": command}), encoding="utf-8")
    except BaseException:
        lock.release()
        raise
    return lock


def _refuse_linked(path: Path) -> None:
    """Refuse a lock that is another file's too: what is written into it, is written there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        what = f"a link to {path.readlink()}" if path.is_symlink() else "no file of its own"
        raise RunFolderError(f"Cannot write in {path.parent}: {path.name} is {what}. Delete it.")


def _holder(path: Path) -> str:
    """Return which process holds a lock, as far as that can be read."""
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"process {told['pid']} on {told['host']} (vaebench {told['command']}, since "
            f"{told['since']})"
        )
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _release(lock: BaseFileLock, folder: Path, made: list[Path]) -> None:
    # While it is held: who waits for a file that has gone, or that is new, begins anew.
    with suppress(OSError):
        (folder / LOCK_NAME).unlink()
    lock.release()
    for path in made:
        # Those that hold anything by now stay.
        with suppress(OSError):
            path.rmdir()


def _is_about(error: OSError, folder: Path) -> bool:
    """Return whether an error is about writing here, not about reading something elsewhere."""
    if error.filename is None:
        return error.errno in DISK_ERRORS
    named = Path(os.fsdecode(error.filename)).absolute()
    return folder.absolute() in (named, *named.parents) or named in folder.absolute().parents


def _run_refusal(folder: Path, reason: str) -> str:
    if not (folder / "run.json").is_file():
        return _elsewhere(folder, reason)
    return (
        f"Cannot write the run folder {folder}: {reason}. What is finished is kept: make room "
        f"there, or make it writable, then vaebench run --resume {shlex.quote(str(folder))}"
    )


def _elsewhere(folder: Path, reason: str) -> str:
    return f"Cannot write the run folder {folder}: {reason}. Choose another --out."


_REFUSALS = {"run": _run_refusal, "run --resume": _run_refusal, "speed": _elsewhere}
