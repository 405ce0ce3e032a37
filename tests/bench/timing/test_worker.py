"""The worker's side of the protocol: what it answers, and what it says where it cannot."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vaebench.bench.errors import VaebenchError
from vaebench.bench.images.sample import sample_pixels
from vaebench.bench.suite import CodecSpec
from vaebench.bench.timing import worker


def served(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *asked: dict[str, Any], **changed: Any
) -> list[dict[str, Any]]:
    """Serve a request and what is asked after it; return the answers."""
    pixels = folder / "pixels.npy"
    np.save(pixels, sample_pixels(changed.pop("size", 64), 1))
    request = {
        "codec": CodecSpec.parse(changed.pop("codec", "resize:2")).model_dump(),
        "is_by_hand": False,
        "stage": "decode",
        "dtype": None,
        "pixels": str(pixels),
        **changed,
    }
    lines = "".join(json.dumps(line) + "\n" for line in asked)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    answers = io.StringIO()
    worker._serve(request, answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_it_says_where_it_runs_and_gives_as_many_samples_as_are_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready, one, three = served(
        monkeypatch, tmp_path, {"warm_up": 0.01}, {"draw": 1}, {"draw": 3}, stage="roundtrip"
    )
    assert ready["ready"]["torch"] == torch.__version__
    assert ready["ready"]["dtype"] is None
    assert isinstance(ready["ready"]["settled"], bool)
    assert len(one["samples_ms"]) == 1
    assert len(three["samples_ms"]) == 3
    assert min(one["samples_ms"] + three["samples_ms"]) > 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stage": "paint"}, "Did you mean|Valid: decode, encode, roundtrip"),
        ({"codec": "demo-f8c4:device=cpu", "dtype": "float16"}, "Pass --dtype float32"),
        ({"codec": "demo-f8c4:device=cpu", "size": 60}, "no multiple of 8. Pass --size 64"),
    ],
)
def test_what_cannot_be_timed_is_said_before_the_first_sample(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(VaebenchError, match=sentence):
        served(monkeypatch, tmp_path, {"warm_up": 0.01}, {"draw": 1}, **changed)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ValueError("no such thing\nand where it was raised"), 2, "no such thing"),
        (ValueError(), 2, "ValueError"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_a_failure_is_one_sentence_and_an_interrupt_is_silent(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str | None
) -> None:
    def failing(request: dict[str, Any], answers: io.StringIO) -> None:
        raise error

    answers = io.StringIO()
    monkeypatch.setattr(worker, "_serve", failing)
    monkeypatch.setattr(worker, "_own_stdout", lambda: answers)
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n"))
    with pytest.raises(SystemExit) as ended:
        worker.main()
    assert ended.value.code == code
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert lines == ([] if told is None else [{"error": told}])
