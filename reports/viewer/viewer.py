"""The viewer of report.html: any two of reference, codecs and error maps of a picture compared.

What works from `file://`, found in Chromium, and so decides how the pictures come into the page:
every file is an origin of its own there, so `fetch` of a neighbour is refused, and an <img> from
disk taints a canvas, from which no pixel can be read. Showing <img> works, and so do classic
scripts: the source `'self'` of a Content-Security-Policy covers them, on disk as on a server. So
the page shows the run's PNGs as they are, and reads pixels from scripts beside it, one a picture
and codec, that hold a lossless copy as text; they are loaded when the picture is looked at. As
that doubles what the run keeps, it ends at PIXELS_BYTES or PIXELS_PICTURES: what is left has all
but the read-out and the worst patches.

Each <img> is moved and zoomed by a CSS transform, which the compositor does without painting
again. Error maps stay grey, and an SVG filter colours them; measured in headless Chromium 156 on
two CPU cores without a GPU, both stay at 60 frames a second while zooming 768 × 512, as a canvas
does that was coloured before, so the filter, which also gives the gain, is the only way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..pictures.selection import ERROR_COLOURS
from ..render import BASE_SCRIPTS, data_uri, part_script
from ..tables.columns import Column
from .facts import facts_of, labels_of
from .parts import latents_caption, latents_sheet, pixel_uri, thumbnail, write_part
from .viewed import Viewed

SCRIPTS = (
    *BASE_SCRIPTS,
    "viewer_parts.js",
    "viewer_stage.js",
    "viewer_panel.js",
    "viewer_values.js",
    "viewer.js",
)
"""The scripts of a page with the viewer, files of `templates/`, in the order in which they run."""

STYLES = ("viewer.css",)
"""Its style sheets, after that of the page, whose colours they use."""

FOLDER = "viewer"
PIXELS_BYTES = 256 * 2**20
PIXELS_PICTURES = 500
"""Of how many pictures, the worst, there are copies to read values from."""


def viewer_view(
    viewed: Viewed, *, single_file: bool, only: str | None = None
) -> dict[str, Any] | None:
    """Return what viewer.html.j2 shows, under the name `viewer`; None without kept pictures.

    Args:
        single_file: whether the parts are in the page itself, up to PIXELS_BYTES; otherwise
            `write_viewer_files` must have written them beside it.
        only: the one picture to show.
    """
    pictures = [name for name in viewed.pictures if only in (None, name)]
    if not pictures:
        return None
    errors = _errors(viewed)
    blocks: dict[str, Any] = {}
    shown = _fill(viewed, pictures, blocks) if single_file else pictures
    return {
        "data": {"codecs": viewed.codecs, "columns": labels_of(viewed.columns), "errors": errors},
        "blocks": blocks,
        "count": len(shown),
        "absent": len(pictures) - len(shown),
        "has_errors": errors is not None,
    }


def looked_at(viewed: Viewed, *, single_file: bool) -> dict[str, Any] | None:
    """Return `viewer_view` of a page, its files written unless the page holds them."""
    view = viewer_view(viewed, single_file=single_file)
    if view and not single_file:
        write_viewer_files(viewed)
    return view


def write_viewer_files(viewed: Viewed) -> None:
    """Write the parts of the viewer into `viewer/` of the folder, and remove stale ones.

    Pixels and thumbnails that are newer than the pictures they show are left as they are.
    """
    folder, kept = viewed.folder / FOLDER, set[Path]()

    def keep(path: Path, source: Path, make: Callable[[], bytes]) -> int:
        kept.add(path)
        if not _is_newer(path, source):
            write_part(path, make())
        return path.stat().st_size

    spent = 0
    if viewed.pictures:
        _write_script(folder / "pictures.js", "pictures", _listed(viewed, viewed.pictures))
    for place, image_id in enumerate(viewed.pictures):
        key, sources = viewed.keys[image_id], viewed.sources(image_id)
        own = folder / key
        first = next(iter(sources.values()))
        keep(own / "thumbnail.jpg", first, partial(thumbnail, first))
        has_pixels = spent < PIXELS_BYTES and place < PIXELS_PICTURES
        for name, path in sources.items() if has_pixels else ():
            make = partial(_pixel_script, f"{key}/{name}", path)
            spent += keep(own / f"{name}.js", path, make)
        sheets: dict[str, Any] = {}
        for codec, (path, caption) in _latents(viewed, image_id).items():
            keep(own / f"latents-{codec}.png", path, partial(latents_sheet, path))
            sheets[codec] = {"address": f"{FOLDER}/{key}/latents-{codec}.png", "caption": caption}
        kept.add(own / "facts.js")
        told = facts_of(viewed, image_id, sheets, has_pixels=has_pixels)
        _write_script(own / "facts.js", f"{key}/facts", told)
    _remove_stale(folder, kept)


def _listed(viewed: Viewed, pictures: Sequence[str]) -> list[Any]:
    """Return the part that lists the pictures: of each its key, name, width and height."""
    return [[viewed.keys[name], name, *viewed.sizes[name]] for name in pictures]


def _write_script(path: Path, key: str, value: Any) -> None:
    script = part_script(key, value)
    # Writing takes longer than reading.
    if not path.is_file() or path.read_bytes() != script:
        write_part(path, script)


def _is_newer(path: Path, source: Path) -> bool:
    """Return whether a part is there, and newer than the picture that it was made from."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    # An empty one is what a power cut may leave of a file.
    return found.st_size > 0 and found.st_mtime_ns >= source.stat().st_mtime_ns


def _fill(viewed: Viewed, pictures: list[str], blocks: dict[str, Any]) -> list[str]:
    """Put the parts of pictures into `blocks`, up to PIXELS_BYTES; return those that are in."""
    spent, shown = 0, pictures
    for count, image_id in enumerate(pictures):
        if spent >= PIXELS_BYTES:
            shown = pictures[:count]
            break
        key, sources = viewed.keys[image_id], viewed.sources(image_id)
        sheets = {
            place: {"address": data_uri("image/png", latents_sheet(path)), "caption": caption}
            for place, (path, caption) in _latents(viewed, image_id).items()
        }
        # None: the part itself is what the page shows.
        blocks[f"{key}/facts"] = {
            **facts_of(viewed, image_id, sheets, has_pixels=True),
            "sources": dict.fromkeys(sources),
        }
        for name, path in sources.items():
            blocks[f"{key}/{name}"] = uri = pixel_uri(path)
            spent += len(uri)
        first = next(iter(sources.values()))
        blocks[f"{key}/thumbnail"] = data_uri("image/jpeg", thumbnail(first))
    blocks["pictures"] = _listed(viewed, shown)
    return shown


def _errors(viewed: Viewed) -> dict[str, Any] | None:
    """Return what the grey levels of the error maps mean, and the colours of its scale."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    stored, top = viewed.error_map, viewed.top
    if stored is None or top is None:
        return None
    column = Column(stored.metric, stored.variant, stored.unit, False)
    steps = (to_hex(mpl.colormaps[ERROR_COLOURS](step))[1:] for step in range(256))
    colours = "".join(steps)
    return {"label": column.title, "max": stored.max, "top": top, "colours": colours}


def _latents(viewed: Viewed, image_id: str) -> dict[str, tuple[Path, str]]:
    """Return the kept latents of a picture and what they are, by the codec's place."""
    found: dict[str, tuple[Path, str]] = {}
    for place, codec in enumerate(viewed.codecs):
        path = viewed.latents_path(codec, image_id)
        caption = None if path is None else latents_caption(path)
        if path is not None and caption is not None:
            found[str(place)] = (path, f"{codec}: {caption}")
    return found


def _pixel_script(key: str, path: Path) -> bytes:
    return part_script(key, pixel_uri(path))


def _remove_stale(folder: Path, kept: set[Path]) -> None:
    """Remove what an earlier report wrote and this one did not."""
    for path in sorted(folder.glob("*/*")):
        if path.suffix in (".js", ".jpg", ".png") and path not in kept:
            path.unlink()
    for path in sorted(folder.glob("*")):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
