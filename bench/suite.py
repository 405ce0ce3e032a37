"""What to compare, and how: one model for the command line and for suite.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .errors import Place, SuiteError, reason_of
from .records import REFERENCE, STAGES, Stage

Setting = str | int | float | bool

_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
QUANTISED = "quantised("
_QUANTISER = r",\s*(?:step|bits)=[^,]*"


def parse_setting(text: str) -> Setting:
    """Return the value that a setting's text means: true/false, whole number, number, or text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):
        return int(text)
    # No exponents: 12e4567 is a revision, not infinity.
    return float(text) if re.fullmatch(r"-?\d+\.\d+", text) else text


def parse_settings(text: str) -> dict[str, Setting]:
    """Return the settings of `k=v,flag,8`: a bare word is true, a bare number is `factor`."""
    settings: dict[str, Setting] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        if equals:
            entry = (key.strip(), parse_setting(value.strip()))
        elif isinstance(parse_setting(item), (int, float)) and item.lower() not in (
            "true",
            "false",
        ):
            entry = ("factor", parse_setting(item))
        else:
            entry = (item, True)
        if entry[0] in settings:
            raise ValueError(f"the setting {entry[0]!r} is given twice")
        settings[entry[0]] = entry[1]
    return settings


def _plain(spec: str) -> tuple[str, dict[str, Setting]]:
    # The last colon parts the settings off, unless what follows it is a path (C:\vae).
    source, colon, tail = spec.rpartition(":")
    if not colon or "/" in tail.split("=")[0] or "\\" in tail.split("=")[0]:
        source, tail = spec, ""
    return source, parse_settings(tail)


def _quantised(spec: str) -> tuple[str, dict[str, Setting]]:
    inner, closing, after = spec.removeprefix(QUANTISED).rpartition(")")
    if not closing or (after and not after.startswith(":")):
        raise ValueError("the parenthesis after quantised is not closed")
    own = [item.strip(" ,") for item in re.findall(_QUANTISER, inner)]
    inner = re.sub(_QUANTISER, "", inner).strip()
    if not inner:
        raise ValueError("quantised( ) names no codec")
    return f"{QUANTISED}{inner})", parse_settings(",".join([*own, after[1:]]))


def default_name(source: str, settings: dict[str, Setting]) -> str:
    """Return the name of a codec that was given none: jpeg:q=75 is called jpeg-q75."""
    if source.startswith(QUANTISED) and source.endswith(")"):
        inner, given = _plain(source[len(QUANTISED) : -1])
        quantiser = settings or {"quantised": True}
        return default_name(inner, {**given, **quantiser})
    parts = [part for part in re.split(r"[\\/]", source) if part not in ("", ".", "..")]
    stem = re.sub(r"\.(safetensors|ckpt|pth|pt|bin)$", "", parts[-1] if parts else source)
    words = [stem]
    for key, value in settings.items():
        if value is True:
            words.append(key)
        elif isinstance(value, str):
            # A folder says where something lies, not what it is.
            words.extend([] if re.search(r"[\\/]", value) else [value])
        else:
            words.append(f"{value}" if key == "factor" else f"{key}{value}")
    return re.sub(r"[^A-Za-z0-9._+-]+", "", "-".join(words)).strip(".-_+") or "codec"


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return what a TOML file holds; `what` is what it is: `suite`, say. Raises: SuiteError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    except ValueError as error:
        raise SuiteError(f"The {what} {path} is not valid TOML: {error}.") from error


class CodecSpec(BaseModel):
    """One codec to compare: a source that a family of CODECS claims, and its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    settings: dict[str, Setting] = {}
    name: str = Field(default="", pattern=rf"^({_NAME})?$", max_length=100)

    @model_validator(mode="after")
    def _named(self) -> CodecSpec:
        if not self.name:
            try:
                name = default_name(self.source, dict(self.settings))
            except RecursionError as error:
                raise ValueError("it is nested too deeply") from error
            object.__setattr__(self, "name", name)
        if self.name == REFERENCE:
            raise ValueError(f"the name {REFERENCE!r} is reserved; choose another NAME=")
        return self

    @classmethod
    def parse(cls, text: str) -> CodecSpec:
        """Read `[NAME=]SOURCE[:SETTING,…]`, e.g. `mine=./vae:dtype=float16` or `jpeg:q=75`.

        Of `quantised(SOURCE[:SETTING,…], step=0.5)` step and bits are the settings, and the rest,
        with its parentheses, is the source.

        Raises: SuiteError.
        """
        named = re.match(rf"({_NAME})=(.+)$", text, re.DOTALL)
        name, spec = (named[1], named[2]) if named else ("", text)
        try:
            source, settings = _quantised(spec) if spec.startswith(QUANTISED) else _plain(spec)
            return cls(name=name, source=source, settings=settings)
        except ValueError as error:
            told = reason_of(error) if isinstance(error, ValidationError) else str(error)
            raise SuiteError(
                f"Cannot read the codec {text!r}: {told}. "
                "Expected [NAME=]SOURCE[:SETTING=VALUE,…], e.g. jpeg:q=75 or mine=./vae."
            ) from error


def _as_codec(value: Any) -> Any:
    return CodecSpec.parse(value) if isinstance(value, str) else value


Dtype = Literal["float16", "bfloat16", "float32"]
Mode = Literal["eager", "channels_last", "compile", "channels_last+compile"]


class Speed(BaseModel):
    """What to time: every codec with every size, batch, precision, mode and stage.

    `dtypes` is empty for each codec's own. A mode is what a network's settings are set to beside
    its own. `samples` are taken of each cell, fewer where they would take over
    `max_s` seconds, which bounds the warm-up too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: list[Annotated[int, Field(ge=8, le=16384)]] = Field(default=[512], min_length=1)
    batches: list[Annotated[int, Field(ge=1, le=4096)]] = Field(default=[1], min_length=1)
    dtypes: list[Dtype] = []
    stages: list[Stage] = Field(default=list(STAGES), min_length=1)
    modes: list[Mode] = Field(default=["eager"], min_length=1)
    samples: int = Field(default=50, ge=10, le=100_000)
    max_s: float = Field(default=10.0, gt=0)


class Suite(BaseModel):
    """Everything that decides what a run's numbers are."""

    model_config = ConfigDict(extra="forbid")

    images: list[str] = ["sample"]
    codecs: list[Annotated[CodecSpec, BeforeValidator(_as_codec)]] = Field(min_length=1)
    regions: list[str] = []
    metrics: list[str] = Field(default=[], description="empty: the default set")
    weights: str | None = None
    size: int | None = Field(default=None, ge=8, le=16384)
    fit: Literal["crop", "squash", "pad"] | None = None
    rounding: Literal["8bit", "float"] = "8bit"
    background: str = Field(default="#ffffff", pattern=r"^#[0-9a-fA-F]{6}$")
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
        """Build a suite; what is wrong with it becomes one sentence.

        Raises: SuiteError.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            raise SuiteError(f"The suite is not valid: {reason_of(error, _known)}.") from error

    @classmethod
    def load(cls, path: Path) -> Suite:
        """Read a suite.toml; relative paths in it are relative to the working folder.

        Raises: SuiteError.
        """
        fields = read_toml(path, "suite")
        try:
            suite = cls.create(**fields)
        except SuiteError as error:
            raise SuiteError(f"{path}: {error}") from error
        for codec in suite.codecs:
            # A file's author cannot consent for the one who runs it.
            if codec.settings.get("trust_remote_code"):
                raise SuiteError(
                    f"{path}: trust_remote_code of {codec.name} is not taken from a file. Where "
                    "you have read that code and trust it, pass the codec by --codec."
                )
        return suite

    def to_toml(self) -> str:
        """Return the suite as TOML, such that `load` gives it back."""
        # An A/B worker reads this module in interpreters that have no TOML writer.
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))


def _known(place: Place) -> Iterable[str]:
    """Return the names of fields that may stand where an unknown one does."""
    owner = {"codecs": CodecSpec, "speed": Speed}.get(str(place[0]), Suite)
    return (owner if len(place) > 1 else Suite).model_fields
