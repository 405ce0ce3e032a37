"""A GPU is not waited for: counted on a device that computes on the CPU and says it is CUDA.

Any operation whose answer the host must have counts as a wait, and so does a copy to the host or
from it that is not asynchronous, or is of memory that is not pinned. What a real GPU gains by it
is not measured here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from vaebench.bench.codecs import CODECS
from vaebench.bench.codecs.base import Family
from vaebench.bench.records import CodecInfo, Encoded
from vaebench.bench.scoring import evaluate as evaluate_module
from vaebench.bench.scoring.plan import Plan
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite
from vaebench.metrics import flip, separable

WAITS = {"item", "_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select"}
"""The host needs the answer, or its size, before it can go on."""


class OnDevice(torch.Tensor):
    """A tensor that says it is on cuda:0; its values are `values_there`, on the CPU."""

    values_there: torch.Tensor

    @staticmethod
    def __new__(cls, given: torch.Tensor) -> Any:
        make: Any = torch.Tensor._make_wrapper_subclass  # pyright: ignore[reportPrivateUsage]
        made = make(cls, given.size(), strides=given.stride(), dtype=given.dtype, device="cuda:0")
        made.values_there = given
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({tuple(self.shape)})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside the device")


class Device(TorchDispatchMode):
    """Runs what is asked of the device on the CPU, and counts waits and copies."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.pinned: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        flat: list[Any] = []
        tree_map(flat.append, (args, kwargs))
        was_there = any(isinstance(each, OnDevice) for each in flat)
        named = kwargs.get("device")
        is_there = was_there if named is None else torch.device(named).type == "cuda"
        if named is not None:
            kwargs["device"] = torch.device("cpu")
        if was_there and name in WAITS:
            self.waits[name] += 1
        if was_there and name == "index" and any(_is_mask(each) for each in args[1]):
            self.waits["index by a mask"] += 1
        if was_there != is_there and any(isinstance(each, torch.Tensor) for each in flat):
            way = "to host" if was_there else "to device"
            self.copies[way] += 1
            is_free = was_there or args[0].data_ptr() in self.pinned
            if not (kwargs.get("non_blocking") and is_free):
                self.waits[f"{name} {way}"] += 1
        made = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        return tree_map(_on_device, made) if is_there else made


def _inner(value: Any) -> Any:
    return value.values_there if isinstance(value, OnDevice) else value


def _on_device(value: Any) -> Any:
    is_plain = isinstance(value, torch.Tensor) and not isinstance(value, OnDevice)
    return OnDevice(value) if is_plain else value


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


class Event:
    """Stands for torch.cuda.Event; everything is there at once."""

    made = 0

    def record(self, stream: Any) -> None:
        Event.made += 1

    def synchronize(self) -> None:
        """Return at once."""


class Network:
    """A codec with latents and a posterior, which stays on the device; the second picture's NaN."""

    def __init__(self, name: str) -> None:
        self.info = CodecInfo(name, "network", name, {}, dtype="float32", multiple_px=8)

    def encode(self, images: torch.Tensor) -> Encoded:
        latents = torch.nn.functional.avg_pool2d(images, 8)
        spread = torch.full_like(latents, 0.5)
        latents = torch.where(latents == latents[1:2], latents * torch.nan, latents)
        return Encoded((64,) * len(images), latents, None, latents, spread)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        assert encoded.latents is not None
        return torch.nn.functional.interpolate(encoded.latents, scale_factor=8.0)


def without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep CUDA from being set up, and its guards from failing, as torch's FakeTensorMode does."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    guard: Any = getattr(torch._C, "_ensureCUDADeviceGuardSet", None)
    if guard is None:
        pytest.skip(f"torch {torch.__version__} has no CUDA, or cannot do without a driver")
    guard()


@contextmanager
def device() -> Generator[Device]:
    with pytest.MonkeyPatch.context() as monkeypatch, set_up(monkeypatch) as mode:
        yield mode


def set_up(monkeypatch: pytest.MonkeyPatch) -> Device:
    without_driver(monkeypatch)
    # A view of a subclass made in inference mode cannot be told from one made outside it.
    monkeypatch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: None)
    make_plan: Callable[..., Plan] = evaluate_module.make_plan
    monkeypatch.setattr(
        evaluate_module, "make_plan", lambda *given: replace(make_plan(*given), device="cuda")
    )
    mode = Device()

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        mode.pinned.add(tensor.data_ptr())
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    return mode


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two codecs, `one` and `two`."""
    for name in ("one", "two"):
        family = Family(lambda source, name=name: source == name, lambda n, *_: Network(n), name)
        monkeypatch.setitem(CODECS, name, family)


@pytest.fixture(autouse=True)
def no_constant_is_left() -> Generator[None]:
    """Keep this device's tensors from a test of a real one."""
    yield
    for module in (flip, separable):
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def make_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 256, (44, 52, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def make_regions(folder: Path, count: int) -> str:
    """Give each picture a box and a mask."""
    mask = np.zeros((44, 52), np.uint8)
    mask[4:20, 6:30] = 255
    mask[8:12, 10:14] = 0
    boxes = {}
    for index in range(count):
        Image.fromarray(mask).save(folder / f"{index}.ring.mask.png")
        boxes[f"{index}.png"] = [{"name": "box", "kind": "eye", "box": [1, 2, 30, 40]}]
    (folder / "regions.json").write_text(json.dumps(boxes))
    return str(folder / "regions.json")


def counted(tmp_path: Path, name: str, count: int, **fields: Any) -> tuple[Device, StoredRun]:
    folder = tmp_path / name
    make_photos(folder, count)
    if fields.pop("regions", False):
        fields["regions"] = [make_regions(folder, count), "masks"]
    Event.made = 0
    suite = Suite.create(**{"images": [str(folder)], "batch_size": count, **fields})
    with device() as mode:
        run = evaluate_module.evaluate(suite, tmp_path / f"{name}-run", "command", quiet)
    return mode, run


METRICS = ["psnr", "mae", "ssim", "ssim-luma", "flip"]


def test_neither_picture_nor_metric_nor_region_is_waited_for(tmp_path: Path) -> None:
    few, _ = counted(tmp_path, "few", 2, codecs=["one"], metrics=["psnr"])
    assert few.waits == Counter()
    assert Event.made == 1
    # A metric's own constants go to the device once and stay.
    counted(tmp_path, "first", 5, codecs=["one"], metrics=METRICS, regions=True)
    many, run = counted(tmp_path, "many", 5, codecs=["one"], metrics=METRICS, regions=True)
    assert many.waits == Counter()
    assert Event.made == 1
    # Numbers, verdicts, pictures, maps, latents, mean and deviation: a copy each of a batch.
    assert few.copies["to host"] == many.copies["to host"] == 7
    # The pictures; with masked regions their pixels' places too.
    assert (few.copies["to device"], many.copies["to device"]) == (1, 2)
    both, _ = counted(tmp_path, "both", 5, codecs=["one", "two"], metrics=METRICS)
    assert both.waits == Counter()
    assert Event.made == 2
    assert both.copies == {"to host": 14, "to device": 1}
    failed = run.unavailable
    assert set(failed["image_id"]) == {"1.png"}
    assert failed["reason"].str.contains("NaN or infinite values in encoding").all()


def test_the_device_s_numbers_are_the_cpu_s(tmp_path: Path) -> None:
    _, there = counted(tmp_path, "there", 4, codecs=["one"], metrics=METRICS, regions=True)
    suite = there.record.suite.model_copy(update={"batch_size": 2})
    here = evaluate_module.evaluate(suite, tmp_path / "here", "command", quiet)
    keys = ["image_id", "codec", "region", "variant"]
    # The second picture of a batch fails: of four one, of twos two.
    both = there.scores.merge(here.scores, on=keys).dropna()
    assert len(both) == 36
    assert np.allclose(both["value_x"], both["value_y"], rtol=1e-6, atol=1e-6)


def test_the_count_sees_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    without_driver(monkeypatch)
    with Device() as mode:
        there = torch.ones(3, device="cuda")
        assert there.is_cuda
        assert float(there.sum()) == 3
        assert bool((there > 0).all())
        there[there > 0].sum()
        there.cpu()
        torch.ones(3).to("cuda", non_blocking=True)
    assert sum(mode.waits.values()) == 5
