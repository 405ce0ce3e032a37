"""What `vaebench ladder --out` writes: the table, its plot, and the page around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...bench.errors import VaebenchError
from ...bench.store.atomic import write_atomic
from ..plots.ladder import ladder_plot
from ..plots.style import NothingToShowError, Plot, save
from ..tables.columns import NOT_APPLICABLE, UNAVAILABLE
from ..tables.reading import Section, significant
from ..tables.writers import markdown_table, markdown_text
from .answer import Answer


def write_ladder(
    folder: Path,
    ladder: Mapping[str, Any],
    table: pd.DataFrame,
    told: tuple[str, Sequence[Sequence[str]], Iterable[str]],
    command: str,
) -> Path:
    """Write ladder.csv (full precision), ladder.md, the plot and ladder.html into a folder.

    Args:
        ladder: what `vaebench ladder --json` prints. table: the same, of the result.
        told: its title, its rows (the first is the header) and its notes, for reading.
        command: how it was called.
    Returns: the path of ladder.html.
    Raises: VaebenchError where it cannot be written.
    """
    path = folder / "ladder.html"
    try:
        write_atomic(folder / "ladder.csv", table.to_csv(index=False).encode())
        write_atomic(folder / "ladder.md", _markdown(*told).encode())
        plot = _draw(table, ladder["metrics"])
        if plot is not None:
            save(plot, folder)
        name, caption = ("ladder.svg", plot.caption) if plot else (None, "")
        write_atomic(path, ladder_page(ladder, name, caption, command).encode())
    except OSError as error:
        raise VaebenchError(
            f"Cannot write the ladder into {folder}: {error.strerror}. Choose another --out."
        ) from error
    return path


def _draw(table: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]]) -> Plot | None:
    """Return the plot; None of a ladder without a number, whose table says why."""
    try:
        return ladder_plot(table, {name: str(column["unit"]) for name, column in metrics.items()})
    except NothingToShowError:
        return None


def _markdown(title: str, rows: Sequence[Sequence[str]], notes: Iterable[str]) -> str:
    table = markdown_table(rows[0], rows[1:], [False, *(True for _ in rows[0][1:])])
    told = "\n".join(f"- {markdown_text(note)}" for note in notes)
    return "\n\n".join(filter(None, (markdown_text(title), table, told))) + "\n"


def ladder_page(ladder: Mapping[str, Any], plot: str | None, caption: str, command: str) -> str:
    """Return the page of a loss ladder.

    Args:
        ladder: what `vaebench ladder --json` prints.
        plot: the file of the plot beside the page; None where there is none. caption: below it.
        command: how it was called.
    """
    codec, rungs = ladder["codec"], ladder["rungs"]
    fitted = f"{ladder['size']} px, {ladder['fit']}" if ladder["size"] else "native"
    count = int(ladder["n_images"])
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    figure, answer = _costliest(rungs, ladder["metrics"])
    return Answer(
        kind="loss ladder",
        title=str(codec["name"]),
        question=f"What does each step of a protocol cost {codec['name']}, over {pictures}?",
        figure=figure,
        tone="worse" if figure != NOT_APPLICABLE else "undecided",
        answer=answer,
        protocol=(
            ("codec", str(codec["source"])),
            ("pictures", str(count)),
            ("size", fitted),
            ("weights", str(codec["weights_sha256"] or NOT_APPLICABLE)[:12]),
        ),
        sections=tuple(
            _rung_section(name, column, rungs) for name, column in ladder["metrics"].items()
        ),
        plot=plot,
        caption=caption,
        notices=tuple(
            f"{item['image_id']} could not be used: {item['reason']}" for item in ladder["skipped"]
        ),
        reading=(
            (
                "Base",
                "The codec in float32, the mode of its posterior, untiled, its output clamped but "
                "not rounded.",
            ),
            ("Alone", "The base with this rung switched on, and nothing else."),
            ("Cumulative", "The base with this rung and every available one above it."),
            (
                "Difference",
                "The mean over pictures of rung minus base. A loss has the sign of the metric: "
                "less PSNR, more LPIPS.",
            ),
        ),
        command=command,
    ).html()


def _costliest(
    rungs: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str]:
    """Return the largest loss of a rung alone by the first metric that has one, in words."""
    for name, column in metrics.items():
        sign = -1 if column["higher_is_better"] else 1
        losses = [
            (sign * float(row["difference"]), str(row["rung"]), float(row["difference"]))
            for row in rungs
            if row["metric"] == name and row["mode"] == "alone" and row["difference"] is not None
        ]
        if losses and max(losses)[0] > 0:
            _, rung, difference = max(losses)
            unit = f" {column['unit']}" if column["unit"] else ""
            sign_text = "+" if difference > 0 else ""
            return (
                f"{sign_text}{significant(difference)}{unit}",
                f"of {name} by {rung}, alone the dearest rung.",
            )
    return NOT_APPLICABLE, "No rung costs anything that could be measured."


def _rung_section(
    name: str, column: Mapping[str, Any], rungs: Sequence[Mapping[str, Any]]
) -> Section:
    unit = f", {column['unit']}" if column["unit"] else ""
    by_place = {(row["rung"], row["mode"]): row for row in rungs if row["metric"] == name}
    rows = tuple(
        (
            str(rung),
            *(_number(by_place[rung, mode], "difference") for mode in ("alone", "cumulative")),
            *(_number(by_place[rung, mode], "value") for mode in ("alone", "cumulative")),
            _notes(by_place[rung, "alone"], by_place[rung, "cumulative"]),
        )
        for rung in dict.fromkeys(row["rung"] for row in rungs)
    )
    header = (
        "rung",
        f"alone{unit}",
        f"cumulative{unit}",
        "value alone",
        "value cumulative",
        "note",
    )
    return Section(f"{name} · {column['variant']}", header, rows, (False, *[True] * 4, False))


def _number(row: Mapping[str, Any], key: str) -> str:
    number = row[key]
    if number is None:
        return UNAVAILABLE
    digits = 3 if row["metric"] == "psnr" else 4
    return f"{number:+z.{digits}f}" if key == "difference" else f"{number:.{digits}f}"


def _notes(alone: Mapping[str, Any], together: Mapping[str, Any]) -> str:
    if alone["note"] == together["note"]:
        return str(alone["note"])
    told = (("", alone["note"]), ("cumulative: ", together["note"]))
    return "; ".join(f"{prefix}{note}" for prefix, note in told if note)
