"""The peak of a GPU's memory, against the size of the picture or the batch."""

from __future__ import annotations

from ...bench.records import Timing
from ...bench.store.run import StoredRun
from .lines import cells_or_reason
from .panels import BY_BATCH, BY_SIZE, Quantity, draw_sweep
from .style import NothingToShowError, Plot, styled

_GIB = 1024**3


def _peak_gib(cell: Timing) -> float | None:
    return cell.peak_bytes / _GIB if cell.peak_bytes else None


MEMORY = Quantity("GiB, peak allocated", _peak_gib)


@styled
def memory(run: StoredRun) -> list[Plot]:
    """Draw the peak of allocated memory against the size, or the batch where one size was timed."""
    cells = cells_or_reason(run)
    known = [cell for cell in cells if cell.peak_bytes]
    if not known:
        raise NothingToShowError("the peak of memory is known of a GPU alone")
    devices = {cell.device for cell in known}
    shown = [cell for cell in cells if cell.device in devices]
    caption = (
        "The most memory that was allocated at once while the samples were taken, weights and "
        "pictures included. Both axes are logarithmic."
    )
    sizes = {(cell.width_px, cell.height_px) for cell in known}
    sweep = BY_SIZE if len(sizes) > 1 else BY_BATCH
    return draw_sweep(run, "memory", sweep, MEMORY, caption, shown)
