"""Files that are seen either whole or not at all, and what a killed write leaves behind."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any

from ..errors import RunFolderError, VaebenchError

_TEMPORARY = re.compile(r"\.\d+-[0-9a-f]+\.tmp")
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is seen either whole or not at all, even after a power cut.

    Once this returns, file and name are on the disk: what is written later (a picture's part) may
    promise what was written before (its pictures).
    """
    _make_folder(path.parent)
    # Of two threads that write one file, each has its own.
    number = hash((get_ident(), path.name)) & 0xFFFFFF
    temporary = path.with_name(f".{os.getpid()}-{number:x}.tmp")
    try:
        # Made anew: a link of that name may have come with the folder.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        # What went wrong first is what the user must hear of.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user named: one that is there behind a link, a device or pipe as it is.

    Inside a run folder `write_atomic` replaces a link instead: it may have come with the folder.

    Raises: VaebenchError where it cannot be written.
    """
    try:
        if _is_stdout(path):
            # Not opened anew, which would begin at the start of a file that it was sent to.
            with os.fdopen(os.dup(1), "wb") as file:
                file.write(data)
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.write(data)
        else:
            write_atomic(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise VaebenchError(f"Cannot write {path}: {error.strerror}. Name another file.") from error


def _is_stdout(path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable by eye."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def is_leftover(path: Path) -> bool:
    """Return whether a file has a name that only `write_atomic` gives, before it renames it."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writes left below a folder; nobody else may be writing there.

    Raises: RunFolderError as `refuse_links`, so that what is removed and written stays below it.
    """
    for path in list(_files_below(folder)):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """Refuse a folder in which a link would have other folders written: it may have come with it.

    A link to a file is none of these: `write_atomic` replaces it.

    Raises: RunFolderError.
    """
    for _ in _files_below(folder):
        pass


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all that is no folder, links to files among it. Raises: RunFolderError."""
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink() and not entry.is_file():
                    raise RunFolderError(
                        f"Cannot write in {folder}: {path.relative_to(folder)} is a link to "
                        f"{path.readlink()}, so files outside the folder would be written or "
                        "deleted. Put what it links to in its place, or delete the link."
                    )
                if entry.is_dir():
                    folders.append(path)
                else:
                    yield path


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the system has such a thing."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # Some network file systems sync files alone.
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(opened)
