"""How to read each number, in words for people who did not make the run."""

from __future__ import annotations

from ...bench.store.run import StoredRun
from ..tables.columns import Column, quality_columns, rate_columns
from ..tables.timings import timed_cells

_METRICS = {
    "psnr": "Peak signal-to-noise ratio: 10·log10(1/MSE) over all pixels and channels, in "
    "decibels. 6 dB more is half the root-mean-square error, so a quarter of the MSE. Infinite for "
    "identical pictures and never capped.",
    "mse": "Mean squared error over pixels and channels in [0, 1].",
    "mae": "Mean absolute error over pixels and channels in [0, 1].",
    "ssim": "Structural similarity: local means, variances and covariance under a Gaussian window; "
    "1 is identical.",
    "ms_ssim": "Structural similarity over five scales; 1 is identical.",
    "lpips": "Distance between the features of a trained network (the backbone is in the variant); "
    "0 is identical. Sees lost texture that PSNR forgives.",
    "flip": "How different the two look when one flips between them at a usual viewing distance; "
    "0 is identical, 1 the most.",
    "ciede2000": "Colour difference ΔE00 in CIELAB, mean over pixels; about 1 is just visible.",
}
_RATES = {
    "bpp/stored": "Bits per pixel of the latents as they are stored, at their own precision, "
    "without entropy coding: no fair race against the bytes of a file.",
    "bpp/indices": "Bits per pixel of a codebook's indices: ⌈log2 K⌉ bits for each of them, K the "
    "entries of the codebook; a fixed length, without entropy coding.",
    "bpp/measured": "Bits per pixel of real bytes: of a file, or of quantised latents, "
    "entropy-coded and with their header.",
    "elements_ratio": "Numbers in the picture over numbers in the latents: 48 for [3, 512, 512] → "
    "[4, 64, 64]. Of a set: all numbers of its pictures over all of their latents.",
    "stored_bits_ratio": "24 bits per pixel over the bits that are stored. Of a set: all raw bits "
    "over all stored bits, so pictures count by their size.",
}

_REGIONS = (
    "A region's score is the mean over the region of the whole picture's map of errors. For PSNR, "
    "MSE, MAE and CIEDE2000 that is the metric of the region alone. SSIM, FLIP and LPIPS look at "
    "each pixel's surroundings, which may lie outside: a crop of the region would score otherwise."
)

_TIMES = (
    (
        "Time of a batch",
        "p50, p90, p99 ms",
        "The percentiles of the samples of one cell: half, nine tenths and 99 in 100 of the runs "
        "took no longer. Of the whole batch, on the clock that the protocol names.",
    ),
    (
        "What is in it",
        "encode, decode",
        "Of a network from and to tensors on its device, of a classical codec from and to 8-bit "
        "pictures in memory: each as its users call it. No file is read or written.",
    ),
    (
        "Throughput",
        "images/s, MP/s",
        "The batch over its median time, in pictures and in millions of the picture's pixels.",
    ),
    (
        "Work",
        "TFLOP/s, of peak",
        "10¹² floating-point operations a second: those of a run, multiplications and additions "
        "counted apart, over its median time; and the share of what the device's data sheet "
        "promises for that precision. A dash where either is not known.",
    ),
    (
        "Peak memory",
        "allocated, reserved",
        "The most that PyTorch held at once on the GPU while the samples were taken, and the most "
        "that it had asked of the driver. Not known of a CPU.",
    ),
    (
        "First call",
        "first call ms",
        "The wall time of the very first run: compilation and the choice of kernels are in it, "
        "and in no other number.",
    ),
    (
        "Never settled",
        "note",
        "The warm-up ended before the medians of two windows in a row agreed: the device was still "
        "changing, or shared. The samples are real, the median is less certain.",
    ),
    (
        "Throttled",
        "note",
        "The driver reported that power, heat or a fault held the clocks down before or after the "
        "cell; a cooler or freer device is faster.",
    ),
)


def explain_speed(run: StoredRun) -> list[tuple[str, str, str]]:
    """Return (label, columns, text) for the numbers of timings; nothing for a run without any."""
    return list(_TIMES) if timed_cells(run) else []


def explain(run: StoredRun) -> list[tuple[str, str, str]]:
    """Return (label, variant, text) for every column of scores of a run."""
    entries = [
        (column.label, column.variant, _quality_text(column)) for column in quality_columns(run)
    ]
    if run.regions:
        entries.append(("Region", "eye, text, …", _REGIONS))
    for column in rate_columns(run):
        text = _RATES.get(column.variant) or _RATES.get(column.metric, "What the picture costs.")
        entries.append((column.label, column.variant, text))
    return entries


def _quality_text(column: Column) -> str:
    root = column.metric.replace("-", "_")
    text = _METRICS.get(root) or _METRICS.get(column.metric.partition("-")[0], "")
    direction = "Higher is better." if column.higher_is_better else "Lower is better."
    return f"{text} {direction}".strip()
