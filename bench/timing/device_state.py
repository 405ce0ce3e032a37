"""A GPU's clocks, temperature, power and what throttles it, by NVML."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..records import DeviceState

if TYPE_CHECKING:
    import torch

# Bits of nvmlClocksEventReasons (NVML API reference). An idle GPU and clocks that were set on
# purpose (0x1, 0x2, 0x100) hold nothing back that a user did not ask for.
_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


def read_device_state(device: torch.device) -> DeviceState | None:
    """Return what NVML tells of a CUDA device now; None on a CPU or without NVML.

    The device is found by its UUID, so that CUDA_VISIBLE_DEVICES and its order play no part.
    """
    if device.type != "cuda":
        return None
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
        return _state(pynvml, handle)
    except pynvml.NVMLError:
        return None
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _state(nvml: Any, handle: Any) -> DeviceState:
    def ask(query: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return query(handle, *arguments)
        except nvml.NVMLError:
            return None

    power_mw = ask(nvml.nvmlDeviceGetPowerUsage)
    bits = ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
    return DeviceState(
        sm_clock_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
        application_sm_clock_mhz=ask(nvml.nvmlDeviceGetApplicationsClock, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
        temperature_c=ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        power_w=None if power_mw is None else power_mw / 1000,
        throttle_reasons=None
        if bits is None
        else tuple(word for bit, word in _REASONS.items() if bits & bit),
    )


def is_throttled(before: DeviceState | None, after: DeviceState | None) -> bool | None:
    """Tell whether anything held the clocks down at either moment; None where NVML is silent."""
    reasons = [
        state.throttle_reasons
        for state in (before, after)
        if state is not None and state.throttle_reasons is not None
    ]
    return any(reasons) if reasons else None
