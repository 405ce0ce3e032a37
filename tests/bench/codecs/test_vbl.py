"""A .vbl file gives back what was written, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.codecs.vbl import (
    VERSION,
    LatentFile,
    from_bytes,
    read_latent_file,
    to_bytes,
    weights_prefix,
)
from vaebench.bench.errors import CodecError

FILE = LatentFile(
    spec="quantised(./вес/vae:dtype=float16):step=0.5",
    weights="ab" * 16,
    width_px=768,
    height_px=512,
    payload=bytes(range(200)) * 4,
)


@given(
    st.builds(
        LatentFile,
        spec=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        weights=st.binary(min_size=16, max_size=16).map(bytes.hex),
        width_px=st.integers(0, 2**32 - 1),
        height_px=st.integers(0, 2**32 - 1),
        payload=st.binary(max_size=100),
    )
)
def test_what_was_written_comes_back(file: LatentFile) -> None:
    assert from_bytes(to_bytes(file), "a.vbl") == file


def test_a_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.vbl"
    path.parent.mkdir()
    size = path.write_bytes(to_bytes(FILE))
    assert read_latent_file(path) == FILE
    # All but spec and payload: what a picture pays for the container.
    assert size - len(FILE.payload) - len(FILE.spec.encode()) == 39


def test_weights_are_known_by_the_start_of_their_digest() -> None:
    assert weights_prefix("0123456789abcdef" * 4) == "0123456789abcdef" * 2


def test_foreign_and_missing_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.vbl"
    with pytest.raises(CodecError, match=r"Cannot read .*a\.vbl: No such file"):
        read_latent_file(path)
    with pytest.raises(CodecError, match=r"Cannot read .*: Is a directory"):
        read_latent_file(tmp_path)
    for data in (b"", b"\x89VB", b"\x89PNG\r\n\x1a\n" + bytes(50), b"VBL" * 30):
        path.write_bytes(data)
        with pytest.raises(CodecError, match=r"Cannot decode a\.vbl: it is no \.vbl file"):
            read_latent_file(path)


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaebench.bench.codecs.vbl.VERSION", VERSION + 1)
    data = to_bytes(FILE)
    monkeypatch.undo()
    with pytest.raises(CodecError, match=r"is of version 2, this vaebench reads version 1"):
        from_bytes(data, "a.vbl")


def test_a_spec_that_is_too_long_is_refused() -> None:
    with pytest.raises(CodecError, match="has 70000 bytes"):
        to_bytes(LatentFile("a" * 70000, "00" * 16, 1, 1, b""))


def test_ten_thousand_damaged_files_are_refused_with_a_sentence() -> None:
    random = np.random.default_rng(8)
    data, other = to_bytes(FILE), to_bytes(LatentFile("demo", "cd" * 16, 64, 64, bytes(300)))
    for index in range(10_000):
        changed = bytearray(data)
        at = int(random.integers(len(data)))
        if index % 4 == 0:
            for place in random.integers(8 * len(data), size=random.integers(1, 9)):
                changed[place // 8] ^= 1 << place % 8
        elif index % 4 == 1:
            del changed[at:]
        elif index % 4 == 2:
            changed[at:at] = random.bytes(int(random.integers(1, 40)))
        else:
            changed[at:] = other[min(at, len(other) - 1) :]
        if bytes(changed) in (data, other):
            continue
        with pytest.raises(CodecError) as caught:
            from_bytes(bytes(changed), "a.vbl")
        told = str(caught.value)
        assert told.startswith("Cannot decode a.vbl: it is ")
        assert "\n" not in told
