"""Published figures that are typed in beside a comparison; they are never computed with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import SuiteError, reason_of
from ..suite import read_toml


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
        figures = _QuotedFile(**read_toml(path, "file of quoted figures")).quoted
    except ValidationError as error:
        expected = f"a [[quoted]] with {', '.join(QuotedFigure.model_fields)}"
        raise SuiteError(f"{path}: {reason_of(error)}. Each figure is {expected}.") from error
    return [
        {**figure.model_dump(), "unit": units.get(figure.variant.split("/")[0], "")}
        for figure in figures
    ]
