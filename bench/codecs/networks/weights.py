"""Reading weight files as data, and loading them whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import CodecError, first_line, listed
from ...images.find import file_sha256
from .pickles import NotPlain, read_pickle
from .safetensors_files import read_safetensors
from .stored import StoredTensor

_MAX_BYTES = 1 << 34
# More numbers than any autoencoder has: 16 GB as float32.
_MAX_NUMBERS = 1 << 32


def open_weights(files: Sequence[Path]) -> dict[Any, Any]:
    """Return what one file, or the shards of one checkpoint, hold; of no tensor is anything read.

    Pickles are read as data and run no code.

    Returns: by name StoredTensor; of a pickle also what else stands beside tensors, and nested
        dictionaries.
    Raises: CodecError where a file is damaged or no checkpoint.
    """
    contents: dict[Any, Any] = {}
    for path in files:
        found = _open(path)
        if twice := contents.keys() & found.keys():
            told = listed(map(str, twice))
            raise CodecError(f"Cannot load {path}: {told} is in another file as well.")
        contents |= found
    return contents


def _open(path: Path) -> dict[Any, Any]:
    is_safetensors = path.suffix in (".safetensors", ".sft")
    what = "safetensors file" if is_safetensors else "checkpoint"
    try:
        content = read_safetensors(path) if is_safetensors else read_pickle(path)
    except NotPlain as error:
        raise CodecError(
            f"Cannot load {path}: it is no plain pickle of tensors, and anything more could run "
            "code. Convert it to safetensors where you trust its author."
        ) from error
    except OSError as error:
        raise CodecError(_unreadable(path, error)) from error
    except Exception as error:
        # A damaged file trips what reads it in any way.
        told = first_line(error).rstrip(".")
        if isinstance(error, LookupError | TypeError | AttributeError):
            told = "it is damaged or no pickle of tensors"
        raise CodecError(f"Cannot read {path}: no valid {what} ({told}).") from error
    if not isinstance(content, dict):
        raise CodecError(
            f"Cannot load {path}: tensors by name are expected, got {type(content).__name__}."
        )
    return content


def require_tensors(content: Mapping[Any, Any], source: object) -> dict[str, StoredTensor]:
    """Return the tensors of a plain checkpoint, or of its state_dict, by name.

    Raises: CodecError where there is anything else.
    """
    nested = content.get("state_dict")
    content = nested if isinstance(nested, dict) else content
    if unnamed := [str(name) for name in content if not isinstance(name, str)]:
        raise CodecError(f"Cannot load {source}: {listed(unnamed)} is no tensor's name.")
    if other := [name for name, value in content.items() if not isinstance(value, StoredTensor)]:
        raise CodecError(f"Cannot load {source}: {listed(other)} is no tensor.")
    return dict(content)


def read_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """Return the tensors of one file, or of the shards of one checkpoint, by name.

    Raises: CodecError where a file is damaged, no checkpoint, or holds NaN or inf.
    """
    return read_tensors(require_tensors(open_weights(files), files[0]))


def read_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """Return tensors with their numbers.

    Raises: CodecError where they are cut short, more than files or memory hold, or NaN or inf.
    """
    paths = {tensor.storage.path: None for tensor in tensors.values()}
    source = next(iter(paths), "nothing")
    wanted, held = sum(one.nbytes for one in tensors.values()), sum(map(_size, paths))
    if wanted > _MAX_BYTES:
        raise CodecError(
            f"Cannot load {source}: its tensors have {wanted / 1e9:.0f} GB, and "
            f"{_MAX_BYTES >> 30} GiB are the limit for an autoencoder."
        )
    # Tied weights are there once and read twice.
    if wanted > 2 * held:
        raise CodecError(
            f"Cannot load {source}: its tensors overlap, they have {wanted} bytes and its files "
            f"{held}. Save them anew, each contiguous."
        )
    try:
        read = {name: tensor.read() for name, tensor in tensors.items()}
    except OSError as error:
        raise CodecError(_unreadable(Path(source), error)) from error
    bad = [name for name, tensor in read.items() if not _is_finite(tensor)]
    if bad:
        raise CodecError(
            f"Cannot load {source}: {_count(bad, 'tensor')} with NaN or inf: {listed(bad)}. "
            "The file is damaged or its training diverged."
        )
    return read


def _size(path: Path) -> int:
    return path.stat().st_size


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


def built_to_fit(
    build: Callable[[], nn.Module], tensors: Mapping[str, StoredTensor], source: str
) -> nn.Module:
    """Return a module that `build` makes with its weights.

    Before anything is read, or memory is taken, their shapes are compared.

    Raises: CodecError as `check_fit` and `read_tensors` do.
    """
    with torch.device("meta"):
        outline = build()
    check_fit(outline, outlines(tensors), source)
    with InitSkipped():
        module = build()
    load_strict(module, read_tensors(tensors), source)
    return module


def outlines(tensors: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """Return tensors without their numbers, on the meta device."""
    return {name: tensor.outline() for name, tensor in tensors.items()}


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy the tensors into the module; they must be exactly those that it has.

    Raises: CodecError as `check_fit` does.
    """
    check_fit(module, tensors, source)
    module.load_state_dict(_without_ignored(module, tensors), strict=True)


def _without_ignored(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ignored: Sequence[str] = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
    return {name: tensor for name, tensor in tensors.items() if name not in ignored}


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Compare tensors with those that a module has; either may be on the meta device.

    Raises: CodecError that lists the missing, the unexpected and the wrongly shaped ones.
    """
    given = _without_ignored(module, tensors)
    wanted = module.state_dict()
    asked, held = (sum(one.numel() for one in some.values()) for some in (wanted, given))
    if asked > max(_MAX_NUMBERS, held):
        raise CodecError(
            f"Cannot open {source}: {type(module).__name__} cannot be built from its config, which "
            f"asks for {asked} numbers; the file holds {held}, and {_MAX_NUMBERS} are the limit."
        )
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
        f"{_count(names, 'tensor')} {what} ({listed(names)})"
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
