"""How long a batch takes, how many pictures a second that is, and how much memory it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...bench.records import STAGES, Timing
from ...bench.store.run import StoredRun
from ..tables.reading import milliseconds
from ..tables.timings import devices_of, size_text
from .lines import Line, cells_or_reason, line_of, lines_of, on_device, shared_text, stem_of
from .panels import BY_BATCH, BY_SIZE, Quantity, draw_sweep
from .style import FAINT, INK, NothingToShowError, Plot, grid_of, legend_above, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4
_GIB = 1024**3
ENCODE_COLOUR = "#56B4E9"
DECODE_COLOUR = "#0072B2"


def p50_ms(cell: Timing) -> float | None:
    """Return a cell's median time."""
    return cell.percentile_ms(50)


def _to_p90(cell: Timing) -> tuple[float, float]:
    low, high = cell.percentile_ms(50), cell.percentile_ms(90)
    return low or 0.0, high or 0.0


LATENCY = Quantity("ms a batch (p50)", p50_ms, _to_p90)
_CAPTION = (
    "The median time of a batch (p50); whiskers reach to the 90th percentile (p90). Both axes are "
    "logarithmic; lower is faster."
)


@styled
def latency_by_size(run: StoredRun) -> list[Plot]:
    """Draw the time of a batch against the side of its pictures, a row a batch."""
    return draw_sweep(run, "latency_by_size", BY_SIZE, LATENCY, _CAPTION)


@styled
def latency_by_batch(run: StoredRun) -> list[Plot]:
    """Draw the time of a batch against how many pictures are in it, a row a size."""
    return draw_sweep(run, "latency_by_batch", BY_BATCH, LATENCY, _CAPTION)


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


@styled
def stage_split(run: StoredRun) -> list[Plot]:
    """Draw bars of encode and decode end to end, a panel a size at the smallest batch."""
    cells = [cell for cell in cells_or_reason(run) if cell.samples_ms]
    devices = devices_of(cells)
    plots: list[Plot] = []
    for device in devices:
        own = [cell for cell in cells if cell.device == device]
        panels = _panels(own)[-MOST_PANELS:]
        if panels:
            text = (
                "The median time of encoding and of decoding, end to end; the black tick is the "
                f"round trip, timed on its own. {on_device(run, own, device)} {shared_text(own)}"
            )
            stem = stem_of("stage_split", device, devices)
            plots.append(Plot(stem, text.strip(), _draw_split(panels, device)))
    if not plots:
        raise NothingToShowError("no codec was timed both encoding and decoding")
    return plots


def _panels(cells: Sequence[Timing]) -> list[list[Timing]]:
    """Return the cells of each size at its smallest batch that has both stages, small to large."""
    panels: list[list[Timing]] = []
    sizes = sorted({(cell.width_px * cell.height_px, cell.width_px) for cell in cells})
    for size in sizes:
        of_size = [c for c in cells if (c.width_px * c.height_px, c.width_px) == size]
        for batch in sorted({cell.batch for cell in of_size}):
            panel = [cell for cell in of_size if cell.batch == batch]
            if any({"encode", "decode"} <= set(stages) for stages in _by_line(panel).values()):
                panels.append(panel)
                break
    return panels


def _by_line(cells: Sequence[Timing]) -> dict[Line, dict[str, Timing]]:
    lines: dict[Line, dict[str, Timing]] = {}
    for cell in cells:
        lines.setdefault(line_of(cell), {})[cell.stage] = cell
    return lines


def _draw_split(panels: list[list[Timing]], device: str) -> Figure:
    labels = lines_of([cell for panel in panels for cell in panel])
    heights = [0.75 + 0.3 * len(_by_line(panel)) for panel in panels]
    figure, axes = grid_of(len(panels), 1, 0, sum(heights) + 0.4, height_ratios=heights)
    for axis, panel in zip(axes, panels, strict=True):
        _draw_bars(axis, _by_line(panel), labels)
        first = panel[0]
        axis.set_title(f"{size_text(first)} px · batch {first.batch}")
        axis.set_xlabel(f"ms a batch (p50), on {device}", color=FAINT)
    found = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    names = [stage for stage in STAGES if stage in found]
    legend_above(figure, ([found[name] for name in names], names), gaps=(1.2, 1.6))
    return figure


def _draw_bars(axis: Axes, lines: dict[Line, dict[str, Timing]], labels: dict[Line, str]) -> None:
    widest = 0.0
    for place, stages in enumerate(lines.values()):
        encode, decode, roundtrip = (
            p50_ms(stages[stage]) if stage in stages else None for stage in STAGES
        )
        start = 0.0
        for name, value, colour in (
            ("encode", encode, ENCODE_COLOUR),
            ("decode", decode, DECODE_COLOUR),
        ):
            if value is not None:
                axis.barh(place, value, 0.62, left=start, color=colour, label=name)
                start += value
        if roundtrip is not None:
            axis.vlines(
                roundtrip, place - 0.4, place + 0.4, color=INK, linewidth=1.6, label="roundtrip"
            )
        widest = max(widest, start, roundtrip or 0.0)
        sum_text = " + ".join(milliseconds(ms) for ms in (encode, decode) if ms is not None)
        axis.annotate(
            f"{sum_text} ms" + (f", roundtrip {milliseconds(roundtrip)}" if roundtrip else ""),
            (max(start, roundtrip or 0.0), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    axis.set_yticks(range(len(lines)), [labels[line] for line in lines])
    axis.set_ylim(len(lines) - 0.45, -0.55)
    axis.set_xlim(0, 1.6 * widest)
    axis.grid(axis="x")
