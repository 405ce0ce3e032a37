"""The viewer of comparison.html: what changed most, as a run of the comparison's own pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from ...bench.compare.store import StoredComparison
from ...bench.records import REFERENCE, WHOLE
from ...bench.store.run import SCORE_COLUMNS, StoredRun
from ..tables.comparison_rows import compared_codecs

_SIDES = (("baseline", "baseline_value"), ("codec", "codec_value"))


@dataclass(frozen=True)
class ComparedPictures(StoredRun):
    """The changed pictures and regions of a comparison, read as the pictures of one run.

    A region is a picture of its own, as the comparison keeps no more of it. `paths` are the files
    by room, codec and picture.
    """

    paths: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)

    def _kept(self, room: str, codec: str, image_id: str, suffix: str = ".png") -> Path | None:
        return self.paths.get((room, codec, image_id))


def picture_name(image_id: str, place: str) -> str:
    """Return what the viewer calls a changed picture, or the region at `place` of it."""
    return f"{image_id} · {place}" if place else image_id


def pair_address(image_id: str, baseline: str, codec: str) -> str:
    """Return the address of a picture of the viewer, the baseline beside a codec."""
    named = {"picture": image_id, "a": baseline, "b": codec}
    return "#" + "&".join(f"{key}={quote(value, safe='')}" for key, value in named.items())


def compared_pictures(comparison: StoredComparison) -> ComparedPictures:
    """Return what the viewer of a comparison shows; without pictures where nothing changed."""
    record, changed = comparison.record, list(comparison.record["changed"])
    images: dict[str, dict[str, Any]] = {}
    for entry in changed:
        name = _name(entry)
        images.setdefault(name, _image(record, entry, name))
    stored = record["map"]
    like_a_run = {
        "name": record["name"],
        "images": list(images.values()),
        "codecs": [{"name": name} for name in (record["baseline"], *compared_codecs(comparison))],
        "metrics": record["metrics"],
        "regions": [],
        "unavailable": [],
        "error_map": stored and {"unit": "", **stored},
        "finished": True,
    }
    return ComparedPictures(
        comparison.folder, like_a_run, _scores(comparison, changed), _paths(comparison, changed)
    )


def _name(row: dict[str, Any]) -> str:
    place = "" if row["region"] == WHOLE else f"{row['region']}, {row['kind']}"
    return picture_name(str(row["image_id"]), place)


def _image(record: dict[str, Any], entry: dict[str, Any], name: str) -> dict[str, Any]:
    if entry["box_px"] is None:
        image = next(one for one in record["images"] if one["image_id"] == entry["image_id"])
        return {**image, "image_id": name}
    x0, y0, x1, y1 = entry["box_px"]
    return {"image_id": name, "width_px": x1 - x0, "height_px": y1 - y0}


def _paths(
    comparison: StoredComparison, changed: list[dict[str, Any]]
) -> dict[tuple[str, str, str], Path]:
    baseline, found = str(comparison.record["baseline"]), dict[tuple[str, str, str], Path]()
    for entry in changed:
        name = _name(entry)
        places = {
            "reference": ("reconstructions", REFERENCE),
            "baseline": ("reconstructions", baseline),
            "codec": ("reconstructions", str(entry["codec"])),
            "baseline_map": ("maps", baseline),
            "codec_map": ("maps", str(entry["codec"])),
        }
        for kept, (room, codec) in places.items():
            below = entry["pictures"].get(kept)
            if below and (comparison.folder / below).is_file():
                found[room, codec, name] = comparison.folder / below
    return found


def _scores(comparison: StoredComparison, changed: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the values of what changed: of whole pictures every metric, of regions the one."""
    baseline = str(comparison.record["baseline"])
    wholes = {str(entry["image_id"]) for entry in changed if entry["region"] == WHOLE}
    table: Any = comparison.per_image
    own = table[(table["region"] == WHOLE) & table["image_id"].isin(wholes)].to_dict("records")
    kinds = {str(entry["variant"]): str(entry["name"]) for entry in comparison.record["metrics"]}
    rows: list[dict[str, Any]] = []
    for row in [*own, *(entry for entry in changed if entry["region"] != WHOLE)]:
        for side, value in _SIDES:
            rows.append(
                {
                    **row,
                    "image_id": _name(row),
                    "codec": baseline if side == "baseline" else row["codec"],
                    "region": WHOLE,
                    "kind": WHOLE,
                    "metric": kinds[str(row["variant"])],
                    "value": row[value],
                }
            )
    frame = pd.DataFrame(rows, columns=pd.Index(SCORE_COLUMNS)).astype({"value": "float64"})
    return frame.drop_duplicates(["image_id", "codec", "variant"], keep="last")
