"""How long `vaebench` takes to refuse a checkpoint with one tensor of the wrong shape.

    python tests/benchmarks/refusal_times.py

Every command is a fresh process; the wall time of each round is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file, save_file

CLASSES = (diffusers.AutoencoderKL, diffusers.AutoencoderTiny, diffusers.AutoencoderDC)
"""Each with its defaults."""


def spoil(folder: Path) -> None:
    """Give one tensor of a checkpoint another shape."""
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    tensors[min(tensors)] = torch.zeros(3, 3)
    save_file(tensors, file)


def seconds_of(*arguments: str) -> float:
    """Return the wall time of a command that is to end with exit code 2 and one sentence."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vaebench.bench.cli", *arguments], capture_output=True, text=True
    )
    took = time.perf_counter() - began
    if done.returncode != 2 or "1 tensor wrongly shaped" not in done.stderr:
        sys.exit(f"not refused as expected: {done.stdout}{done.stderr}")
    return took


def main() -> None:
    """Print a line for each class and command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as made:
        for model_class in CLASSES:
            name = model_class.__name__
            folder = Path(made, name)
            model = model_class()
            model.save_pretrained(folder)
            count = sum(parameter.numel() for parameter in model.parameters())
            spoil(folder)
            commands = [("run", "--codec", str(folder), "--out", str(Path(made, "run")))]
            if name == "AutoencoderTiny":
                commands.append(("ab", str(folder), "demo-f8c4"))
            for command in commands:
                took = [f"{seconds_of(*command):.1f}" for _ in range(rounds)]
                told = f"{name} of {count / 1e6:.1f} million parameters, {command[0]}"
                print(f"{told}: {', '.join(took)} s", flush=True)


if __name__ == "__main__":
    main()
