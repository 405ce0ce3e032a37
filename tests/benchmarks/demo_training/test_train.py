"""The training script on synthetic pictures: it learns, survives a kill, and exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from crops import CropSource, picture_paths
from diffusers import AutoencoderKL
from linear_start import start_linear
from PIL import Image
from train import (
    Recipe,
    Trainer,
    export,
    learning_rate_at,
    load_average,
    main,
    make_model,
    measure_scaling_factor,
    parse_arguments,
    reconstruction_loss,
)

STEPS = 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for index in range(4):
        coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC)
        smooth.save(folder / f"{index}.png")
    return folder


@pytest.fixture
def crops(pictures: Path) -> CropSource:
    return CropSource(pictures, 32)


def tiny_recipe(**changes: object) -> Recipe:
    """Return a recipe of STEPS steps, where one step takes one second of the injected clock."""
    settings: dict = {
        "latent_channels": 4,
        "minutes": STEPS / 60,
        "block_out_channels": (16, 24, 32, 40),
        "batch": 2,
        "crop_px": 32,
        "late_batch": 1,
        "late_crop_px": 32,
        "warmup_steps": 2,
        "start_crops": 64,
    }
    return Recipe(**settings | changes)


def ticking_clock() -> Callable[[], float]:
    seconds = iter(range(10_000))
    return lambda: float(next(seconds))


def weights_of(model: AutoencoderKL) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_linear_start_is_close_to_the_pca_of_blocks(crops: CropSource) -> None:
    torch.manual_seed(0)
    model = make_model(tiny_recipe(latent_channels=8))
    batch = crops.draw(64, 32, np.random.default_rng(0))
    start_linear(model, batch)
    with torch.no_grad():
        latents = model.encode(batch).latent_dist.mean
    assert latents.std(dim=(0, 2, 3)) == pytest.approx(torch.ones(8), abs=0.1)
    cross = torch.corrcoef(latents.transpose(0, 1).flatten(1)) - torch.eye(8)
    assert cross.abs().max() < 0.1


def test_training_lowers_the_loss(crops: CropSource, tmp_path: Path) -> None:
    recipe = tiny_recipe(minutes=40 / 60, learning_rate=3e-4, warmup_steps=10)
    trainer = Trainer(recipe, crops, tmp_path / "state", clock=ticking_clock())
    held_out = crops.draw(16, 32, np.random.default_rng(99))

    def loss(model: AutoencoderKL) -> float:
        with torch.no_grad():
            mean = model.encode(held_out).latent_dist.mean
            return reconstruction_loss(model.decode(mean).sample, held_out)[0].item()

    before = loss(trainer.average)
    trainer.train(lambda report: None)
    assert loss(trainer.average) < before


def test_killed_and_resumed_training_gives_the_same_weights(
    crops: CropSource, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    undisturbed = Trainer(recipe, crops, tmp_path / "a", clock=ticking_clock())
    undisturbed.train(lambda report: None, interval_s=2.0)

    def die_at_the_second_report(report: dict) -> None:
        if report["step"] == 4:
            raise KeyboardInterrupt

    killed = Trainer(recipe, crops, tmp_path / "b", clock=ticking_clock())
    with pytest.raises(KeyboardInterrupt):
        killed.train(die_at_the_second_report, interval_s=2.0)
    resumed = Trainer(recipe, crops, tmp_path / "b", clock=ticking_clock())
    assert resumed.spent.step == 4
    resumed.train(lambda report: None, interval_s=2.0)
    assert resumed.spent == undisturbed.spent
    assert torch.equal(weights_of(resumed.model), weights_of(undisturbed.model))
    assert torch.equal(weights_of(resumed.average), weights_of(undisturbed.average))


def test_a_kill_while_saving_leaves_the_older_state(
    crops: CropSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tiny_recipe(), crops, tmp_path / "state", clock=ticking_clock())
    trainer.step()
    trainer.save()
    trainer.step()

    def half_written(state: dict, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(KeyboardInterrupt):
        trainer.save()
    monkeypatch.undo()
    assert Trainer(tiny_recipe(), crops, tmp_path / "state").spent.step == 1


def test_another_recipe_is_not_resumed(crops: CropSource, tmp_path: Path) -> None:
    trainer = Trainer(tiny_recipe(), crops, tmp_path / "state", clock=ticking_clock())
    trainer.save()
    with pytest.raises(ValueError, match="latent_channels"):
        Trainer(tiny_recipe(latent_channels=8), crops, tmp_path / "state")


def test_unfinished_training_exports_to_a_checkpoint_that_loads(
    crops: CropSource, pictures: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    trainer = Trainer(recipe, crops, tmp_path / "state", clock=ticking_clock())
    trainer.step()
    trainer.save()
    average = load_average(tmp_path / "state")
    factor = measure_scaling_factor(average, picture_paths(pictures))
    export(average, factor, tmp_path / "checkpoint")
    loaded, report = AutoencoderKL.from_pretrained(
        tmp_path / "checkpoint", output_loading_info=True, torch_dtype=torch.float16
    )
    assert not any(report.values())
    assert loaded.config.scaling_factor == pytest.approx(factor, abs=1e-4)
    assert torch.equal(weights_of(loaded), weights_of(trainer.average).half())
    assert str(tmp_path) not in (tmp_path / "checkpoint" / "config.json").read_text()


def test_command_exports_the_state_as_it_stands(
    crops: CropSource, pictures: Path, tmp_path: Path
) -> None:
    Trainer(tiny_recipe(), crops, tmp_path / "state").save()
    folders = ["--data", str(pictures), "--state", str(tmp_path / "state")]
    main(["--latent-channels", "4", *folders, "--out", str(tmp_path / "out"), "--export-only"])
    assert (tmp_path / "out" / "diffusion_pytorch_model.safetensors").is_file()


def test_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = tiny_recipe(learning_rate=1.0, warmup_steps=4)
    assert learning_rate_at(recipe, 0, 0.0) == pytest.approx(0.25)
    assert learning_rate_at(recipe, 3, 0.0) == pytest.approx(1.0)
    assert learning_rate_at(recipe, 100, 0.5) == pytest.approx(0.5)
    assert learning_rate_at(recipe, 100, 1.0) == pytest.approx(0.0)


def test_loss_is_the_mean_of_each_crops_rmse() -> None:
    reference = torch.zeros(2, 3, 4, 4)
    shifted = reference + torch.tensor([0.1, 0.3]).view(2, 1, 1, 1)
    loss, squared = reconstruction_loss(shifted, reference)
    assert loss.item() == pytest.approx(0.2, abs=1e-4)
    assert squared.tolist() == pytest.approx([0.01, 0.09])


def test_crops_are_seeded_and_in_range(crops: CropSource) -> None:
    one, same = (crops.draw(5, 32, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one, same)
    assert one.shape == (5, 3, 32, 32)
    assert one.min() >= -1 and one.max() <= 1


def test_pictures_too_small_are_named(pictures: Path) -> None:
    with pytest.raises(ValueError, match="at least 100 px"):
        CropSource(pictures, 100)


def test_picture_paths_are_sorted(pictures: Path) -> None:
    assert [path.name for path in picture_paths(pictures)] == ["0.png", "1.png", "2.png", "3.png"]


def test_time_is_asked_for_in_minutes() -> None:
    folders = ["--data", "d", "--state", "s", "--out", "o"]
    options = parse_arguments(["--latent-channels", "4", *folders, "--minutes", "5"])
    assert options.minutes == 5.0
