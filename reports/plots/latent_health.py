"""Latents over all pictures: each channel's spread, how channels go together, the spectrum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bench.store.run import StoredRun
from ..tables.latents import CodecLatents, codecs_with_latents
from ..tables.reading import significant
from ..tables.run import codec_names
from .style import (
    FAINT,
    GRID,
    NothingToShowError,
    Plot,
    colour_of,
    grid_of,
    marker_of,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEAD_COLOUR = "#D55E00"
MAPS_A_ROW = 3
MOST_NUMBERED = 8
"""Up to so many channels, a correlation is written into its cell."""
_COLOURS = "PuOr"


def _measured(run: StoredRun) -> list[CodecLatents]:
    codecs = codecs_with_latents(run)
    if not codecs:
        raise NothingToShowError(
            "the latents were not measured; make the run again"
            if any(codec.latent_channels for codec in run.record.codecs)
            else "no codec of the run has latents"
        )
    return codecs


@styled
def latent_channels(run: StoredRun) -> list[Plot]:
    """Draw a panel a codec: each channel's mean ± standard deviation, least and greatest value."""
    codecs = _measured(run)
    figure, axes = grid_of(len(codecs), 1, 2.3, 0.2)
    for axis, codec in zip(axes, codecs, strict=True):
        _draw_channels(axis, codec, colour_of(codec_names(run).index(codec.codec)))
    figure.tight_layout(pad=0.6, h_pad=1.4)
    caption = (
        "Raw latents of all pictures, channel by channel: the bar is the mean ± one standard "
        "deviation, the thin line reaches from the least to the greatest value. Dead channels, "
        "which hardly vary, are named in orange."
    )
    return [Plot("latent-channels", caption, figure)]


def _draw_channels(axis: Axes, codec: CodecLatents, colour: str) -> None:
    rows = codec.channels
    numbers, mean, std = (rows[name].to_numpy() for name in ("channel", "mean", "std"))
    axis.vlines(numbers, rows["min"], rows["max"], color=FAINT, linewidth=0.9)
    axis.bar(numbers, 2 * std, 0.7, bottom=mean - std, color=colour, alpha=0.55, linewidth=0)
    axis.plot(numbers, mean, linestyle="", marker="_", markersize=6, color=colour)
    axis.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    every = math.ceil(len(rows) / 32)
    ticks = [number for number in range(len(rows)) if number % every == 0 or number in codec.dead]
    axis.set_xticks(ticks, [str(number) for number in ticks])
    for label, number in zip(axis.get_xticklabels(), ticks, strict=True):
        if number in codec.dead:
            label.set(color=DEAD_COLOUR, fontweight="bold")
    axis.set_xlim(-0.8, max(len(rows), 4) - 0.2)
    axis.set_title(shorten(codec.codec, 60))
    axis.set_xlabel("channel", color=FAINT)
    axis.set_ylabel("raw latent")
    axis.grid(axis="y")


@styled
def latent_correlation(run: StoredRun) -> list[Plot]:
    """Draw a map a codec: the correlation of each channel with each."""
    codecs = [codec for codec in _measured(run) if len(codec.channels) > 1]
    if not codecs:
        raise NothingToShowError("no codec has more than one latent channel")
    figure, axes = grid_of(len(codecs), MAPS_A_ROW, 3.1, 0.5)
    height_in = float(figure.get_figheight())
    image = [_draw_map(axis, codec) for axis, codec in zip(axes, codecs, strict=True)][-1]
    figure.tight_layout(pad=0.6, h_pad=1.4, w_pad=1.4, rect=(0, 0.5 / height_in, 1, 1))
    place = figure.add_axes((0.3, 0.32 / height_in, 0.4, 0.1 / height_in))
    bar = figure.colorbar(image, place, orientation="horizontal", ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    caption = (
        "Correlation between the channels of the latents over all pictures: 0 where one channel "
        "tells nothing linear of another, ±1 where it tells all. Grey: a constant channel, which "
        "has no correlation."
    )
    return [Plot("latent-correlation", caption, figure)]


def _draw_map(axis: Axes, codec: CodecLatents) -> Any:
    import matplotlib as mpl

    values = codec.correlation
    colours = mpl.colormaps[_COLOURS].with_extremes(bad="#cccccc")
    image = axis.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=-1, vmax=1)
    if len(values) <= MOST_NUMBERED:
        for (y, x), value in np.ndenumerate(values):
            if x != y and np.isfinite(value):
                ink = "white" if abs(value) > 0.6 else "black"
                # Adding zero takes the sign off a rounded −0.
                text = f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")
                axis.text(x, y, text, ha="center", va="center", color=ink, fontsize=7)
    every = math.ceil(len(values) / 8)
    ticks = list(range(0, len(values), every))
    axis.set_xticks(ticks)
    axis.set_yticks(ticks)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(shorten(codec.codec, 32))
    return image


@styled
def latent_spectrum(run: StoredRun) -> list[Plot]:
    """Draw a line a codec: the share of variance of each principal component of its channels."""
    codecs = [codec for codec in _measured(run) if sum(codec.whole.eigenvalues) > 0]
    if not codecs:
        raise NothingToShowError("the latents of every codec are constant")
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure, (axis,) = grid_of(1, 1, 3.4)
    for codec in codecs:
        values = np.asarray(codec.whole.eigenvalues)
        place = codec_names(run).index(codec.codec)
        # Rounding leaves a direction without variance some 1e-17 of the whole.
        shares = np.where(values > 1e-12 * values.sum(), values / values.sum(), np.nan)
        effective = significant(codec.whole.effective_channels)
        axis.plot(
            range(1, len(values) + 1),
            shares,
            color=colour_of(place),
            marker=marker_of(place),
            markersize=4,
            linewidth=1.3,
            label=f"{shorten(codec.codec)}: {effective} of {len(values)}",
        )
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    axis.set_xlim(0.5, max(len(codec.channels) for codec in codecs) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid()
    axis.set_xlabel("principal component of the channels", color=FAINT)
    axis.set_ylabel("share of variance")
    axis.legend(title="effective channels", loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout(pad=0.6)
    caption = (
        "Eigenvalues of the covariance between channels, as shares of their sum. A flat line uses "
        "all channels alike; a steep one has fewer effective channels than it stores "
        "(participation ratio, in the legend)."
    )
    return [Plot("latent-spectrum", caption, figure)]
