from __future__ import annotations

import pytest
from vaebench.bench.errors import VaebenchError, unknown_name, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J gone", r"\x1b[2J gone"),
        ("one\ntwo\r", r"one\ntwo\r"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("a\u2028b\0", r"a\u2028b\x00"),
        ("no utf-8 \udcff", r"no utf-8 \udcff"),
        ("Bildschirm\u202ffoto äöü 写真\u3000 \U0001f99c\u200d", None),
    ],
)
def test_what_an_error_quotes_steers_no_terminal(text: str, shown: str | None) -> None:
    assert visible(text) == (shown or text)
    assert str(VaebenchError(f"Cannot use {text}.")) == f"Cannot use {shown or text}."


def test_an_unknown_name_is_told_with_its_nearest() -> None:
    told = unknown_name("metric", "psrn", ["ssim", "psnr"])
    assert told == "Unknown metric 'psrn'. Did you mean psnr? Valid: psnr, ssim."
