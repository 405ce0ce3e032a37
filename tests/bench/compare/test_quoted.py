from __future__ import annotations

from pathlib import Path

import pytest
from vaebench.bench.compare.quoted import read_quoted
from vaebench.bench.errors import SuiteError

EXAMPLE = """[[quoted]]
name = "SDXL VAE"
variant = "psnr/rgb8"
value = 24.5
protocol = "256 px by crop, COCO 2017 validation"
source = "the paper's table 3"
"""


def test_the_example_is_read(tmp_path: Path) -> None:
    path = tmp_path / "quoted.toml"
    path.write_text(EXAMPLE)
    (figure,) = read_quoted(path, {"psnr": "dB"})
    assert figure == {
        "name": "SDXL VAE",
        "variant": "psnr/rgb8",
        "value": 24.5,
        "protocol": "256 px by crop, COCO 2017 validation",
        "source": "the paper's table 3",
        "unit": "dB",
    }
    assert read_quoted(path, {})[0]["unit"] == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            EXAMPLE.replace("source =", "from ="),
            r"quoted.0.source is missing. Each figure is a \[\[quoted\]\] with name, ",
        ),
        (EXAMPLE.replace("24.5", "inf"), r"quoted.0.value: input should be a finite number"),
        ("", r"quoted is missing"),
        ("[[quoted]", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "quoted.toml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=reason):
        read_quoted(path, {})


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"Cannot read .*gone.toml"):
        read_quoted(tmp_path / "gone.toml", {})
