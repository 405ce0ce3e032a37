"""One side of an A/B comparison, in a process of its own: `python -m vaebench.bench.timing.worker`.

Reads JSON lines from stdin: what to time, `{"warm_up": seconds}`, then `{"draw": count}` as often
as wanted. Answers with JSON lines: `{"ready": environment}` when it is warm, `{"samples_ms": […]}`
of a draw, or `{"error": sentence}`. Ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from .startup import keep_freed_memory, spare_the_collector

if TYPE_CHECKING:
    import torch

    from ..codecs import Codec


def main() -> None:
    """Serve samples until stdin ends."""
    spare_the_collector()
    answers = _own_stdout()
    try:
        _serve(json.loads(sys.stdin.readline()), answers)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        lines = str(error).strip().splitlines()
        _answer(answers, {"error": lines[0] if lines else type(error).__name__})
        sys.exit(2)


def _own_stdout() -> TextIO:
    """Keep stdout for the answers; whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _serve(request: dict[str, Any], answers: TextIO) -> None:
    # By default large buffers come back elsewhere, and zeroed, at every run: on a CPU that alone
    # makes a process up to some percent faster or slower than its twin.
    allocator = keep_freed_memory()

    import numpy as np
    import torch

    from ..codecs.tensors import from_levels
    from ..suite import CodecSpec, Speed
    from .latency import Sampling, stage_work, warm_up
    from .sweep import fixed_backends, open_variant, plan_variants, require_multiple
    from .timers import make_timer

    speed = Speed(dtypes=[request["dtype"]] if request["dtype"] else [])
    spec = CodecSpec(**request["codec"])
    if request.get("is_by_hand"):
        spec = spec.given_by_hand()
    (variant,) = plan_variants([spec], speed)
    with fixed_backends():
        codec = open_variant(variant)
        device = torch.device(codec.info.device or "cpu")
        pixels = np.load(request["pixels"])
        require_multiple(codec.info, pixels.shape[1])
        timer = make_timer(device)
        # The other side may be opening still: nothing runs on the device before one is asked to.
        asked = json.loads(sys.stdin.readline())
        work = stage_work(codec, request["stage"], from_levels(pixels, device))
        warmed = warm_up(work, timer, Sampling(max_s=asked["warm_up"]))
        told = {
            **_environment(codec, device),
            "allocator": allocator,
            "settled": warmed.settled,
        }
        _answer(answers, {"ready": told})
        for line in sys.stdin:
            count = int(json.loads(line)["draw"])
            samples = [timer.time(work).device_ms for _ in range(count)]
            _answer(answers, {"samples_ms": samples})


def _environment(codec: Codec, device: torch.device) -> dict[str, Any]:
    from ..store.environment import read_environment
    from .sweep import device_name, mode_of

    environment = asdict(read_environment())
    told = ("driver", "cuda", "torch", "diffusers", "python", "cpu", "threads")
    return {
        **{name: environment[name] for name in told},
        "device": device_name(device),
        "mode": mode_of(codec.info),
        "dtype": codec.info.dtype,
        "weights_sha256": codec.info.weights_sha256,
    }


if __name__ == "__main__":
    main()
