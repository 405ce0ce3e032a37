"""Train a demonstration AutoencoderKL, on the CPU or on CUDA.

    python tests/benchmarks/demo_training/train.py --latent-channels 4 --data PICTURES \
        --state STATE --out CHECKPOINT --minutes 90

The same command goes on where a killed run stopped. `--export-only` writes the checkpoint from
the state as it stands.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from crops import CropSource, picture_paths, read_picture
from linear_start import AutoencoderKL, start_linear
from rich.progress import Progress
from torch import nn

Clock = Callable[[], float]
SCALING_STRIDE = 4


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the pictures."""

    latent_channels: int
    minutes: float
    seed: int = 0
    block_out_channels: tuple[int, ...] = (16, 32, 64, 96)
    norm_num_groups: int = 4
    batch: int = 8
    crop_px: int = 64
    late_batch: int = 4
    late_crop_px: int = 128
    late_from: float = 0.75
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    kl_weight: float = 1e-7
    ema_decay: float = 0.999
    start_crops: int = 256


@dataclass
class Spent:
    """How far a training is; kept in the state file."""

    step: int = 0
    elapsed_s: float = 0.0


def make_model(recipe: Recipe) -> AutoencoderKL:
    """Return a freshly initialised autoencoder: 8x down with four widths."""
    depth = len(recipe.block_out_channels)
    autoencoder: Any = getattr(diffusers, "AutoencoderKL")  # noqa: B009
    return autoencoder(
        block_out_channels=recipe.block_out_channels,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        layers_per_block=1,
        norm_num_groups=recipe.norm_num_groups,
        latent_channels=recipe.latent_channels,
        mid_block_add_attention=False,
        sample_size=512,
    )


def learning_rate_at(recipe: Recipe, step: int, fraction: float) -> float:
    """Return the rate: a linear warm-up in steps, a cosine to zero over the time budget."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    return recipe.learning_rate * warmup * 0.5 * (1.0 + math.cos(math.pi * min(1.0, fraction)))


def reconstruction_loss(
    reconstruction: torch.Tensor, reference: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean over crops of the root mean square error, and each crop's squared error.

    Between MSE, which a few busy crops rule, and PSNR, which flat crops rule.
    """
    squared = (reconstruction - reference).square().mean(dim=(1, 2, 3))
    return (squared + 1e-6).sqrt().mean(), squared.detach()


class Trainer:
    """One training: model, averaged weights, optimiser and the place where they are kept."""

    def __init__(
        self,
        recipe: Recipe,
        crops: CropSource,
        state_dir: Path,
        device: str = "cpu",
        clock: Clock = time.monotonic,
    ) -> None:
        self.recipe, self.crops, self.clock = recipe, crops, clock
        self.device = torch.device(device)
        self.state_path = state_dir / "state.pt"
        self.log_path = state_dir / "log.jsonl"
        state_dir.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        model = make_model(recipe)
        self.spent = Spent()
        state = None
        if self.state_path.exists():
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        else:
            start_linear(model, crops.draw(recipe.start_crops, recipe.crop_px, self._rng(-1)))
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        if state is not None:
            self._restore(state)

    @property
    def fraction(self) -> float:
        """Return the share of the time budget that is spent."""
        return self.spent.elapsed_s / (60.0 * self.recipe.minutes)

    def train(
        self, on_interval: Callable[[dict[str, Any]], None], interval_s: float = 60.0
    ) -> None:
        """Train until the time budget is spent; save and report at each interval."""
        last, next_report_s = self.clock(), self.spent.elapsed_s + interval_s
        losses: list[float] = []
        while self.fraction < 1.0:
            losses.append(self.step())
            now = self.clock()
            self.spent.elapsed_s += now - last
            last = now
            if self.spent.elapsed_s >= next_report_s or self.fraction >= 1.0:
                self.save()
                on_interval(self._report(losses))
                losses, next_report_s = [], self.spent.elapsed_s + interval_s
                last = self.clock()

    def step(self) -> float:
        """Take one optimiser step; return the mean PSNR of its crops, in dB."""
        recipe, step = self.recipe, self.spent.step
        late = self.fraction >= recipe.late_from
        crop_px = recipe.late_crop_px if late else recipe.crop_px
        count = recipe.late_batch if late else recipe.batch
        rng = self._rng(step)
        reference = self.crops.draw(count, crop_px, rng)
        reference = reference.to(self.device, memory_format=torch.channels_last)
        posterior = self.model.encode(reference).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, dtype=np.float32))
        latents = posterior.mean + posterior.std * noise.to(self.device)
        loss, squared = reconstruction_loss(self.model.decode(latents).sample, reference)
        loss = loss + recipe.kl_weight * posterior.kl().mean()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(recipe, step, self.fraction)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self._average_weights()
        self.spent.step += 1
        return (10.0 * torch.log10(4.0 / squared)).mean().item()

    def save(self) -> None:
        """Replace the state file in one move, so that a kill leaves the old or the new one."""
        state = {
            "recipe": asdict(self.recipe),
            "spent": asdict(self.spent),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        temporary = self.state_path.with_suffix(".partial")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.state_path)

    def _restore(self, state: dict[str, Any]) -> None:
        mine, theirs = asdict(self.recipe), state["recipe"]
        changed = [name for name in mine if name != "minutes" and mine[name] != theirs[name]]
        if changed:
            raise ValueError(
                f"Cannot go on from {self.state_path}: {changed[0]} was {theirs[changed[0]]}, "
                f"now {mine[changed[0]]}. Pass another --state."
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.spent = Spent(**state["spent"])

    def _rng(self, step: int) -> np.random.Generator:
        """Return the generator of one step, so that resuming needs no generator's state."""
        return np.random.default_rng([self.recipe.seed, step + 1])

    @torch.no_grad()
    def _average_weights(self) -> None:
        step = self.spent.step
        decay = min(self.recipe.ema_decay, (1 + step) / (10 + step))
        averages, weights = list(self.average.parameters()), list(self.model.parameters())
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, 1.0 - decay)

    def _report(self, losses: list[float]) -> dict[str, Any]:
        return {
            "step": self.spent.step,
            "elapsed_s": round(self.spent.elapsed_s, 1),
            "crop_psnr_db": round(float(np.mean(losses)), 3),
            "learning_rate": learning_rate_at(self.recipe, self.spent.step, self.fraction),
        }


@torch.no_grad()
def watch_psnr_db(model: AutoencoderKL, pictures: list[Path]) -> float:
    """Return the mean 8-bit PSNR over whole pictures; for the log, never to choose weights."""
    device = next(model.parameters()).device
    values = []
    for path in pictures:
        reference = whole_picture(path).to(device)
        mean = model.encode(reference / 127.5 - 1.0).latent_dist.mean
        levels = ((model.decode(mean).sample.clamp(-1.0, 1.0) + 1.0) * 127.5).round()
        values.append(10.0 * math.log10(255.0**2 / (levels - reference).square().mean().item()))
    return sum(values) / len(values)


def whole_picture(path: Path) -> torch.Tensor:
    """Return float32 [1, 3, H, W] in 0..255, cropped to sides that 8 divides."""
    pixels = np.asarray(read_picture(path))
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    return torch.tensor(pixels[:height, :width]).permute(2, 0, 1)[None].float()


@torch.no_grad()
def measure_scaling_factor(model: AutoencoderKL, paths: list[Path], seed: int = 0) -> float:
    """Return 1 / standard deviation of the latents of muted training pictures.

    Pictures chosen for the web have more contrast and colour than plain photographs, so each is
    shown at a contrast and a saturation drawn between one half and one.
    """
    rng = np.random.default_rng(seed)
    device = next(model.parameters()).device
    latents = []
    for path in paths:
        contrast, saturation = rng.uniform(0.5, 1.0, 2)
        picture = whole_picture(path).to(device) / 127.5 - 1.0
        grey = picture.mean(dim=1, keepdim=True)
        muted = contrast * (grey + saturation * (picture - grey))
        latents.append(model.encode(muted).latent_dist.mean.flatten())
    return 1.0 / torch.cat(latents).std().item()


def export(model: AutoencoderKL, scaling_factor: float, out: Path) -> None:
    """Write the diffusers layout: config.json and float16 weights."""
    half = copy.deepcopy(model).cpu().to(torch.float16, memory_format=torch.contiguous_format)
    half.register_to_config(scaling_factor=round(scaling_factor, 4))
    half.save_pretrained(out, safe_serialization=True)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description="Train a demonstration AutoencoderKL.")
    parser.add_argument("--latent-channels", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--state", type=Path, required=True, help="folder of state and log")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, default=90.0, help="training time in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--watch", type=Path, help="folder of pictures to score in the log")
    parser.add_argument("--watch-every", type=int, default=10, help="in log lines")
    parser.add_argument("--export-only", action="store_true", help="write the state as it stands")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training, and write the checkpoint."""
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    recipe = Recipe(
        latent_channels=options.latent_channels,
        minutes=options.minutes,
        seed=options.seed,
        learning_rate=options.learning_rate,
    )
    if options.export_only:
        average = load_average(options.state)
    else:
        average = train_with_bar(recipe, options)
    factor = measure_scaling_factor(average, picture_paths(options.data)[::SCALING_STRIDE])
    export(average, factor, options.out)


def load_average(state_dir: Path) -> AutoencoderKL:
    """Return the averaged weights of a training, finished or not."""
    state = torch.load(state_dir / "state.pt", map_location="cpu", weights_only=True)
    model = make_model(Recipe(**state["recipe"]))
    model.load_state_dict(state["average"])
    return model


def train_with_bar(recipe: Recipe, options: argparse.Namespace) -> AutoencoderKL:
    """Train with a progress bar and one JSON line an interval; return the averaged weights."""
    crops = CropSource(options.data, max(recipe.crop_px, recipe.late_crop_px))
    trainer = Trainer(recipe, crops, options.state, options.device)
    watched = picture_paths(options.watch)[::4] if options.watch else []
    lines = 0
    with trainer.log_path.open("a") as log, Progress() as bar:
        task = bar.add_task(f"{recipe.latent_channels} channels", total=1.0)

        def on_interval(report: dict[str, Any]) -> None:
            nonlocal lines
            lines += 1
            if watched and (lines % options.watch_every == 0 or trainer.fraction >= 1.0):
                report["watch_psnr_db"] = round(watch_psnr_db(trainer.average, watched), 3)
            print(json.dumps(report), file=log, flush=True)
            bar.update(task, completed=min(1.0, trainer.fraction))

        trainer.train(on_interval)
    return trainer.average


if __name__ == "__main__":
    main()
