"""What a page says and names; that it needs nothing from outside is checked wherever it is read."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

OUTSIDE = ("//", "http:", "https:", "ftp:", "data:", "javascript:")


class Page(HTMLParser):
    """Every reference, tag and word of a page, and the scripts that it runs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.references: list[str] = []
        self.pictures: list[str] = []
        self.nav: list[str] = []
        self.sections: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.kind = ""
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())
        self._check(path.parent)

    def _check(self, folder: Path) -> None:
        assert self.nav == self.sections
        for reference in self.references:
            assert not reference.startswith(OUTSIDE), reference
            if not reference.startswith("#"):
                assert (folder / unquote(reference)).is_file(), reference
            # What has an equals sign is a view, not a place on the page.
            elif "=" not in reference:
                assert reference[1:] in self.ids
        own = {f"'sha256-{_digest(script)}'" for script in self.scripts}
        assert own == set(re.findall("'sha256-[^']+'", self.policy.partition("style-src")[0]))
        assert not {"link", "iframe", "object", "base", "form"} & set(self.tags)
        assert not [name for name in self.attributes if name.startswith("on")]
        text = re.sub(r"<(script|style).*?</\1>", "", self.source, flags=re.DOTALL)
        assert not any(word in text for word in ("@import", "http://", "https://"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.attributes |= set(values)
        self.references += [values[key] for key in ("src", "href") if key in values]
        self.pictures += [values["src"]] if tag == "img" and "src" in values else []
        self.sections += [values["id"]] if tag == "section" else []
        if tag == "a" and "nav" in self.tags and "main" not in self.tags:
            self.nav.append(values["href"][1:])
        self.ids.add(values.get("id", ""))
        self.kind = "data" if tag == "script" and "type" in values else tag
        self.scripts += [""] if self.kind == "script" else []
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]

    def handle_endtag(self, tag: str) -> None:
        self.kind = ""

    def handle_data(self, data: str) -> None:
        if self.kind == "script":
            self.scripts[-1] += data
        elif self.kind not in ("style", "data"):
            self.words.append(data)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.fixture
def read_page() -> type[Page]:
    """Return what reads a page."""
    return Page
