"""From a found checkpoint to a loaded diffusers model of the class that its config names.

diffusers takes seconds to import, so it waits until the weights are read.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...errors import CodecError, first_line, unknown_name
from ..networks.weights import InitSkipped, load_strict, read_weights
from .ldm import infer_config, keep_autoencoder, to_diffusers, without_prefix
from .sources import Checkpoint

# A config that asks for billions would be built for hours.
_MAX_LAYERS = 100
_MAX_LEVELS = 32


def build_model(source: str, found: Checkpoint, trust_remote_code: bool) -> tuple[Any, list[str]]:
    """Return the model with all its weights, in float32, and notes on what was assumed.

    Raises: CodecError where the class is unknown, its config does not fit it, or a tensor is
    missing, unexpected or of the wrong shape.
    """
    stored = without_prefix(read_weights(found.files, keep_autoencoder))
    renamed = to_diffusers(stored)
    notes: list[str] = []
    config = found.config
    if config is None:
        config, notes = infer_config(renamed, source)
    _check_depth(source, config)

    import diffusers

    model_class = _find_class(source, found, config, trust_remote_code)
    known = inspect.signature(model_class.__init__).parameters
    try:
        with InitSkipped():
            model = model_class.from_config({key: config[key] for key in config if key in known})
    except (ImportError, NameError) as error:
        # Where transformers is absent, diffusers leaves its names undefined.
        raise CodecError(
            f"Cannot open {source}: {model_class.__name__} needs a package that is not installed "
            f"({error}). Try: pip install transformers."
        ) from error
    except Exception as error:
        # What a config holds can trip a class in any way.
        raise CodecError(
            f"Cannot open {source}: {model_class.__name__} cannot be built from its config "
            f"({type(error).__name__}: {first_line(error).rstrip('.')})."
        ) from error
    # A key that a class writes into its own config is not foreign to it.
    ignored = [key for key in config if key[0] != "_" and key not in {**known, **model.config}]
    if ignored:
        notes.append(f"diffusers {diffusers.__version__} ignores of its config: {ignored}")
    load_strict(model, _closer(model.state_dict(), stored, renamed), source)
    return model, notes


def _closer(
    wanted: Mapping[str, Tensor], stored: dict[str, Tensor], renamed: dict[str, Tensor]
) -> dict[str, Tensor]:
    # Some classes keep CompVis' names: those layouts are told apart by what the model wants.
    return min(stored, renamed, key=lambda tensors: len(tensors.keys() - wanted.keys()))


def _check_depth(source: str, config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        values: list[Any] = value if isinstance(value, list) else [value]
        layers = max((one for one in values if isinstance(one, int)), default=0)
        for what, count, most in (
            ("layers", layers, _MAX_LAYERS),
            ("block", len(values), _MAX_LEVELS),
        ):
            if what in key and count > most:
                raise CodecError(
                    f"Cannot open {source}: its config asks for over {most} in {key!r}; "
                    "a model of that depth is not expected."
                )


def _find_class(
    source: str, found: Checkpoint, config: dict[str, Any], trust_remote_code: bool
) -> Any:
    """Return diffusers' class of the name that a config gives, or the checkpoint's own.

    Only autoencoders: of all that diffusers has, a config could name what does anything.
    """
    from diffusers.models import autoencoders
    from diffusers.models.modeling_utils import ModelMixin

    name = str(config.get("_class_name", ""))
    model_class = getattr(autoencoders, name, None)
    if model_class is None and "auto_map" in config:
        model_class = _remote_class(source, found, config, trust_remote_code)
    is_model = inspect.isclass(model_class) and issubclass(model_class, ModelMixin)
    if not is_model or not all(hasattr(model_class, method) for method in ("encode", "decode")):
        valid = [one for one in dir(autoencoders) if one.startswith(("Auto", "Asym", "VQ"))]
        told = unknown_name("autoencoder class", name, valid)
        raise CodecError(f"Cannot open {source}: {told[0].lower()}{told[1:]}")
    return model_class


def _remote_class(
    source: str, found: Checkpoint, config: dict[str, Any], trust_remote_code: bool
) -> Any:
    reference = config["auto_map"]
    reference = next(iter(reference.values()), "") if isinstance(reference, dict) else reference
    module, _, name = str(reference).rpartition(".")
    if not trust_remote_code:
        raise CodecError(
            f"Cannot open {source}: its class {name!r} is code that comes with the checkpoint "
            f"({module + '.py'!r}). Where you have read it and trust it, pass trust_remote_code."
        )
    file = found.fetch(f"{module}.py")
    if file is None:
        raise CodecError(
            f"Cannot open {source}: its config names {module + '.py'!r}, which is not there."
        )
    from diffusers.utils.dynamic_modules_utils import get_class_from_dynamic_module

    # Recent versions of diffusers ask for the consent themselves.
    known = inspect.signature(get_class_from_dynamic_module).parameters
    consent: dict[str, Any] = {"trust_remote_code": True} if "trust_remote_code" in known else {}
    # A checkpoint's own code may fail in any way.
    try:
        return get_class_from_dynamic_module(
            str(file.parent), module_file=file.name, class_name=name, **consent
        )
    except Exception as error:
        raise CodecError(
            f"Cannot open {source}: its own code {file.name} does not load "
            f"({type(error).__name__}: {error})."
        ) from error
