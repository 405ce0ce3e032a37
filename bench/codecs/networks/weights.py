"""Reading weight files as data, and loading them whole or not at all."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import CodecError
from ...images.find import file_sha256

_NAMED = 10

Keep = Callable[[Sequence[str]], Iterable[str]]


def read_weights(files: Sequence[Path], keep: Keep = lambda names: names) -> dict[str, Tensor]:
    """Return the tensors of one file, or of the shards of one checkpoint, by name.

    Pickles are read by torch's restricted unpickler, which runs no code of the file.

    Args:
        keep: chooses among a file's tensor names, so that the rest of a large checkpoint is
            never read where the format allows that.
    Raises: CodecError where a file is damaged, no checkpoint, or holds NaN or inf.
    """
    tensors: dict[str, Tensor] = {}
    for path in files:
        read = _read_safetensors if path.suffix == ".safetensors" else _read_pickle
        found = read(path, keep)
        if twice := tensors.keys() & found.keys():
            raise CodecError(f"Cannot load {path}: {_listed(twice)} is in another file as well.")
        tensors |= found
    bad = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if bad:
        raise CodecError(
            f"Cannot load {files[0]}: {_count(bad, 'tensor')} with NaN or inf: {_listed(bad)}. "
            "The file is damaged or its training diverged."
        )
    return tensors


def _read_safetensors(path: Path, keep: Keep) -> dict[str, Tensor]:
    try:
        # safetensors calls a file without reading rights one that is not there.
        path.open("rb").close()
        with safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType]
            return {name: file.get_tensor(name) for name in keep(list(file.keys()))}
    except OSError as error:
        raise CodecError(_unreadable(path, error)) from error
    except SafetensorError as error:
        raise CodecError(f"Cannot read {path}: no valid safetensors file ({error}).") from error


def _read_pickle(path: Path, keep: Keep) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # Of pickle protocols; what cannot be read is an error anyway.
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CodecError(
            f"Cannot load {path}: it is no plain pickle of tensors, and anything more could run "
            "code. Convert it to safetensors where you trust its author."
        ) from error
    except OSError as error:
        raise CodecError(_unreadable(path, error)) from error
    except Exception as error:
        # torch's unpickler raises whatever a damaged file trips: KeyError, IndexError, ….
        detail = str(error).strip().splitlines()[0].partition(". ")[0] if str(error) else "empty"
        if isinstance(error, LookupError):
            detail = "no pickle of tensors"
        raise CodecError(f"Cannot read {path}: no valid checkpoint ({detail}).") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise CodecError(
            f"Cannot load {path}: tensors by name are expected, got {type(content).__name__}."
        )
    unnamed = [repr(name) for name in content if not isinstance(name, str)]
    if unnamed:
        raise CodecError(f"Cannot load {path}: {_listed(unnamed)} is no tensor's name.")
    kept = {name: content[name] for name in keep(list(content))}
    other = [name for name, value in kept.items() if not _is_whole(value)]
    if other:
        raise CodecError(f"Cannot load {path}: {_listed(other)} is no tensor.")
    return kept


def _is_whole(value: Any) -> bool:
    """Tell whether all numbers of a tensor are there: none sparse, elsewhere or in fewer bytes."""
    return (
        isinstance(value, Tensor)
        and not value.is_nested
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _unreadable(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"Cannot read {path}: {reason[0].lower()}{reason[1:]}. Check the path and its rights."


class InitSkipped(TorchFunctionMode):
    """Leave the parameters of what is built meanwhile unfilled: weights are loaded over them.

    Random numbers for 350 million parameters take over a second. Buffers are filled: a file need
    not hold them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a parameter as it is in place of torch.nn.init's work on it; do all else."""
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else given.get("tensor")
            if isinstance(tensor, nn.Parameter):
                return tensor
        return func(*args, **given)


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy the tensors into the module; they must be exactly those that it has.

    Raises: CodecError that lists the missing, the unexpected and the wrongly shaped ones.
    """
    ignored: Sequence[str] = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
    given = {name: tensor for name, tensor in tensors.items() if name not in ignored}
    wanted = module.state_dict()
    # BatchNorm's step counter plays no part in evaluation, and many files leave it out.
    missing = [
        name for name in wanted if name not in given and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in given if name not in wanted]
    misshaped = [
        f"{name}: expected {list(wanted[name].shape)}, got {list(tensor.shape)}"
        for name, tensor in given.items()
        if name in wanted and wanted[name].shape != tensor.shape
    ]
    whole_numbers = [
        f"{name}: {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in given.items()
        if name in wanted and wanted[name].is_floating_point() and not tensor.is_floating_point()
    ]
    faults = [
        f"{_count(names, 'tensor')} {what} ({_listed(names)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrongly shaped", misshaped),
            ("of whole numbers", whole_numbers),
        )
        if names
    ]
    if faults:
        raise CodecError(
            f"Cannot load {source} as {type(module).__name__}: {'; '.join(faults)}. "
            "The file or its config belongs to another model."
        )
    module.load_state_dict(given, strict=True)


def count_params(module: nn.Module) -> int:
    """Return the number of parameters, buffers not counted."""
    return sum(parameter.numel() for parameter in module.parameters())


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.float()).all())


def fingerprint(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a file.

    Of several files, that of their hexadecimal digests joined in order of their names.
    """
    digests = [file_sha256(path) for path in sorted(files, key=lambda path: path.name)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")
