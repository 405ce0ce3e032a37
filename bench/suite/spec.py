"""One codec to compare as text: `[NAME=]SOURCE[:SETTING,…]`, and who gave it."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from ..errors import SuiteError, reason_of, shortened
from ..records import REFERENCE

Setting = str | int | float | bool

_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
QUANTISED = "quantised("
_QUANTISER = r",\s*(?:step|bits)=[^,]*"
# A setting as a family may have one: a number, a flag, or name=value with any value.
_SETTING = re.compile(r"\s*(?:-?(?:0|[1-9]\d*)(?:\.\d+)?|[A-Za-z_]\w*(?:\s*=.*)?)\s*", re.DOTALL)
TRUST = "trust_remote_code"
"""The setting by which a checkpoint's own code runs."""

_LONGEST_PATH = 4096
_MOST_COLONS = 64


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
    end = _path_end(spec, ":") or _settings_begin(spec)
    return spec[:end], parse_settings(spec[end + 1 :])


def _path_end(spec: str, marks: str) -> int:
    """Return where the longest path that exists ends, before a mark or all else; 0 for none."""
    ends = [at for at, char in enumerate(spec[:_LONGEST_PATH]) if char in marks]
    return next((end for end in (len(spec), *reversed(ends)) if _exists(spec[:end])), 0)


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):
        # A name too long for any file, or with a NUL.
        return False


def _settings_begin(spec: str) -> int:
    """Return where the first colon stands that settings follow; of C:\\vae:tiling the second."""
    colons = [at for at, char in enumerate(spec) if char == ":"][:_MOST_COLONS]
    for at in colons:
        if all(_SETTING.fullmatch(item) for item in spec[at + 1 :].split(",") if item.strip()):
            return at
    # What no family can take is told as a setting where a plain word stands before it.
    return colons[0] if colons and not re.search(r"[\\/]", spec) else len(spec)


def _quantised(spec: str) -> tuple[str, dict[str, Setting]]:
    inner, closing, after = spec.removeprefix(QUANTISED).rpartition(")")
    if not closing or (after and not after.startswith(":")):
        raise ValueError("the parenthesis after quantised is not closed")
    inner = inner.strip()
    end = _path_end(inner, ":,")
    own = [item.strip(" ,") for item in re.findall(_QUANTISER, inner[end:])]
    inner = (inner[:end] + re.sub(_QUANTISER, "", inner[end:])).strip()
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
    stem = re.sub(r"\.(safetensors|sft|ckpt|pth|pt|bin)$", "", parts[-1] if parts else source)
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


class CodecSpec(BaseModel):
    """One codec to compare: a source that a family of CODECS claims, and its settings.

    It is *by hand* where the one who runs the command wrote it: `parse` of what the command line
    or Python was given makes such a spec, and nothing that is read from a file does. That is no
    part of what a spec says: it is never stored, and equal specs may differ in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    settings: dict[str, Setting] = {}
    name: str = Field(default="", pattern=rf"^({_NAME})?$", max_length=100)
    _is_by_hand: bool = PrivateAttr(default=False)

    def __eq__(self, other: object) -> bool:
        """Compare what specs say, not who gave them."""
        return isinstance(other, CodecSpec) and self.model_dump() == other.model_dump()

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
        """Read `[NAME=]SOURCE[:SETTING,…]` by hand: `mine=./vae:dtype=float16`, `jpeg:q=75`.

        A path that exists is taken as one, whatever characters it has, and a setting's value may
        hold colons. Of `quantised(SOURCE[:SETTING,…], step=0.5)` step and bits are the settings,
        and the rest, with its parentheses, is the source.

        Raises: SuiteError.
        """
        return cls.parse_from_file(text).given_by_hand()

    @classmethod
    def parse_from_file(cls, text: str) -> CodecSpec:
        """Read a spec as `parse` does, of a file, whose author cannot consent for the reader."""
        named = re.match(rf"({_NAME})=(.+)$", text, re.DOTALL)
        if named and _path_end(text, ":") > named.end(1):
            named = None
        name, spec = (named[1], named[2]) if named else ("", text)
        try:
            is_quantised = spec.startswith(QUANTISED) and not _exists(spec)
            source, settings = _quantised(spec) if is_quantised else _plain(spec)
            return cls(name=name, source=source, settings=settings)
        except ValueError as error:
            told = reason_of(error) if isinstance(error, ValidationError) else str(error)
            raise SuiteError(
                f"Cannot read the codec {shortened(text)!r}: {told}. "
                "Expected [NAME=]SOURCE[:SETTING=VALUE,…], e.g. jpeg:q=75 or mine=./vae."
            ) from error

    def given_by_hand(self) -> CodecSpec:
        """Return this spec as one that whoever runs the command has written."""
        spec = self.model_copy()
        spec._is_by_hand = True
        return spec

    @property
    def is_by_hand(self) -> bool:
        """Whether whoever runs the command wrote it."""
        return self._is_by_hand

    @property
    def asks_for_trust(self) -> bool:
        """Whether it lets a checkpoint's own code run, itself or nested at any depth."""
        return self.settings.get(TRUST, False) is not False or TRUST in self.source

    def require_trust(self) -> None:
        """Refuse to run code of a checkpoint on the word of a file. Raises: SuiteError."""
        if self.asks_for_trust and not self.is_by_hand:
            raise SuiteError(
                f"{TRUST} of {self.name} is not taken from a file. Where you have read that code "
                "and trust it, pass the codec by --codec (beside --resume too), or to ab; in "
                "Python as text."
            )
