"""Two small AutoencoderKL checkpoints that ship with the package; README.md is their card."""

from __future__ import annotations

from pathlib import Path

DEMO_CHECKPOINTS: dict[str, Path] = {
    name: Path(__file__).parent / name for name in ("demo-f8c4", "demo-f8c16")
}
