"""Image sets: find the files, name them, hash them, and try each once."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, visible
from ..records import ImageRef, SkippedImage
from .files.marks import has_mark, picture_suffixes
from .pixels import Pixels, background_rgb, read_pixels
from .region_files import MASK_SUFFIX
from .sample import SAMPLE, sample_paths

_Files = tuple[str, list[tuple[str, Path]]]
"""The name of a set, and an id and the absolute path of each of its files."""

_LOOSE_SET = "files"
_LONGEST_NAME_BYTES = 251
"""What a suffix leaves of the 255 bytes that file systems give a name."""
_LONGEST_ID_BYTES = 2048
"""Half of what Linux takes as a path; the other is for the run's folder and the codec's."""
_KEPT_SUFFIXES = (".png", ".npy")
"""What a run adds to an id: of reconstructions and error maps, and of latents."""


@dataclass(frozen=True)
class ImageSet:
    """The pictures that can be used and the files that cannot, each in the order of their ids."""

    images: tuple[ImageRef, ...]
    skipped: tuple[SkippedImage, ...]


@dataclass(frozen=True)
class _Found:
    """A file of a set, before it is opened; `path` is absolute."""

    image_set: str
    image_id: str
    path: Path


def find_images(
    sources: Sequence[str],
    background: str = "#ffffff",
    progress: Callable[[int, int], None] | None = None,
    seen: Callable[[str, NDArray[np.uint8]], None] | None = None,
) -> ImageSet:
    """Find, hash and try the pictures of any number of sources.

    A source is a folder (searched with its subfolders; hidden files and folders, run folders,
    region masks and files with neither a picture's suffix nor its first bytes are left out), a
    glob (the same are left out), a list file (`.txt`: a path on each line, relative to the file;
    # starts a comment), a single file, or the word `sample`. A file that several sources name is
    taken once. `progress` is told how many files of how many have been tried, and `seen` the path
    and pixels of each picture.

    An id is the path below the folder, below the fixed part of the glob, or below the list file;
    a single file's is its name. Where two files would share one, their set's name goes before it,
    and single files get as much of their path as tells them apart.

    Raises: ImageError for a source that matches nothing and for an impossible background. What
        cannot be read is no error: it is in `skipped`, with the reason.
    """
    background_rgb(background)
    found = _unique_ids(_collect(sources))
    taken = {file.image_id + suffix for file in found for suffix in _KEPT_SUFFIXES}
    images: list[ImageRef] = []
    skipped: list[SkippedImage] = []
    for done, file in enumerate(sorted(found, key=lambda file: file.image_id)):
        if progress:
            progress(done, len(found))
        place = (visible(file.image_id), visible(file.image_set), visible(str(file.path)))
        try:
            _refuse_name(file, taken)
            _refuse_unlisted(file.path)
            pixels, digest = _read(file.path, background)
        except (ImageError, OSError) as error:
            skipped.append(SkippedImage(*place, reason=str(error)))
        else:
            if seen:
                seen(str(file.path), pixels.rgb)
            height, width = pixels.rgb.shape[:2]
            images.append(ImageRef(*place, digest, width, height, pixels.notes))
    if progress:
        progress(len(found), len(found))
    return ImageSet(tuple(images), tuple(skipped))


def _refuse_name(file: _Found, taken: set[str]) -> None:
    """Refuse a picture whose id cannot name the files that a run keeps of it.

    `taken` are the names that a run gives to files of any picture: none can be a folder as well.
    """
    path = PurePath(file.image_id)
    shown = visible(path.name)
    try:
        name_bytes, id_bytes = len(path.name.encode()), len(file.image_id.encode())
        str(file.path).encode()
    except UnicodeEncodeError as error:
        raise ImageError(f"Cannot use {shown}: its name is no valid UTF-8. Rename it.") from error
    if visible(str(file.path)) != str(file.path):
        raise ImageError(
            f"Cannot use {shown}: its path holds a character that steers a terminal. Rename it."
        )
    if name_bytes > _LONGEST_NAME_BYTES:
        raise ImageError(
            f"Cannot use {shown}: its name has {name_bytes} bytes, and a run can keep pictures of "
            f"names up to {_LONGEST_NAME_BYTES}. Rename it."
        )
    if id_bytes > _LONGEST_ID_BYTES:
        raise ImageError(
            f"Cannot use {shown}: its path below the set has {id_bytes} bytes, and a run can keep "
            f"pictures of paths up to {_LONGEST_ID_BYTES}. Name a folder nearer to it."
        )
    for folder in map(PurePath.as_posix, path.parents):
        if folder in taken:
            owner, suffix = folder[:-4], folder[-4:]
            raise ImageError(
                f"Cannot use {shown}: a run keeps a file {folder} of the picture {owner}, where "
                f"this one's folder would be. Name the folder without {suffix}."
            )


def _read(path: Path, background: str) -> tuple[Pixels, str]:
    """Return a picture and the hash of the file that it was decoded from."""
    before = _stamp(path)
    pixels, digest = read_pixels(path, background), file_sha256(path)
    if _stamp(path) != before:
        raise ImageError(f"Cannot use {path.name}: it was changed while it was read.")
    return pixels, digest


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what tells whether a file was changed; None where reading it says why it cannot be."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _collect(sources: Sequence[str]) -> list[_Found]:
    """Return the files of all sources, each once, with ids that may still collide."""
    found: dict[Path, _Found] = {}
    sets: Counter[str] = Counter()
    for source in sources:
        try:
            name, files = _read_source(source)
        except OSError as error:
            raise ImageError(
                f"Cannot look for pictures in {source!r}: {error.strerror}. Check the path and "
                "its rights."
            ) from error
        except (ValueError, RuntimeError) as error:
            # pathlib's for a pattern like a**, and for the home of a user that there is not.
            detail = str(error).rstrip(".")
            raise ImageError(
                f"Cannot look for pictures in {source!r}: {detail}. Name a folder, glob, list "
                "(.txt) or file."
            ) from error
        if not files:
            raise ImageError(
                f"No picture in {source!r}: expected a folder, glob, list (.txt) or file of "
                f"pictures, or {SAMPLE!r}."
            )
        if name != _LOOSE_SET:
            sets[name] += 1
            if sets[name] > 1:
                name = f"{name}-{sets[name]}"
        for image_id, path in files:
            found.setdefault(path, _Found(name, image_id, path))
    return list(found.values())


def _read_source(source: str) -> _Files:
    path = _absolute(Path(source).expanduser())
    for read in SOURCES.values():
        found = read(source, path)
        if found is not None:
            return found
    if not os.path.lexists(path):
        raise ImageError(f"No picture in {source!r}: there is no such file or folder.")
    return _LOOSE_SET, [(path.name, path)]


def _sample(source: str, path: Path) -> _Files | None:
    return (SAMPLE, [(path.name, path) for path in sample_paths()]) if source == SAMPLE else None


def _folder(source: str, path: Path) -> _Files | None:
    return (path.name or _LOOSE_SET, _below(path, _walk(path))) if path.is_dir() else None


def _list(source: str, path: Path) -> _Files | None:
    if path.suffix.lower() != ".txt" or not path.is_file():
        return None
    return path.stem, _below(path.parent, _listed(path))


def _glob(source: str, path: Path) -> _Files | None:
    if not glob.has_magic(source) or path.is_file():
        return None
    fixed = _fixed_part(path)
    is_run = functools.cache(_is_run)
    files = (
        file
        for file in fixed.glob(str(path.relative_to(fixed)))
        if _is_picture(file.relative_to(fixed), fixed)
        and not any(map(is_run, itertools.takewhile(fixed.__ne__, file.parents)))
    )
    return fixed.name or _LOOSE_SET, _below(fixed, itertools.filterfalse(Path.is_dir, files))


SOURCES: dict[str, Callable[[str, Path], _Files | None]] = {
    "sample": _sample,
    "folder": _folder,
    "list": _list,
    "glob": _glob,
}
"""Asked in this order, with a source as it was given and as an absolute path; None where it is not
theirs. What nobody claims is a file."""


def _absolute(path: Path) -> Path:
    # Path.resolve() would follow links, and a link's own name is its picture's id.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _fixed_part(pattern: Path) -> Path:
    """Return the folder above a pattern's first wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*fixed)


def _below(root: Path, paths: Iterator[Path]) -> list[tuple[str, Path]]:
    """Pair each path with its id below the root; one outside the root has its file name."""
    return [
        (path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name, path)
        for path in paths
    ]


def _walk(root: Path) -> Iterator[Path]:
    """Yield the pictures below a folder, and the folders that cannot be listed."""
    # os.walk goes down by recursion, which ends at some hundred folders in each other.
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        if folder != str(root) and _is_run(Path(folder)):
            continue
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except OSError as error:
            if folder == str(root):
                raise ImageError(f"Cannot list {folder}: {error.strerror}.") from error
            yield Path(folder)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders += [entry.path] if not entry.name.startswith(".") else []
            # Whatever else bears a picture's name is listed with the reason why it is none.
            elif _is_picture(PurePath(entry.name), Path(folder)) and not Path(entry.path).is_dir():
                yield Path(entry.path)


def _refuse_unlisted(path: Path) -> None:
    """Refuse a folder that cannot be listed, whose pictures nobody knows."""
    try:
        os.scandir(path).close()
    except OSError as error:
        # Asked of the system: pathlib would raise. A file is no folder, nor a link to itself.
        if os.path.isdir(path):  # noqa: PTH112
            raise ImageError(
                f"Cannot list {visible(path.name)}: {error.strerror}. What is in it is left out."
            ) from error


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's: what is in it are copies of pictures, and what codecs made."""
    try:
        with (folder / "run.json").open("rb") as file:
            return re.match(rb'\{\s*"schema_version"', file.read(64)) is not None
    except OSError:
        return False


def _is_picture(path: PurePath, root: Path) -> bool:
    """Whether a path below a set's root is a picture of the set, by its name or first bytes."""
    if any(part.startswith(".") for part in path.parts) or path.name.lower().endswith(MASK_SUFFIX):
        return False
    return path.suffix.lower() in picture_suffixes() or has_mark(root / path)


def _listed(list_file: Path) -> Iterator[Path]:
    try:
        lines = list_file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"Cannot read the list {list_file.name}: {error}.") from error
    for line in lines:
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield _absolute(list_file.parent / _home_expanded(Path(entry)))


def _home_expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        # No user of that name: it may as well be a file's name that begins with ~.
        return path


def _unique_ids(found: list[_Found]) -> list[_Found]:
    """Lengthen the ids that several files share: set name first, then as much path as it takes."""
    named = _set_before(found, lambda file: file.image_id)
    ids = Counter(file.image_id for file in named)
    shared = [file.path for file in named if ids[file.image_id] > 1]
    root = Path(os.path.commonpath(shared)) if shared else Path()
    return _set_before(named, lambda file: file.path.relative_to(root).as_posix())


def _set_before(files: list[_Found], name: Callable[[_Found], str]) -> list[_Found]:
    """Give the files that share their ids new ones: their set's name before another of theirs."""
    ids = Counter(file.image_id for file in files)
    return [
        replace(file, image_id=f"{file.image_set}/{name(file)}") if ids[file.image_id] > 1 else file
        for file in files
    ]
