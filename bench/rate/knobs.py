"""What is turned to trade rate for distortion: each codec's knob, and the settings of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import SuiteError, unknown_name
from ..records import CodecInfo
from ..suite import QUANTISED, CodecSpec, Setting

STEP = "step"
STEPS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.3, 2.0)
"""Quantiser steps of an autoencoder, in standard deviations of each channel."""


@dataclass(frozen=True)
class Knob:
    """A setting that trades rate for distortion: its name, the values swept, and its two ends.

    `fewest_bytes` and `most_bytes` are the ends between which equal bytes are looked for; a knob
    that is not `whole` takes any value between them.
    """

    name: str
    values: tuple[float, ...]
    fewest_bytes: float
    most_bytes: float
    whole: bool = True


KNOBS = {
    "jpeg": Knob("q", (2, 6, 12, 25, 45, 65, 82, 92), 1, 100),
    "webp": Knob("q", (0, 8, 20, 40, 60, 78, 89, 95), 0, 100, whole=False),
    "avif": Knob("q", (4, 12, 22, 35, 50, 63, 75, 86), 0, 100),
    "jpegxl": Knob("q", (1, 8, 20, 35, 55, 72, 85, 93), 0, 100, whole=False),
    "jpeg2000": Knob("rate", (400, 200, 100, 60, 36, 24, 14, 8), 2000, 1, whole=False),
    "resize": Knob("factor", (2, 3, 4, 6, 8, 12, 16, 24), 256, 2),
}
"""The knob of each classical codec, with settings that give about 0.1 to 2 bits per pixel."""


@dataclass(frozen=True)
class Sweep:
    """A codec and the settings at which it is measured.

    `knob` is None for a codec that has nothing to turn, or whose spec holds it fixed: then it is
    one point, `values` is empty. `of_latents` says that the knob is the quantiser's step.
    """

    spec: CodecSpec
    knob: Knob | None
    values: tuple[float, ...] = ()
    of_latents: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings as they are written in a table, in the order of the sweep."""
        if self.knob is None:
            return ("as given",)
        return tuple(self.setting(value) for value in self.values)

    @property
    def middle(self) -> str:
        """The setting in the middle, at which codecs are brought to equal bytes."""
        return self.settings[len(self.settings) // 2]

    def value(self, setting: str) -> float | None:
        """Return the knob's value that a setting of this codec means; None for `as given`."""
        return None if self.knob is None else float(setting.partition("=")[2])

    def turned(self, setting: str) -> dict[str, Setting]:
        """Return what a setting adds to a spec's own: the knob at its value."""
        value = self.value(setting)
        if self.knob is None or value is None:
            return {}
        return {self.knob.name: int(value) if value == int(value) else value}

    @property
    def opening_spec(self) -> CodecSpec:
        """The spec with which the codec is opened to see what it is."""
        turned = {} if self.of_latents else self.turned(self.settings[0])
        return self.spec.model_copy(update={"settings": {**self.spec.settings, **turned}})

    def setting(self, value: float) -> str:
        """Return how a value of the knob is written in a table."""
        return f"{self.knob.name if self.knob else ''}={value:.6g}"


@dataclass(frozen=True)
class Asked:
    """The values that a user asked for, by the codec's name."""

    values: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Asked:
        """Read `NAME=VALUE,VALUE,…`, one text a codec. Raises: SuiteError."""
        values: dict[str, tuple[float, ...]] = {}
        for text in texts:
            name, _, listed = text.rpartition("=")
            try:
                numbers = tuple(float(number) for number in listed.split(","))
            except ValueError:
                numbers = ()
            if not name or not numbers or not all(0 <= number < 1e6 for number in numbers):
                raise SuiteError(
                    f"Cannot read the sweep {text!r}. Write CODEC=VALUE,VALUE,…, "
                    "say jpeg=10,30,60,90 or demo-f8c4=0.2,0.5,1,2."
                )
            values[name] = tuple(dict.fromkeys(numbers))
        return cls(values)


def plan_sweeps(specs: Sequence[CodecSpec], asked: Asked) -> list[Sweep]:
    """Return the sweep of each codec, before any is opened; see `settled`.

    Raises: SuiteError where values are asked for a codec that is not there, has no knob, or cannot
        take them.
    """
    names = [spec.name for spec in specs]
    for name in asked.values:
        if name not in names:
            raise SuiteError(unknown_name("codec in --sweep", name, names))
    return [_sweep(spec, asked.values.get(spec.name)) for spec in specs]


def settled(sweep: Sweep, info: CodecInfo, codebook: int | None, asked: Asked) -> Sweep:
    """Return the sweep of a codec now that it is known: one without latents has no step.

    Args:
        codebook: how many entries a model has that quantises its latents itself; None otherwise.
    Raises: SuiteError where the latents are no numbers to quantise, or a step was asked for.
    """
    if not sweep.of_latents:
        return sweep
    if codebook is not None:
        raise SuiteError(
            f"Cannot sweep {info.name}: it quantises its latents itself, so that there is no step. "
            f"Give its one point: --codec '{info.name}={QUANTISED}{info.source})'."
        )
    if info.latent_channels is None:
        return _fixed(sweep.spec, asked.values.get(sweep.spec.name))
    return sweep


def _sweep(spec: CodecSpec, asked: tuple[float, ...] | None) -> Sweep:
    of_latents = spec.source not in KNOBS and not spec.source.startswith(QUANTISED)
    knob = Knob(STEP, STEPS, 64, 1 / 256, whole=False) if of_latents else KNOBS.get(spec.source)
    if knob is None or knob.name in spec.settings:
        return _fixed(spec, asked)
    values = tuple(asked or knob.values)
    if knob.whole and any(value != int(value) for value in values):
        raise SuiteError(
            f"Cannot sweep {spec.name}: its {knob.name} takes whole numbers, "
            f"got {', '.join(f'{value:g}' for value in values)}."
        )
    ends = sorted((knob.fewest_bytes, knob.most_bytes))
    if min(values) < ends[0] or max(values) > ends[1]:
        raise SuiteError(
            f"Cannot sweep {spec.name}: its {knob.name} goes from {ends[0]:g} to {ends[1]:g}, "
            f"got {', '.join(f'{value:g}' for value in values)}."
        )
    return Sweep(spec, knob, values, of_latents)


def _fixed(spec: CodecSpec, asked: tuple[float, ...] | None) -> Sweep:
    if asked is not None:
        raise SuiteError(
            f"Cannot sweep {spec.name}: it has nothing to turn, or its spec holds it fixed. "
            f"Leave out --sweep {spec.name}=… or the setting in its spec."
        )
    return Sweep(spec, None)
