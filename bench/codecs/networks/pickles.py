"""What torch.save wrote, as data: dictionaries of tensors whose numbers are not read yet.

The few opcodes of pickle and names of torch that a state dict needs are known here. Whatever else
a file holds is refused before it is made: code, and what would take more memory than the file.

Source: Python's pickletools; torch/serialization.py, of archives (torch 1.6) and of the files
before them, whose numbers follow the pickles.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .stored import Storage, StoredTensor

# A whole checkpoint of 6 GB describes its tensors in 1 MB.
_MAX_PICKLE_BYTES = 1 << 24
_MAX_DIMS = 64
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LOCAL_HEADER_BYTES = 30

_ARGUMENTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"BINGET", "LONG_BINGET"}

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": None,
}
# What an optimizer's state or another kind of tensor brings: known to be harmless, and not made.
_OTHERS = {
    ("collections", "Counter"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.serialization", "_get_layout"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._utils", "_rebuild_nested_tensor"),
}
_TENSORS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}
_PARAMETERS = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
# A tensor with attributes: what made it, its class and what it was made of.
_OF_TYPE = ("torch._tensor", "_rebuild_from_type_v2")
_CLASSES = {("torch", "Tensor"), ("torch.nn.parameter", "Parameter")}


class NotPlain(Exception):
    """A file holds more than dictionaries of tensors, which could run code."""


class Other:
    """What stands for a value that is no tensor and is not made."""


def read_pickle(path: Path) -> Any:
    """Return what torch.save wrote, with a StoredTensor for each tensor.

    Raises: NotPlain; OSError; ValueError, IndexError, KeyError and others for a damaged file.
    """
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return _read_archive(path, file)
        file.seek(0)
        return _read_legacy(path, file)


def _read_archive(path: Path, file: BinaryIO) -> Any:
    size = file.seek(0, io.SEEK_END)
    archive = zipfile.ZipFile(file)
    # The folder about all of them is called as the file was.
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > size or any(entry.compress_type for entry in entries.values()):
        raise ValueError(
            f"its archive would unpack to {unpacked} bytes from a file of {size}, and torch.save "
            "packs nothing"
        )
    if "constants.pkl" in entries:
        raise ValueError("it is a TorchScript program, not a state dict")
    if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
        raise ValueError("its numbers are big-endian")
    head = entries["data.pkl"]
    if head.file_size > _MAX_PICKLE_BYTES:
        raise ValueError(f"its data.pkl is larger than {_MAX_PICKLE_BYTES >> 20} MiB")

    def storage(kind: torch.dtype | None, key: str, count: int) -> Storage:
        entry = entries[f"data/{key}"]
        nbytes = count * (1 if kind is None else kind.itemsize)
        if nbytes > entry.file_size:
            raise ValueError(f"its storage {key} is cut short")
        file.seek(entry.header_offset)
        local = file.read(_LOCAL_HEADER_BYTES)
        lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        return Storage(path, nbytes, kind, entry.header_offset + _LOCAL_HEADER_BYTES + lengths)

    return _unpickle(io.BytesIO(archive.read(head)), storage)


def _read_legacy(path: Path, file: BinaryIO) -> Any:
    stream = io.BytesIO(file.read(_MAX_PICKLE_BYTES))
    storages: dict[str, Storage] = {}

    def storage(kind: torch.dtype | None, key: str, count: int) -> Storage:
        nbytes = count * (1 if kind is None else kind.itemsize)
        return storages.setdefault(key, Storage(path, nbytes, kind))

    if _unpickle(stream, storage) != _LEGACY_MAGIC:
        raise ValueError("it does not begin as what torch.save writes")
    # Its protocol, and the machine that wrote it.
    _unpickle(stream, storage)
    _unpickle(stream, storage)
    content = _unpickle(stream, storage)
    keys = _unpickle(stream, storage)
    place = stream.tell()
    for key in keys:
        file.seek(place)
        count = int.from_bytes(file.read(8), "little")
        known = storages[key]
        width = 1 if known.dtype is None else known.dtype.itemsize
        if count * width != known.nbytes:
            raise ValueError(f"its storage {key} has another size than is said")
        known.start = place + 8
        place = known.start + known.nbytes
    return content


def _unpickle(stream: BinaryIO, storage: Callable[[torch.dtype | None, str, int], Storage]) -> Any:
    """Return the next pickle of a stream.

    Args:
        storage: returns the storage of a type, a key and a number of elements.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _ARGUMENTS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(_since(stack, marks.pop())))
        elif name in _TUPLES:
            stack.append(tuple(_since(stack, len(stack) - _TUPLES[name])))
        elif name in ("APPEND", "SETITEM"):
            _fill(stack, len(stack) - (1 if name == "APPEND" else 2), name)
        elif name in ("APPENDS", "SETITEMS"):
            _fill(stack, marks.pop(), name)
        elif name in _PUTS:
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ")))
        elif name == "STACK_GLOBAL":
            stack.append(_named(*_since(stack, len(stack) - 2)))
        elif name == "REDUCE":
            function, arguments = _since(stack, len(stack) - 2)
            stack.append(_made(function, arguments))
        elif name == "BINPERSID":
            _, kind, key, _, count, *_ = stack.pop()
            stack.append(storage(_dtype_of(kind), key, count))
        elif name == "BUILD":
            # The attributes of an OrderedDict; that of a state dict is its modules' versions.
            stack.pop()
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise NotPlain(name)
    raise ValueError("it is cut short")


def _since(stack: list[Any], place: int) -> list[Any]:
    if place < 0:
        raise IndexError(place)
    values = stack[place:]
    del stack[place:]
    return values


def _fill(stack: list[Any], place: int, opcode: str) -> None:
    values, target = _since(stack, place), stack[-1]
    if opcode.startswith("APPEND"):
        if type(target) is not list:
            raise ValueError("what is no list is appended to")
        target.extend(values)
        return
    keys = values[::2]
    # Nested tuples that share their parts would be hashed for ever.
    if type(target) is not dict or not all(isinstance(key, str | int | float) for key in keys):
        raise ValueError("a dictionary's keys are neither names nor numbers")
    target.update(zip(keys, values[1::2], strict=True))


def _named(module: Any, name: Any) -> tuple[str, str]:
    """Return a name that a state dict needs. Raises: NotPlain."""
    named = module, name
    is_storage = module in ("torch", "torch.cuda", "torch.storage") and name in _STORAGES
    is_made = module == "torch._utils" and name in _TENSORS | _PARAMETERS
    is_dict = named == ("collections", "OrderedDict")
    is_dtype = module == "torch" and isinstance(getattr(torch, str(name), None), torch.dtype)
    is_known = named in _OTHERS | _CLASSES or named == _OF_TYPE
    if is_storage or is_made or is_dict or is_dtype or is_known:
        return named
    raise NotPlain(f"{module}.{name}")


def _dtype_of(named: Any) -> torch.dtype | None:
    return _STORAGES[named[1]]


def _made(function: Any, arguments: Any) -> Any:
    """Return what a call that a pickle asks for gives. Raises: NotPlain."""
    if function in _CLASSES:
        raise NotPlain(".".join(function))
    _, name = function
    if name == "OrderedDict":
        if arguments != ():
            raise ValueError("an OrderedDict is made of something")
        return {}
    if name in _PARAMETERS:
        return arguments[0]
    if name in _TENSORS:
        return _tensor(name, *arguments)
    if function == _OF_TYPE and arguments[0] != _OF_TYPE:
        return _made(arguments[0], arguments[2])
    return Other()


def _tensor(
    name: str, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> StoredTensor | Other:
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or len(numbers) > 2 * _MAX_DIMS:
        raise ValueError("a tensor is of no storage")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        raise ValueError("a tensor's sides are no numbers")
    dtype = storage.dtype
    if name == "_rebuild_tensor_v3":
        dtype = getattr(torch, rest[2][1], None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError("a tensor is of no type")
    tensor = StoredTensor(storage, dtype, tuple(shape), tuple(strides), offset)
    # Of one number for all places, or more places than numbers, memory could be asked for.
    return tensor if tensor.is_whole else Other()
