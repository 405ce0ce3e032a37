"""What to compare, and how: one model for the command line and for suite.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ..errors import Place, SuiteError, listed, reason_of, shortened
from ..records import STAGES, Stage
from .spec import CodecSpec

_BY_HAND = "by hand"
_MAX_TOML_BYTES = 1 << 24


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return what a TOML file holds; `what` is what it is: `suite`, say. Raises: SuiteError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TOML_BYTES + 1)
        if len(content) > _MAX_TOML_BYTES:
            raise SuiteError(
                f"Cannot read the {what} {path}: it has more than {_MAX_TOML_BYTES >> 20} MiB, "
                "the limit for such a file."
            )
        return tomllib.loads(content.decode())
    except OSError as error:
        raise SuiteError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    except ValueError as error:
        raise SuiteError(f"The {what} {path} is not valid TOML: {error}.") from error


def _as_codec(value: Any, info: ValidationInfo) -> Any:
    text = _as_text(value)
    if not isinstance(text, str):
        return text
    return CodecSpec.parse(text) if info.context == _BY_HAND else CodecSpec.parse_from_file(text)


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _as_colour(value: Any) -> Any:
    """Return #rrggbb of any way to write an opaque colour: black, #fff, rgb(0, 0, 0)."""
    # An A/B worker reads this module before Pillow.
    from PIL import ImageColor

    if not isinstance(value, str):
        return value
    try:
        levels = ImageColor.getrgb(value)
    except ValueError:
        levels = ()
    if len(levels) != 3:
        raise ValueError(
            f"background is {shortened(value)!r}, a colour is expected: black, #ffffff"
        )
    return "#{:02x}{:02x}{:02x}".format(*levels)


Text = Annotated[str, BeforeValidator(_as_text)]
LARGEST_SIDE = 8000
"""Of a size that is asked for, in px: 64 megapixels, as of a picture's file."""


def _within_limit(side: int) -> int:
    if side > LARGEST_SIDE:
        raise ValueError(
            f"a size of {side} px is {side * side // 1_000_000} megapixels, and "
            f"{LARGEST_SIDE**2 // 1_000_000} are the limit: ask for {LARGEST_SIDE} px or less"
        )
    return side


Side = Annotated[int, Field(ge=8), AfterValidator(_within_limit)]
"""A side in px."""

Dtype = Literal["float16", "bfloat16", "float32"]
Mode = Literal["eager", "channels_last", "compile", "channels_last+compile"]


class Speed(BaseModel):
    """What to time: every codec with every size, batch, precision, mode and stage.

    `dtypes` is empty for each codec's own. A mode is what a network's settings are set to beside
    its own. `samples` are taken of each cell, fewer where they would take over
    `max_s` seconds, which bounds the warm-up too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: list[Side] = Field(default=[512], min_length=1)
    batches: list[Annotated[int, Field(ge=1, le=4096)]] = Field(default=[1], min_length=1)
    dtypes: list[Dtype] = []
    stages: list[Stage] = Field(default=list(STAGES), min_length=1)
    modes: list[Mode] = Field(default=["eager"], min_length=1)
    samples: int = Field(default=50, ge=10, le=100_000)
    max_s: float = Field(default=10.0, gt=0)


class Suite(BaseModel):
    """Everything that decides what a run's numbers are."""

    model_config = ConfigDict(extra="forbid")

    images: list[Text] = ["sample"]
    codecs: list[Annotated[CodecSpec, BeforeValidator(_as_codec)]] = Field(min_length=1)
    regions: list[Text] = []
    metrics: list[str] = Field(default=[], description="empty: the default set")
    weights: Text | None = None
    size: Side | None = None
    fit: Literal["crop", "squash", "pad"] | None = None
    rounding: Literal["8bit", "float"] = "8bit"
    background: Annotated[str, BeforeValidator(_as_colour)] = "#ffffff"
    batch_size: int = Field(default=1, ge=1, le=1024)
    keep: Literal["all", "worst", "none"] = "all"
    speed: Speed | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if (self.size is None) != (self.fit is None):
            raise ValueError(
                "size and fit go together: pass both (--size 512 --fit crop) or neither "
                "(native size)"
            )
        names = [codec.name for codec in self.codecs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two codecs are called {twice[0]!r}; give each its own name by NAME=SPEC"
            )
        return self

    @classmethod
    def create(cls, **fields: Any) -> Suite:
        """Build a suite of what was given by hand; what is wrong with it becomes one sentence.

        Codecs that are texts or paths are by hand; those that are `CodecSpec` stay what they are.

        Raises: SuiteError.
        """
        return cls._checked(fields, _BY_HAND)

    @classmethod
    def _checked(cls, fields: dict[str, Any], given: str | None) -> Suite:
        try:
            return cls.model_validate(fields, context=given)
        except ValidationError as error:
            raise SuiteError(f"The suite is not valid: {reason_of(error, _known)}.") from error

    @classmethod
    def load(cls, path: Path) -> Suite:
        """Read a suite.toml; relative paths in it are relative to the working folder.

        Raises: SuiteError.
        """
        fields = read_toml(path, "suite")
        try:
            return cls.of_file(fields)
        except SuiteError as error:
            raise SuiteError(f"{path}: {error}") from error

    @classmethod
    def of_file(cls, fields: dict[str, Any]) -> Suite:
        """Build the suite that a file describes, whose author cannot consent for its reader.

        Raises: SuiteError.
        """
        suite = cls._checked(fields, None)
        for codec in suite.codecs:
            codec.require_trust()
        return suite

    def given_again(self, codecs: Sequence[str]) -> Suite:
        """Return a stored suite with codecs that are given by hand once more.

        Raises: SuiteError where one is not as the suite has it.
        """
        chosen = {codec.name: codec for codec in self.codecs}
        for text in codecs:
            spec = CodecSpec.parse(text)
            if chosen.get(spec.name) != spec:
                raise SuiteError(
                    f"Cannot go on with the codec {shortened(text)!r}: it is none of those that "
                    f"the run began with ({listed(chosen)}). Give it as it was given then."
                )
            chosen[spec.name] = spec
        return self.model_copy(update={"codecs": list(chosen.values())})

    def to_toml(self) -> str:
        """Return the suite as TOML, such that `load` gives it back."""
        # An A/B worker reads this module in interpreters that have no TOML writer.
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))


def _known(place: Place) -> Iterable[str]:
    """Return the names of fields that may stand where an unknown one does."""
    owner = {"codecs": CodecSpec, "speed": Speed}.get(str(place[0]), Suite)
    return (owner if len(place) > 1 else Suite).model_fields
