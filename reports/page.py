"""How every HTML page is rendered: one set of templates, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, view: Mapping[str, Any]) -> str:
    """Return a template of `templates/` filled with what it shows.

    Raises: jinja2.UndefinedError where the view lacks a name that the template uses.
    """
    return _environment().get_template(template).render(view)


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
    return environment
