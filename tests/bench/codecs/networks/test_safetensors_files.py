"""The header of a safetensors file, and every way in which it can be wrong."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from vaebench.bench.codecs.networks.weights import open_weights, read_tensors, read_weights
from vaebench.bench.errors import CodecError

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64),
]


def written(path: Path, header: Any, data: bytes = b"", size: int | None = None) -> Path:
    """Write a file with any header; sparse up to `size` bytes of data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
        if size is not None:
            file.truncate(8 + len(text) + size)
    return path


def entry(shape: list[Any], begin: int, end: int, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("suffix", [".safetensors", ".sft"])
def test_tensors_are_those_that_the_library_wrote(tmp_path: Path, suffix: str) -> None:
    tensors = {
        str(dtype): torch.tensor([[0, 1, 2], [3, 1, 0]]).to(dtype).contiguous() for dtype in DTYPES
    }
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "__odd": torch.ones(1)}
    path = tmp_path / f"a{suffix}"
    save_file(tensors, path, metadata={"format": "pt"})
    read = read_weights([path])
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert (
            read[name]
            .contiguous()
            .flatten()
            .view(torch.uint8)
            .equal(tensor.flatten().view(torch.uint8))
        )


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": entry([2], 0, 8, "F4")}, bytes(8), "its type 'F4' is not one of F64, F32"),
        ({"a": entry([2], 0, 8, ["F32"])}, bytes(8), "its type ['F32'] is not one of"),
        ({"a": entry([3], 0, 8)}, bytes(8), "more or fewer bytes than its shape needs"),
        ({"a": entry([2], 0, 8)}, bytes(4), "do not end where it does"),
        ({"a": entry([2], 0, 8)}, bytes(12), "do not end where it does"),
        ({"a": entry([1], 4, 8)}, bytes(8), "overlap or leave a gap"),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4), "overlap or leave a gap"),
        ({"a": entry([-1, -1], 0, 4)}, bytes(4), "does not describe tensors"),
        ({"a": entry([1.0], 0, 4)}, bytes(4), "does not describe tensors"),
        ({"a": entry([True], 0, 4)}, bytes(4), "does not describe tensors"),
        ({"a": entry([10**30], 0, 4)}, bytes(4), "does not describe tensors"),
        ({"a": entry([1] * 1000, 0, 4)}, bytes(4), "does not describe tensors"),
        ({"a": [1]}, b"", "does not describe tensors"),
        ([1], b"", "its header is no JSON object"),
        (b"[" * 100_000, b"", "its header is nested too deeply"),
        (b"\xff\xfe{}", b"", ""),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, header: Any, data: bytes, reason: str) -> None:
    path = written(tmp_path / "a.safetensors", header, data)
    with pytest.raises(CodecError) as caught:
        open_weights([path])
    assert str(caught.value).startswith(f"Cannot read {path}: no valid safetensors file (")
    assert reason in str(caught.value)


def test_a_header_beyond_what_any_file_needs_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 5 << 30))
        file.truncate(6 << 30)
    with pytest.raises(CodecError, match="its header is larger than 16 MiB"):
        open_weights([path])


def test_of_a_huge_file_the_header_alone_is_read(tmp_path: Path) -> None:
    size = 40_000_000_000
    path = written(tmp_path / "a.safetensors", {"a": entry([size // 4], 0, size)}, size=size)
    content = open_weights([path])
    assert content["a"].shape == (size // 4,)
    with pytest.raises(CodecError, match=r"its tensors have 40 GB, and 16 GiB are the limit"):
        read_tensors(content)
