"""Addresses of views: what the part of a page's address behind `#` says."""

from __future__ import annotations

from urllib.parse import quote

from ...bench.records import REFERENCE

REPORT = "../report.html"
"""The page, seen from `plots/`."""


def view_address(image_id: str, codec: str = "", region: str = "") -> str:
    """Return the address of a picture in the viewer, its reference against a codec.

    Args:
        region: where the view flies to; the whole picture where it is empty.
    """
    named = {"picture": image_id, "region": region}
    if codec:
        named |= {"a": REFERENCE, "b": codec}
    parts = [f"{key}={quote(value, safe='')}" for key, value in named.items() if value]
    return f"#{'&'.join(parts)}"
