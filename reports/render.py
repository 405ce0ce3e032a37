"""How every HTML page is rendered: one set of templates, everything from outside escaped.

A page allows nothing that it does not name: its Content-Security-Policy lists its scripts and
style sheets, which are files of `templates/`, by their SHA-256, and pictures from beside the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
BASE_SCRIPTS = ("state.js", "parts.js")
"""The scripts of a page that has views with an address, and parts that it loads on demand."""

TABLE_SCRIPTS = ("table_formats.js", "table_scores.js", "tables.js")
"""The scripts of a page's tables, after BASE_SCRIPTS, in the order in which they run."""

SCRIPT_SOURCES = ("'self'", "file:")
"""Where a page that is no single file loads parts from, as a Content-Security-Policy says it;
`file:` is for browsers in which `'self'` covers nothing on disk."""


def render(template: str, view: Mapping[str, Any]) -> str:
    """Return a template of `templates/` filled with what it shows.

    Raises: jinja2.UndefinedError where the view lacks a name that the template uses.
    """
    return _environment().get_template(template).render(view)


def page_frame(
    folder: Path,
    scripts: Sequence[str],
    styles: Sequence[str],
    *,
    single_file: bool,
    beside: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what any page needs: its policy, its scripts and styles, the address of a file.

    Args:
        folder: where the page will lie. scripts, styles: file names below `templates/`.
        single_file: whether `asset` gives the files themselves instead of their paths.
        beside: more sources of scripts, as a Content-Security-Policy writes them.
    """
    return {
        "policy": policy(scripts, styles, single_file=single_file, beside=beside),
        "scripts": [script(name) for name in scripts],
        "styles": [style(name) for name in styles],
        "single_file": single_file,
        "asset": asset_of(folder, single_file=single_file),
        "data": data,
    }


def policy(
    scripts: Sequence[str],
    styles: Sequence[str],
    *,
    single_file: bool,
    beside: Sequence[str] = (),
) -> str:
    """Return the Content-Security-Policy of a page that runs these files of `templates/` alone.

    Style attributes are allowed, as places within pictures are numbers of the run; they can name
    no other file, because images come from beside the page and nothing else comes from anywhere.
    """
    pictures = "data: blob:" if single_file else "'self' file: data: blob:"
    allowed = [*map(_hash, scripts), *beside]
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(allowed)}",
            f"style-src-elem {' '.join(map(_hash, styles))}",
            "style-src-attr 'unsafe-inline'",
            f"img-src {pictures}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def script(name: str) -> Markup:
    """Return a script of `templates/` as an element, byte by byte what `policy` hashed."""
    return _element("script", name)


def style(name: str) -> Markup:
    """Return a style sheet of `templates/` as an element, byte by byte what `policy` hashed."""
    return _element("style", name)


def part_script(key: str, value: Any) -> bytes:
    """Return the script that hands a part over to the page, beside which it lies."""
    texts = (json.dumps(given, ensure_ascii=False, separators=(",", ":")) for given in (key, value))
    return f"vaebenchViewer.receive({','.join(texts)});\n".encode()


def data(name: str, value: Any) -> Markup:
    """Return a value as JSON in an element with this id, which no browser runs.

    No text in it can end the element: `<` is written as an escape.
    """
    from markupsafe import Markup, escape

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{escape(name)}">{text}</script>')


def asset_of(folder: Path, *, single_file: bool) -> Callable[[str], str]:
    """Return how a page names a file below its folder: relative, or the file in a data: address."""

    def relative(path: str) -> str:
        return quote(path, safe="/")

    def inline(path: str) -> str:
        return data_address(folder / path)

    return inline if single_file else relative


def data_address(path: Path) -> str:
    """Return a file as a data: address; its kind is told by its ending, PNG where it has none."""
    return data_uri(mimetypes.guess_type(path.name)[0] or "image/png", path.read_bytes())


def data_uri(kind: str, data: bytes) -> str:
    """Return bytes as a data: URI of a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@lru_cache(maxsize=16)
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    digest = hashlib.sha256(_text(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _element(tag: str, name: str) -> Markup:
    from markupsafe import Markup

    return Markup(f"<{tag}>{_text(name)}</{tag}>")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = lambda text: str(text).replace("-", "−")
    environment.filters["url"] = lambda path: quote(str(path), safe="/")
    environment.filters["component"] = lambda text: quote(str(text), safe="")
    return environment
