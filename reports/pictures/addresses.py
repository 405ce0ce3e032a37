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
    codecs = {"a": REFERENCE, "b": codec} if codec else {}
    return _address(picture=image_id, region=region, **codecs)


def pair_address(image_id: str, baseline: str, codec: str) -> str:
    """Return the address of a picture in the viewer of a comparison, baseline beside codec."""
    return _address(picture=image_id, a=baseline, b=codec)


def _address(**named: str) -> str:
    return "#" + "&".join(f"{key}={quote(text, safe='')}" for key, text in named.items() if text)
