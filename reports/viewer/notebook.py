"""The viewer of one picture inside of a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...bench.errors import RunFolderError, unknown_name
from ...bench.store.run import StoredRun
from ..pictures.selection import picture_sizes
from ..render import page_frame, render
from .viewed import viewed_run
from .viewer import SCRIPTS, STYLES, viewer_view

HEIGHT_PX = 860


@dataclass(frozen=True)
class InlineViewer:
    """A page with the viewer of one picture, shown in a frame of its own.

    The frame (`srcdoc`) keeps the notebook's styles out of the viewer and the viewer's scripts out
    of the notebook: it may run scripts, but is no part of the notebook's origin.
    """

    title: str
    page: str

    def _repr_html_(self) -> str:
        # ASCII alone: the page's policy knows its scripts by their bytes, which a notebook saved
        # in another encoding would change.
        page = html.escape(self.page).encode("ascii", "xmlcharrefreplace").decode()
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" srcdoc="{page}" '
            f'style="width: 100%; height: {HEIGHT_PX}px; border: 0"></iframe>'
        )


def inline_viewer(run: StoredRun, image_id: str) -> InlineViewer:
    """Return the viewer of one picture with everything inside.

    Args:
        image_id: the picture, with or without its ending and folder where that is clear.
    Raises: RunFolderError.
    """
    name = _found(run, image_id)
    view = viewer_view(viewed_run(run), single_file=True, only=name)
    if view is None:
        raise RunFolderError(
            f"Cannot show {name} of {run.folder}: nothing of it was kept. "
            "Make the run again with --keep all."
        )
    frame = page_frame(run.folder, SCRIPTS, ("report.css", *STYLES), single_file=True)
    title = f"{name}, {run.record.name}"
    page = render("viewer_page.html.j2", {**frame, "viewer": view, "title": title})
    return InlineViewer(title, page)


def _found(run: StoredRun, asked: str) -> str:
    """Return the picture that is meant; a whole name counts before a part of one."""
    names = list(picture_sizes(run))
    if asked in names:
        return asked
    paths = {name: PurePosixPath(name) for name in names}
    meant = [name for name, path in paths.items() if asked in (path.name, path.stem)]
    meant = meant or [name for name, path in paths.items() if asked == str(path.with_suffix(""))]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise RunFolderError(
            f"{asked!r} may be {' or '.join(meant)} of {run.folder}. Give the whole name."
        )
    raise RunFolderError(unknown_name("picture", asked, names))
