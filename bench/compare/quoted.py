"""Published figures that are typed in beside a comparison; they are never computed with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import SuiteError

EXAMPLE = """[[quoted]]
name = "SDXL VAE"
variant = "psnr/rgb8"
value = 24.5
protocol = "256 px by crop, COCO 2017 validation"
source = "the paper's table 3"
"""


class QuotedFigure(BaseModel):
    """A figure as its source prints it: whose, of which metric variant, measured how, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    variant: str = Field(min_length=1)
    value: float = Field(allow_inf_nan=False)
    protocol: str = Field(min_length=1)
    source: str = Field(min_length=1)


class _QuotedFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quoted: list[QuotedFigure] = Field(min_length=1)


def read_quoted(path: Path, units: Mapping[str, str]) -> list[dict[str, str | float]]:
    """Return the figures of a quoted.toml as comparison.json holds them.

    Args:
        units: the unit of each metric (psnr: dB) that the comparison has.
    Raises: SuiteError where the file cannot be read or a figure lacks a field.
    """
    try:
        figures = _QuotedFile(**tomllib.loads(path.read_text(encoding="utf-8"))).quoted
    except OSError as error:
        raise SuiteError(f"Cannot read the quoted figures {path}: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SuiteError(
            f"{path}: {where}: {first['msg'].lower()}. Expected, for each figure,\n{EXAMPLE}"
        ) from error
    except ValueError as error:
        raise SuiteError(f"The quoted figures {path} are not valid TOML: {error}.") from error
    return [
        {**figure.model_dump(), "unit": units.get(figure.variant.split("/")[0], "")}
        for figure in figures
    ]
