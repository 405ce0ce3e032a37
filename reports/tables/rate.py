"""The tables of a rate-distortion measurement: data frames, and rectangles of text for reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...bench.rate.store import StoredRd
from .columns import NOT_APPLICABLE, UNAVAILABLE, Column, columns_of
from .reading import Section, of_pictures, significant
from .writers import Makers, Table, made_tables

RATES_BPP = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Where the curves are read to tell which codec is best at a rate."""

EQUAL_MEAN_COLUMNS = (
    "autoencoder",
    "codec",
    "n_images",
    "largest_deviation",
    "metric",
    "variant",
    "value",
    "autoencoder_value",
    "note",
)

FEWEST_CODECS = 2
"""A codec alone at a rate is not the best of anything."""


def swept_codecs(found: StoredRd) -> list[str]:
    """Return the codecs in the order in which they were named."""
    return [str(codec["name"]) for codec in found.record["codecs"]]


def metric_columns(found: StoredRd) -> list[Column]:
    """Return the metrics that have a value, in the order in which they were asked for."""
    known = set(found.points.dropna(subset=["value"])["variant"])
    return [column for column in columns_of(found.record["metrics"]) if column.variant in known]


def curve_means(found: StoredRd, variant: str) -> pd.DataFrame:
    """Return codec, setting, bpp, value and n_images: means over the pictures, in sweep order.

    A mean that is infinite, of pictures that a codec kept to the last bit, is left out.
    """
    points: Any = found.points
    own = points[points["variant"] == variant].dropna(subset=["value"])
    groups = own.groupby(["codec", "setting"], sort=False)
    means = groups[["bpp", "value"]].mean()
    means["n_images"] = groups.size()
    return means[np.isfinite(means["value"])].reset_index()


def curve_table(found: StoredRd) -> pd.DataFrame:
    """Return a row a codec and setting: the mean rate, and the mean of every metric."""
    keys = ["codec", "setting"]
    points: Any = found.points
    first = points.drop_duplicates([*keys, "image_id"]).groupby(keys, sort=False)
    table = first["bpp"].mean().to_frame()
    table.insert(0, "n_images", first.size())
    for column in metric_columns(found):
        means = curve_means(found, column.variant).set_index(keys)["value"]
        table[column.variant] = means.reindex(table.index)
    return table.reset_index()


def curve_sections(found: StoredRd) -> list[Section]:
    """Return a section a codec: its settings, rates and qualities.

    A mean over fewer than all pictures says over how many.
    """
    columns = metric_columns(found)
    table = curve_table(found)
    total = len(found.record["images"])
    keys = ["codec", "setting"]
    counts = {
        column.variant: curve_means(found, column.variant).set_index(keys)["n_images"].to_dict()
        for column in columns
    }
    header = ("setting", "bit/px", *(_title(column) for column in columns))
    parts: list[Section] = []
    for codec, rows in table.groupby("codec", sort=False):
        cells = tuple(
            (
                str(row["setting"]),
                of_pictures(significant(float(row["bpp"])), row["n_images"], total),
                *(
                    of_pictures(
                        column.number(float(row[column.variant])),
                        counts[column.variant].get((row["codec"], row["setting"]), total),
                        total,
                    )
                    for column in columns
                ),
            )
            for row in rows.to_dict("records")
        )
        parts.append(Section(str(codec), header, cells, (False, *(True for _ in header[1:]))))
    return parts


def bd_sections(found: StoredRd) -> list[Section]:
    """Return one section: a row a codec and metric, BD-rate and BD-quality side by side."""
    names = {column.variant: column for column in metric_columns(found)}
    keys = ["codec", "metric"]
    quality = found.bd_quality.set_index(keys)
    rows: list[tuple[str, ...]] = []
    notes: list[tuple[str, str]] = []
    for row in found.bd.to_dict("records"):
        column = names.get(str(row["metric"]))
        if column is None:
            continue
        other: Any = quality.loc[(row["codec"], row["metric"])]
        rate = _with_interval(row, "bd_rate_percent", _per_cent)
        gain = _with_interval(other, "bd_quality", partial(column.quantity, signed=True))
        rows.append((str(row["codec"]), _title(column), *rate, *gain))
        where = f"{row['codec']}, {column.label}"
        notes += [(f"{where}, BD-rate", f"{row['note']}.")] if row["note"] else []
        notes += [(f"{where}, BD-quality", f"{other['note']}.")] if other["note"] else []
    header = ("codec", "metric", "BD-rate", "interval", "BD-quality", "interval")
    title = f"Bjøntegaard deltas against {found.record['anchor']}"
    is_number = (False, False, True, True, True, True)
    return [Section(title, header, tuple(rows), is_number, tuple(notes))]


def _per_cent(value: float) -> str:
    return f"{value:+.1f} %"


def _with_interval(row: Any, name: str, text: Callable[[float], str]) -> tuple[str, str]:
    value, low, high = (float(row[key]) for key in (name, "ci_low", "ci_high"))
    if math.isnan(value):
        return "refused", NOT_APPLICABLE
    return text(value), NOT_APPLICABLE if math.isnan(low) else f"{text(low)} to {text(high)}"


def rate_sections(found: StoredRd) -> list[Section]:
    """Return one section: what each autoencoder's latents cost, counted in four ways."""
    header = (
        "codec",
        "setting",
        "elements",
        "stored fp16",
        "stored fp32",
        "measured",
        "bit/px",
        "entropy",
        "header",
    )
    rows = tuple(
        (
            str(row["codec"]),
            of_pictures(str(row["setting"]), int(row["n_images"]), len(found.record["images"])),
            *(f"{significant(float(row[name]))}×" for name in _RATIOS),
            *(significant(float(row[name])) for name in ("bpp", "entropy_bpp", "header_bpp")),
        )
        for row in found.rates.to_dict("records")
    )
    return [Section("Rates", header, rows, (False, False, *(True,) * 7))]


_RATIOS = ("elements_ratio", "stored_ratio_fp16", "stored_ratio_fp32", "ratio")


def best_at_rates(found: StoredRd) -> pd.DataFrame:
    """Return for each metric and rate the best codec, its value and how many reach that rate.

    Mean curves are read between their points, linearly over the logarithm of the rate, and never
    beyond their ends.
    """
    rows: list[dict[str, object]] = []
    for column in metric_columns(found):
        means = curve_means(found, column.variant)
        for rate in RATES_BPP:
            values = {
                str(codec): value
                for codec, curve in means.groupby("codec", sort=False)
                if (value := _read(curve, rate)) is not None
            }
            if len(values) >= FEWEST_CODECS:
                sign = 1 if column.higher_is_better else -1
                best = max(values, key=lambda codec: sign * values[codec])
                where = {"metric": column.metric, "variant": column.variant, "bpp": rate}
                entry = {"codec": best, "value": values[best], "n_codecs": len(values)}
                rows.append({**where, **entry})
    names = ["metric", "variant", "bpp", "codec", "value", "n_codecs"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def _read(curve: pd.DataFrame, bpp: float) -> float | None:
    ordered = curve.sort_values("bpp")
    rates, values = np.log(ordered["bpp"].to_numpy()), ordered["value"].to_numpy()
    place = math.log(bpp)
    if len(rates) < FEWEST_CODECS or not rates[0] <= place <= rates[-1]:
        return None
    return float(np.interp(place, rates, values))


def best_sections(found: StoredRd) -> list[Section]:
    """Return one section: a row a metric, a column a rate, the best codec and its value."""
    table = best_at_rates(found)
    rates = [rate for rate in RATES_BPP if rate in set(table["bpp"])]
    keyed = {(row["variant"], row["bpp"]): row for row in table.to_dict("records")}
    rows: list[tuple[str, ...]] = []
    for column in metric_columns(found):
        cells = [keyed.get((column.variant, rate)) for rate in rates]
        texts = [
            NOT_APPLICABLE
            if cell is None
            else f"{cell['codec']} {column.number(float(cell['value']))}"
            for cell in cells
        ]
        rows.append((_title(column), *texts))
    header = ("metric", *(f"{rate:g} bit/px" for rate in rates))
    return [Section("Best at each rate", header, tuple(rows), (False,) * len(header))]


def equal_means(found: StoredRd) -> pd.DataFrame:
    """Return a row an autoencoder, classical codec and metric: means at equal bytes.

    Both means are over the pictures on which the codec came within the tolerance, `n_images`;
    `largest_deviation` is the largest there. Where there is none, `note` tells how near it came.
    """
    rows: list[dict[str, object]] = []
    table: Any = found.equal
    for (autoencoder, codec), own in table.groupby(["autoencoder", "codec"], sort=False):
        if codec == autoencoder:
            continue
        equal = own[own["note"].eq("")]
        others = own.drop_duplicates("image_id")
        off = others["deviation"].abs()
        nearest = others.loc[off.idxmin()]
        where = {"autoencoder": autoencoder, "codec": codec, "n_images": equal.image_id.nunique()}
        if equal.empty:
            rows.append({**where, "note": f"at best {nearest['note']}"})
            continue
        is_coder = table["autoencoder"].eq(autoencoder) & table["codec"].eq(autoencoder)
        coder = table[is_coder & table["image_id"].isin(equal["image_id"])]
        where["largest_deviation"] = equal["deviation"].abs().max()
        for column in metric_columns(found):
            means = [
                side.loc[side["variant"] == column.variant, "value"].mean()
                for side in (equal, coder)
            ]
            values = {"value": means[0], "autoencoder_value": means[1]}
            rows.append({**where, "metric": column.metric, "variant": column.variant, **values})
    return pd.DataFrame(rows, columns=pd.Index(EQUAL_MEAN_COLUMNS))


def equal_sections(found: StoredRd) -> list[Section]:
    """Return a section an autoencoder: each classical codec at its bytes, against it."""
    columns = metric_columns(found)
    total = len(found.record["images"])
    parts: list[Section] = []
    for autoencoder, own in equal_means(found).groupby("autoencoder", sort=False):
        cells: list[tuple[str, ...]] = []
        notes: list[tuple[str, str]] = []
        for codec, rows in own.groupby("codec", sort=False):
            first = rows.iloc[0]
            if not first["n_images"]:
                cells.append((str(codec), f"0 of {total}", *(NOT_APPLICABLE for _ in columns)))
                notes.append((str(codec), f"{first['note']}."))
                continue
            by_variant = rows.set_index("variant").to_dict("index")
            texts = [_pair_text(by_variant[column.variant], column) for column in columns]
            cells.append((str(codec), f"{first['n_images']} of {total}", *texts))
        header = ("codec", "pictures", *(_title(column) for column in columns))
        is_number = (False, *(True for _ in header[1:]))
        title = f"{autoencoder} at {_middle(found, str(autoencoder))}"
        parts.append(Section(title, header, tuple(cells), is_number, tuple(notes)))
    return parts


def _pair_text(row: Any, column: Column) -> str:
    values = [float(row[name]) for name in ("value", "autoencoder_value")]
    if any(math.isnan(value) for value in values):
        return UNAVAILABLE
    return " vs ".join(column.number(value) for value in values)


def _middle(found: StoredRd, autoencoder: str) -> str:
    own = found.equal["codec"].eq(autoencoder) & found.equal["autoencoder"].eq(autoencoder)
    return str(found.equal.loc[own, "setting"].iloc[0])


def _title(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.label} {'↑' if column.higher_is_better else '↓'}{unit}"


RD_TABLES: Makers[StoredRd] = {
    "bd": (lambda found: found.bd, bd_sections),
    "best_at_rates": (best_at_rates, best_sections),
    "curves": (curve_table, curve_sections),
    "rates": (lambda found: found.rates, rate_sections),
    "equal_means": (equal_means, equal_sections),
}


def rd_tables(found: StoredRd) -> Iterator[Table]:
    """Yield the tables that have rows."""
    return made_tables(RD_TABLES, found, str(found.record["name"]), ("ci_low", "ci_high"))
