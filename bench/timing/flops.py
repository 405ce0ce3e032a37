"""Floating-point operations of a region, and what a device's data sheet promises."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .timers import Work

# Dense peaks in TFLOP/s from NVIDIA's data sheets, half of what a sheet tells with sparsity alone:
# float16 and bfloat16 on tensor cores with float32 accumulation, and float32, whose convolutions
# run in TF32 where the device has it. A name matches where all its words are in the device's; the
# first match counts.
_PEAKS: tuple[tuple[str, float, float], ...] = (
    ("B200", 2250.0, 1125.0),
    ("H200 NVL", 835.5, 417.5),
    ("H200", 989.5, 494.5),
    ("GH200", 989.5, 494.5),
    ("H100 PCIe", 756.0, 378.0),
    ("H100 NVL", 835.5, 417.5),
    ("H100", 989.5, 494.5),
    ("A100", 312.0, 156.0),
    ("A10G", 70.0, 35.0),
    ("A10", 125.0, 62.5),
    ("A40", 149.7, 74.8),
    ("RTX A6000", 154.8, 77.4),
    ("L40S", 362.05, 183.0),
    ("L40", 181.05, 90.5),
    ("L4", 121.0, 60.0),
    ("V100 PCIE", 112.0, 14.0),
    ("V100", 125.0, 15.7),
    ("T4", 65.0, 8.1),
    ("RTX 5090", 209.5, 104.8),
    ("RTX 4090", 165.2, 82.6),
    ("RTX 3090", 71.0, 35.6),
)
_WITHOUT_BFLOAT16 = ("V100 PCIE", "V100", "T4")


def count_flop(work: Work) -> int | None:
    """Return the floating-point operations of one run of a region; None where they can't be told.

    Multiplications and additions count one each, of convolutions, matrix products and attention.
    The region runs on fake tensors, that is on shapes alone, and outside of any compiled graph.
    """
    counter = FlopCounterMode(display=False)
    try:
        with (
            torch.compiler.set_stance("force_eager"),
            FakeTensorMode(allow_non_fake_inputs=True),
            # As two matrix products: not every device's fused attention is counted.
            sdpa_kernel(SDPBackend.MATH),
            counter,
        ):
            work()
    except Exception:
        # A codec may do anything, and a count is not worth a sweep.
        return None
    return counter.get_total_flops() or None


def peak_tflops(device_name: str, dtype: str | None) -> float | None:
    """Return a device's dense peak in TFLOP/s for a precision; None where it is not known."""
    words = set(device_name.replace("-", " ").split())
    # Cut-down and sliced versions of a card have peaks of their own.
    if words & {"Laptop", "MIG", "Ti", "D", "SUPER"}:
        return None
    for name, half, single in _PEAKS:
        if set(name.split()) <= words:
            brain = None if name in _WITHOUT_BFLOAT16 else half
            return {"float16": half, "bfloat16": brain, "float32": single}.get(dtype or "")
    return None
