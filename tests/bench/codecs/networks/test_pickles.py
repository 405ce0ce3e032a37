"""What torch.save writes is read as data, equal to what torch reads; all else is refused."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from vaebench.bench.codecs.networks import pickles
from vaebench.bench.codecs.networks.pickles import NotPlain, Other, read_pickle
from vaebench.bench.codecs.networks.stored import StoredTensor
from vaebench.bench.codecs.networks.weights import open_weights, read_tensors, read_weights
from vaebench.bench.errors import CodecError

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    *(torch.uint16, torch.float8_e4m3fn),
]


def state() -> dict[str, Any]:
    """A state dict of every type, of views, of tied weights and of nothing."""
    base = torch.arange(24, dtype=torch.float32)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    marked, parameter = torch.ones(3), nn.Parameter(torch.ones(4))
    for one in (marked, parameter):
        one.is_shared = True  # pyright: ignore[reportAttributeAccessIssue]
    tensors: dict[str, Any] = {str(dtype): torch.tensor([0, 1, 1]).to(dtype) for dtype in DTYPES}
    return {
        **tensors,
        **module.state_dict(),
        "view": base[4:16].view(3, 4),
        "transposed": base.view(4, 6).t(),
        "every second": base[1::2],
        "tied": base,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 5),
        "parameter": nn.Parameter(torch.ones(2)),
        "marked": marked,
        "marked parameter": parameter,
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "legacy"])
def test_tensors_are_those_that_torch_reads(
    tmp_path: Path, is_archive: bool, protocol: int
) -> None:
    path = tmp_path / "a.pth"
    written = state()
    torch.save(written, path, _use_new_zipfile_serialization=is_archive, pickle_protocol=protocol)
    read = read_weights([path])
    assert list(read) == list(written)
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        ours, theirs = (
            one.detach().flatten().contiguous().view(torch.uint8) for one in (read[name], tensor)
        )
        assert torch.equal(ours, theirs)


def test_what_stands_beside_tensors_is_kept_or_stood_for(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2)).sum().backward()
    optimizer.step()
    written = {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "loss": 0.5,
        "names": ["a", ("b", None, True, -70000, 2**40)],
        "milestones": Counter([3, 3, 5]),
        "size": torch.Size([2, 3]),
        "sparse": torch.eye(2).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "one for all": torch.zeros(1).expand(10**12),
    }
    torch.save(written, tmp_path / "a.ckpt")
    read = read_pickle(tmp_path / "a.ckpt")
    assert list(read) == list(written)
    assert read["epoch"] == 3
    assert read["loss"] == 0.5
    assert read["names"] == written["names"]
    for name in ("milestones", "size", "sparse", "meta", "one for all"):
        assert isinstance(read[name], Other)
    assert isinstance(read["optimizer"]["state"][0]["exp_avg"], StoredTensor)
    tensors = read_tensors(read["model"])
    assert torch.equal(tensors["weight"], module.weight)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(CodecError) as caught:
        open_weights([path])
    return str(caught.value)


def archived(content: bytes, *entries: tuple[str, bytes], packed: int = 0) -> bytes:
    """Return an archive as torch.save writes one, with any pickle in it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", packed) as archive:
        archive.writestr("a/data.pkl", content)
        for name, data in entries:
            archive.writestr(f"a/{name}", data)
    return sink.getvalue()


class Reduced:
    """Pickled, it is a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


CALLS = [
    Reduced(bytearray, 20_000_000_000),
    Reduced(bytes, 20_000_000_000),
    Reduced(set, [1]),
    Reduced(range, 5),
    Reduced(eval, "1"),
    Reduced(torch.zeros, 10**10),
    Reduced(torch.Tensor, 10**10),
    Reduced(getattr, "a", "b"),
    Reduced(torch.load, "x"),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.call[0].__name__)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_call_that_no_state_dict_needs_is_refused(
    tmp_path: Path, call: Reduced, protocol: int
) -> None:
    for value in (call, {"a": call}, [call], {"state_dict": {"a": call}}):
        data = pickle.dumps(value, protocol)
        for content in (data, archived(data)):
            assert "no plain pickle of tensors" in refused(tmp_path / "a.pt", content)


def test_a_tensor_larger_than_its_storage_is_not_made(tmp_path: Path) -> None:
    """torch's own reader grows the storage to what is asked for."""
    for shape, strides in [
        ((5_000_000_000,), (1,)),
        ((2, 2), (4_000_000_000, 1)),
        ((10**9,), (0,)),
        ((10**18, 10**18), (1, 1)),
    ]:
        content = b"".join(
            [
                b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(",
                b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000",
                b"X\x03\x00\x00\x00cpuK\x01tQK\x00",
                pickle.dumps(shape, 2)[2:-1],
                pickle.dumps(strides, 2)[2:-1],
                b"\x89}tRs.",
            ]
        )
        path = tmp_path / "a.pt"
        path.write_bytes(archived(content, ("data/0", bytes(4))))
        assert isinstance(read_pickle(path)["a"], Other)


@pytest.mark.parametrize("is_bomb_data", [True, False])
def test_an_archive_holds_no_more_than_its_file(tmp_path: Path, is_bomb_data: bool) -> None:
    bomb = bytes(50_000_000)
    packed = zipfile.ZIP_DEFLATED
    content = (
        archived(bomb, packed=packed)
        if is_bomb_data
        else archived(pickle.dumps({}), ("data/0", bomb), packed=packed)
    )
    told = refused(tmp_path / "a.pt", content)
    assert "its archive would unpack to 5000" in told
    assert f"from a file of {len(content)}" in told


def test_entries_that_overlap_are_a_bomb_too(tmp_path: Path) -> None:
    content = bytearray(archived(pickle.dumps({}), ("data/0", bytes(5000)), ("data/1", b"")))
    # The second entry is said to be the first one, in the directory.
    directory = content.index(b"PK\x01\x02")
    first = content.index(b"a/data/0", directory) - 46
    second = content.index(b"a/data/1", directory) - 46
    content[second + 16 : second + 28] = content[first + 16 : first + 28]
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    assert "its archive would unpack to" in refused(tmp_path / "a.pt", bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        # A bytearray and bytes that are said to be huge.
        b"\x80\x05\x96\x00\x00\x00\x00\x05\x00\x00\x00.",
        b"\x80\x04\x8e\x00\x00\x00\x00\x05\x00\x00\x00.",
        b"\x80\x02X\xff\xff\xff\x7fa.",
        # An instance, an extension, a set: no state dict has them.
        b"\x80\x02(cbuiltins\nlist\no.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x8f.",
        # Empty stacks and marks.
        b"\x80\x02R.",
        b"\x80\x02s.",
        b"\x80\x02t.",
        b"\x80\x02}K\x01a.",
        b"\x80\x02h\x05.",
        b"\x80\x02}",
    ],
)
def test_pickles_made_up_are_refused(tmp_path: Path, content: bytes) -> None:
    for whole in (content, archived(content)):
        assert "Cannot " in refused(tmp_path / "a.pt", whole)


def test_a_place_in_the_memo_beyond_all_memory_is_one_place(tmp_path: Path) -> None:
    """A reader that keeps the memo as a list would ask for 32 GB."""
    assert read_pickle(_written(tmp_path / "a.pt", archived(b"\x80\x02}r\xff\xff\xff\x7f."))) == {}


def test_keys_that_would_be_hashed_for_ever_are_refused(tmp_path: Path) -> None:
    doubled = b"K\x01K\x01\x86" + b"q\x01h\x01\x86" * 60
    content = b"\x80\x02}" + doubled + b"K\x01s."
    assert "keys are neither names nor numbers" in refused(tmp_path / "a.pt", archived(content))


def test_a_list_that_is_copied_again_and_again_is_not_made(tmp_path: Path) -> None:
    """Each of 6 bytes would ask for a copy of all."""
    listed = b"](" + b"N" * 100_000 + b"eq\x00ctorch\nSize\nq\x01"
    content = b"\x80\x02" + listed + b"h\x01h\x00\x85R0" * 100_000 + b"."
    path = tmp_path / "a.pt"
    told = refused(path, archived(content))
    # POP is no opcode of a state dict.
    assert "no plain pickle" in told


def test_a_legacy_file_is_bounded_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(100)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    place = len(whole) - 408
    assert struct.unpack_from("<q", whole, place) == (100,)
    changed = whole[:place] + struct.pack("<q", 10**12) + whole[place + 8 :]
    assert "has another size than is said" in refused(path, changed)
    path.write_bytes(whole[:-100])
    with pytest.raises(CodecError, match="it is cut short"):
        read_weights([path])


def test_a_program_and_big_ends_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    data = pickle.dumps({}, 2)
    assert "it is a TorchScript program" in refused(path, archived(data, ("constants.pkl", b"")))
    assert "are big-endian" in refused(path, archived(data, ("byteorder", b"big")))


def test_every_cut_and_every_changed_byte_is_a_sentence_or_the_same_tensors(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.pt"
    for is_archive in (True, False):
        torch.save(
            OrderedDict(a=torch.arange(4.0), b=nn.Parameter(torch.ones(2, 2))),
            path,
            _use_new_zipfile_serialization=is_archive,
        )
        whole = path.read_bytes()
        for at in range(0, len(whole), 3):
            for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]):
                path.write_bytes(changed)
                try:
                    read = read_weights([path])
                except CodecError as error:
                    assert str(error).startswith("Cannot ")
                else:
                    assert sum(tensor.numel() for tensor in read.values()) <= len(whole)


def test_the_limits_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "_MAX_PICKLE_BYTES", 1 << 20)
    content = pickle.dumps({"a": "b" * (1 << 20)}, 2)
    assert "its data.pkl is larger than 1 MiB" in refused(tmp_path / "a.pt", archived(content))
    with pytest.raises(NotPlain):
        read_pickle(_written(tmp_path / "b.pt", archived(pickle.dumps(print, 2))))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
