"""From a found checkpoint to a loaded diffusers model of the class that its config names.

diffusers takes seconds to import, so it waits until the weights are read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...errors import CodecError, first_line, listed, shortened, unknown_name
from ..networks.weights import (
    InitSkipped,
    check_fit,
    load_strict,
    open_weights,
    outlines,
    read_tensors,
    require_tensors,
)
from .layouts import Layout, choose, layouts_of
from .ldm import infer_config, to_diffusers
from .sources import Checkpoint

# A config that asks for billions would be built for hours.
_MAX_LAYERS = 100
_MAX_LEVELS = 32
_READ_FIRST_BYTES = 1 << 30

Rename = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Design:
    """What a layout's tensors are of: a class, its config, and the names that it gives them."""

    model_class: Any
    config: dict[str, Any]
    rename: Rename
    notes: list[str]

    def build(self) -> Any:
        """Return the model, its parameters unfilled; on the meta device where that is set."""
        known = inspect.signature(self.model_class.__init__).parameters
        return self.model_class.from_config(
            {key: self.config[key] for key in self.config if key in known}
        )


def build_model(source: str, found: Checkpoint, trust_remote_code: bool) -> tuple[Any, list[str]]:
    """Return the model with all its weights, in float32, and notes on what was assumed.

    Shapes are compared before the model, or much of the file, takes memory.

    Raises: CodecError where the class is unknown, its config does not fit it, or a tensor is
    missing, unexpected or of the wrong shape.
    """
    content = open_weights(found.files)
    layouts = layouts_of(content)
    if not any(layout.tensors for layout in layouts):
        # Whatever it holds instead is told.
        require_tensors(content, found.files[0])
    likely = layouts[0]
    # Damage is told without diffusers, where looking for it takes little memory.
    values = read_tensors(likely.tensors) if likely.nbytes <= _READ_FIRST_BYTES else None
    fit = partial(_design, source, found, trust_remote_code)
    layout, design, notes = choose(source, layouts, fit)
    if values is None or layout is not likely:
        values = read_tensors(layout.tensors)
    with InitSkipped():
        model = _built(source, design)
    load_strict(model, design.rename(values), source)
    return model, [*design.notes, *notes, *_ignored(design, model)]


def _design(source: str, found: Checkpoint, trust_remote_code: bool, layout: Layout) -> Design:
    """Return what a layout is exactly. Raises: CodecError."""
    stored = outlines(layout.tensors)
    renamed = to_diffusers(stored)
    config, notes = found.config, list[str]()
    if config is None:
        config, notes = infer_config(renamed, source, layout.others)
    _check_depth(source, config)
    model_class = _find_class(source, found, config, trust_remote_code)
    design = Design(model_class, config, dict, notes)
    # A checkpoint's own code need not work without numbers.
    with torch.device("meta") if model_class.__module__.startswith("diffusers.") else InitSkipped():
        outline = _built(source, design)
    # Some classes keep CompVis' names: those layouts are told apart by what the model wants.
    wanted = outline.state_dict().keys()
    if len(renamed.keys() - wanted) < len(stored.keys() - wanted):
        design = Design(model_class, config, to_diffusers, notes)
    check_fit(outline, design.rename(stored), source)
    return design


def _built(source: str, design: Design) -> Any:
    name = design.model_class.__name__
    try:
        return design.build()
    except (ImportError, NameError) as error:
        # Where transformers is absent, diffusers leaves its names undefined.
        raise CodecError(
            f"Cannot open {source}: {name} needs a package that is not installed "
            f"({error}). Try: pip install transformers."
        ) from error
    except Exception as error:
        # What a config holds can trip a class in any way.
        raise CodecError(
            f"Cannot open {source}: {name} cannot be built from its config "
            f"({type(error).__name__}: {shortened(first_line(error).rstrip('.'))})."
        ) from error


def _ignored(design: Design, model: Any) -> list[str]:
    """Return a note on what diffusers ignores of a config."""
    import diffusers

    known = {**inspect.signature(design.model_class.__init__).parameters, **model.config}
    # A key that a class writes into its own config is not foreign to it.
    foreign = [key for key in design.config if key[:1] != "_" and key not in known]
    told = (
        f"diffusers {diffusers.__version__} ignores of its config: [{listed(map(repr, foreign))}]"
    )
    return [told] if foreign else []


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
                    f"Cannot open {source}: its config asks for over {most} in "
                    f"{shortened(key)!r}; "
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

    name = shortened(str(config.get("_class_name", "")))
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
    module, _, name = shortened(str(reference)).rpartition(".")
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
