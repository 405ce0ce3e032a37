"""What NVML tells, by a fake NVML; what counts as throttled."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from vaebench.bench.records import DeviceState
from vaebench.bench.timing.device_state import is_throttled, read_device_state

CUDA = torch.device("cuda", 0)
UUID = "8d5c1a1e-3f3c-4d7c-9b61-0c2f4a3b7e11"


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml(ModuleType):
    """An NVML of one GPU; `broken` names the functions that fail."""

    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_TEMPERATURE_GPU = 0
    NVMLError = NVMLError

    def __init__(self, reasons: int = 0, broken: tuple[str, ...] = ()) -> None:
        super().__init__("pynvml")
        self._reasons = reasons
        self._broken = broken
        self.asked: list[str] = []
        self.open = 0

    def _answer(self, function: str, value: Any) -> Any:
        if function in self._broken:
            raise NVMLError(function)
        return value

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", None)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return self._answer("nvmlDeviceGetHandleByUUID", "handle")

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetPowerUsage", 312_500)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", self._reasons)

    def nvmlDeviceGetClockInfo(self, handle: str, which: int) -> int:
        return self._answer("nvmlDeviceGetClockInfo", {1: 1980, 2: 2619}[which])

    def nvmlDeviceGetApplicationsClock(self, handle: str, which: int) -> int:
        return self._answer("nvmlDeviceGetApplicationsClock", {1: 1830, 2: 2619}[which])

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return self._answer("nvmlDeviceGetTemperature", 47)


def install(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml, uuid: str = UUID) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    properties = SimpleNamespace(uuid=uuid)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


def test_all_that_nvml_tells_in_its_units(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(reasons=0x4)
    install(monkeypatch, nvml)
    assert read_device_state(CUDA) == DeviceState(
        sm_clock_mhz=1980,
        application_sm_clock_mhz=1830,
        memory_clock_mhz=2619,
        temperature_c=47,
        power_w=312.5,
        throttle_reasons=("power cap",),
    )
    assert nvml.open == 0


@pytest.mark.parametrize("uuid", [UUID, f"GPU-{UUID}"])
def test_the_device_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch, uuid: str) -> None:
    nvml = FakeNvml()
    install(monkeypatch, nvml, uuid)
    read_device_state(CUDA)
    assert nvml.asked == [f"GPU-{UUID}"]


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, ()),
        # An idle GPU, and clocks that were set on purpose.
        (0x1, ()),
        (0x2, ()),
        (0x100, ()),
        (0x4, ("power cap",)),
        (0x8, ("hardware slowdown",)),
        (0x10, ("sync boost",)),
        (0x20, ("software thermal slowdown",)),
        (0x8 | 0x40, ("hardware slowdown", "hardware thermal slowdown")),
        (0x1 | 0x4 | 0x80, ("power cap", "power brake")),
    ],
)
def test_reasons_are_words(
    monkeypatch: pytest.MonkeyPatch, bits: int, words: tuple[str, ...]
) -> None:
    install(monkeypatch, FakeNvml(bits))
    state = read_device_state(CUDA)
    assert state is not None
    assert state.throttle_reasons == words
    assert is_throttled(state, None) is bool(words)


@pytest.mark.parametrize(
    ("function", "fields"),
    [
        ("nvmlDeviceGetPowerUsage", ("power_w",)),
        ("nvmlDeviceGetCurrentClocksThrottleReasons", ("throttle_reasons",)),
        ("nvmlDeviceGetClockInfo", ("sm_clock_mhz", "memory_clock_mhz")),
        ("nvmlDeviceGetApplicationsClock", ("application_sm_clock_mhz",)),
        ("nvmlDeviceGetTemperature", ("temperature_c",)),
    ],
)
def test_what_a_gpu_does_not_tell_is_none_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch, function: str, fields: tuple[str, ...]
) -> None:
    nvml = FakeNvml(broken=(function,))
    install(monkeypatch, nvml)
    state = read_device_state(CUDA)
    assert state is not None
    unknown = {name for name, value in vars(state).items() if value is None}
    assert unknown == set(fields)
    assert nvml.open == 0


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_without_nvml_there_is_no_state(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    nvml = FakeNvml(broken=(function,))
    install(monkeypatch, nvml)
    assert read_device_state(CUDA) is None
    assert nvml.open == 0


def test_a_cpu_has_no_state_and_nvml_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_device_state(torch.device("cpu")) is None


def test_the_real_module_has_every_name_that_is_used() -> None:
    import pynvml

    names = [name for name in vars(FakeNvml) if name.startswith(("nvml", "NVML"))]
    assert len(names) == 12
    assert [name for name in names if not hasattr(pynvml, name)] == []
    for name in ("NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_TEMPERATURE_GPU"):
        assert getattr(pynvml, name) == getattr(FakeNvml, name)


SILENT = DeviceState(temperature_c=40)
FREE = DeviceState(throttle_reasons=())
CAPPED = DeviceState(throttle_reasons=("power cap",))


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [
        (None, None, None),
        (SILENT, None, None),
        (SILENT, SILENT, None),
        (FREE, FREE, False),
        (FREE, None, False),
        (SILENT, FREE, False),
        (CAPPED, FREE, True),
        (FREE, CAPPED, True),
        (CAPPED, CAPPED, True),
        (None, CAPPED, True),
        (CAPPED, SILENT, True),
    ],
)
def test_throttled_is_what_either_moment_tells(
    before: DeviceState | None, after: DeviceState | None, throttled: bool | None
) -> None:
    assert is_throttled(before, after) is throttled


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_tells_plausible_values() -> None:
    state = read_device_state(torch.device("cuda"))
    if state is None:
        pytest.skip("NVML is not available here")
    assert state.sm_clock_mhz is None or 100 <= state.sm_clock_mhz <= 5000
    assert state.temperature_c is None or 5 <= state.temperature_c <= 110
    assert state.power_w is None or 1 <= state.power_w <= 3000
