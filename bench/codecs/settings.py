"""Reading a codec's settings: every wrong one is answered with the valid ones."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from ..errors import CodecError, unknown_name
from ..records import Settings


def _no_bool(value: Any) -> Any:
    # A bare word in a spec means True, and pydantic would read that as the number 1.
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Float = Annotated[float, BeforeValidator(_no_bool)]
# A spec reads 1234567 as a number, which may be a revision all the same.
Word = Annotated[str, BeforeValidator(lambda given: str(given) if type(given) is int else given)]


class CodecSettings(BaseModel):
    """The settings of one family; a name that is none of its fields is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsT = TypeVar("SettingsT", bound=CodecSettings)


def read_settings(model: type[SettingsT], name: str, settings: Settings, example: str) -> SettingsT:
    """Return the settings checked against a family's model.

    Args:
        name: the codec's name in the run.
        settings: as given.
        example: a spec that is right, shown when a setting is unknown.
    Raises: CodecError that lists the valid settings, and the nearest to an unknown one.
    """
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        raise CodecError(_sentence(error, model, name, example)) from None


def _sentence(error: ValidationError, model: type[CodecSettings], name: str, example: str) -> str:
    valid = sorted(model.model_fields)
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        if not valid:
            return f"Cannot open {name}: {example} takes no settings, got {key!r}."
        unknown = unknown_name("setting", key, valid)
        return f"Cannot open {name}: {unknown[0].lower()}{unknown[1:]} Write, say, {example}."
    told = first["msg"].removeprefix("Value error, ")
    told = told[0].lower() + told[1:]
    if first["type"] == "missing":
        told = f"the setting {key} is missing"
    elif key:
        told = f"setting {key}={first['input']!r}: {told}"
    return f"Cannot open {name}: {told}. Settings: {', '.join(valid)}; say, {example}."
