"""The header of a safetensors file: its tensors' names, types, shapes and places.

Source: https://github.com/huggingface/safetensors, "Format". As there, the tensors' bytes lie one
after the other, without a gap or an overlap, and end with the file.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import torch

from .stored import Storage, StoredTensor, strides_of

# The largest whole checkpoints need 1 MB.
_MAX_HEADER_BYTES = 1 << 24
_MAX_DIMS = 64
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name, none of them read.

    Raises: OSError; ValueError where it is no such file, with the reason.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError("it is shorter than its header says")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header is larger than {_MAX_HEADER_BYTES >> 20} MiB")
        try:
            header = json.loads(file.read(length))
        except RecursionError:
            raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    start = 8 + length
    tensors = {
        name: _tensor(path, start, entry)
        for name, entry in header.items()
        if name != "__metadata__"
    }
    end = start
    for tensor in sorted(tensors.values(), key=lambda one: (one.storage.start, one.nbytes)):
        if tensor.storage.start != end:
            raise ValueError("its tensors overlap or leave a gap")
        end += tensor.nbytes
    if end != size:
        raise ValueError("its tensors do not end where it does")
    return tensors


def _tensor(path: Path, start: int, entry: Any) -> StoredTensor:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise ValueError("its header does not describe tensors") from None
    if len(shape) > _MAX_DIMS or not all(
        type(number) is int and 0 <= number < 1 << 62 for number in (*shape, begin, end)
    ):
        raise ValueError("its header does not describe tensors")
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise ValueError(f"its type {kind!r} is not one of {', '.join(_DTYPES)}")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("a tensor has more or fewer bytes than its shape needs")
    storage = Storage(path, end - begin, dtype, start + begin)
    return StoredTensor(storage, dtype, shape, strides_of(shape))
