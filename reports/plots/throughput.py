"""How many pictures a second a device puts through, against the batch."""

from __future__ import annotations

from ...bench.records import Timing
from ...bench.store.run import StoredRun
from .panels import BY_BATCH, Quantity, draw_sweep
from .style import Plot, styled


def _images_per_s(cell: Timing) -> float | None:
    return cell.images_per_s


def _from_p90(cell: Timing) -> tuple[float, float]:
    slow_ms = cell.percentile_ms(90)
    return (1000 * cell.batch / slow_ms if slow_ms else 0.0), cell.images_per_s or 0.0


THROUGHPUT = Quantity("images/s (p50)", _images_per_s, _from_p90, is_log=False)


@styled
def throughput(run: StoredRun) -> list[Plot]:
    """Draw images a second against the batch, a row a size."""
    caption = (
        "Pictures a second: the batch over its median time; whiskers reach down to the rate at the "
        "90th percentile of the time (p90). Higher is faster; a line that is flat has filled the "
        "device."
    )
    return draw_sweep(run, "throughput", BY_BATCH, THROUGHPUT, caption)
