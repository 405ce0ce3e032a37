"""explain.html: the variants of a metric that give a quoted figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..tables.reading import Section
from .answer import Answer


def explain_page(explanation: Mapping[str, Any], command: str = "") -> str:
    """Return the page of a quoted figure.

    Args:
        explanation: what `vaebench explain --json` prints.
        command: how it was called.
    """
    unit = f" {explanation['unit']}" if explanation["unit"] else ""
    matches, computed = explanation["matches"], explanation["computed"]
    quoted = f"{explanation['quoted']:.10g}{unit}"
    several = len(matches) != 1
    sections = [
        _findings("What gives it", matches, explanation),
        _findings("What comes nearest", explanation["nearest"], explanation),
        _findings("Everything computed", computed, explanation),
        _reasons(explanation["not_computable"]),
    ]
    return Answer(
        kind="quoted figure",
        title=f"{explanation['metric']} {quoted}",
        question=f"How could {explanation['run']} have given {explanation['metric']} {quoted}?",
        figure=f"{len(matches)} of {len(computed)}" if matches else "none",
        tone="better" if matches else "undecided",
        answer=(
            f"figures computed from the stored pictures give{'' if several else 's'} it to within "
            f"{explanation['tolerance']:.3g}{unit}."
            if matches
            else f"of {len(computed)} figures computed from the stored pictures gives it to within "
            f"{explanation['tolerance']:.3g}{unit}."
        ),
        protocol=(
            ("run", str(explanation["run"])),
            ("pictures", str(explanation["n_images"])),
            ("tolerance", f"±{explanation['tolerance']:.3g}{unit}"),
        ),
        sections=tuple(section for section in sections if section.rows),
        notices=_chance(matches, computed, explanation),
        command=command,
    ).html()


def _chance(
    matches: Sequence[Any], computed: Sequence[Mapping[str, Any]], explanation: Mapping[str, Any]
) -> tuple[str, ...]:
    """Warn where so many variants lie so near that some would match any figure between them."""
    values = [float(entry["value"]) for entry in computed]
    span = max(values, default=0) - min(values, default=0)
    covered = 2 * explanation["tolerance"] * len(values)
    if not matches or not span or covered < span / 2:
        return ()
    return (
        "The tolerance is wide beside the distances between the variants: a figure made up within "
        "their range would be matched too. Quote more decimals.",
    )


def _findings(
    title: str, findings: Iterable[Mapping[str, Any]], explanation: Mapping[str, Any]
) -> Section:
    tolerance = float(explanation["tolerance"])
    digits = max(4, 2 - math.floor(math.log10(tolerance))) if tolerance > 0 else 4
    unit = f", {explanation['unit']}" if explanation["unit"] else ""
    rows = tuple(
        (
            str(entry["codec"]),
            str(entry["variant"]),
            f"{entry['value']:.{digits}f}",
            f"{entry['distance']:+z.{digits}f}",
            f"{entry['n_images']} of {explanation['n_images']}",
            "; ".join((str(entry["told"]), *(f"also {name}" for name in entry["also"]))),
        )
        for entry in findings
    )
    header = ("codec", "variant", f"value{unit}", f"distance{unit}", "pictures", "what it is")
    return Section(title, header, rows, (False, False, True, True, True, False))


def _reasons(entries: Iterable[Mapping[str, Any]]) -> Section:
    variants: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        variants.setdefault((str(entry["codec"]), str(entry["reason"])), []).append(
            str(entry["variant"])
        )
    rows = tuple((codec, reason, ", ".join(names)) for (codec, reason), names in variants.items())
    return Section("Not computed", ("codec", "reason", "variants"), rows, (False, False, False))
