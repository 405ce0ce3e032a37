"""The pictures behind a comparison: what changed most, and the patches with the largest errors.

Everything is cut from the pictures and error maps that the runs kept; what was not kept is None.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import RunFolderError
from ..records import WHOLE, MetricColumn, Progress
from ..store.kept import kept_bytes, read_kept
from .pairing import PairedCodec, Side
from .patches import Box, Patch, worst_patches
from .store import PICTURES

SHOWN_EACH_WAY = 6
"""Whole pictures, and as many regions, shown for each codec as changed for better and for worse."""

PATCHES_SHOWN = 24
DIFFERENCE_QUANTILE = 0.995

_MORE_ERROR = np.array([178, 24, 43])
_LESS_ERROR = np.array([33, 102, 172])


@dataclass(frozen=True)
class Change:
    """A whole picture (`box_px` None) or region whose value changed; positive `gain` is better."""

    pair: PairedCodec
    sha256: str
    column: MetricColumn
    region: str
    kind: str
    box_px: Box | None
    baseline_value: float
    codec_value: float
    gain: float


def write_changed(
    folder: Path, paired: Sequence[PairedCodec], progress: Progress
) -> dict[str, Any]:
    """Write the crops of what changed most, as `changed` and `map` of comparison.json.

    `map` says of what metric the error maps are and what their 255 stands for (`max`), and at
    which difference the signed ones, codec minus baseline, are fully red (more error) or blue
    (less): `signed_max`, the largest 99.5th percentile over all that are shown.
    """
    changes = [change for pair in paired for change in _largest_changes(pair)]
    tops = [
        float(np.quantile(np.abs(difference), DIFFERENCE_QUANTILE))
        for change in changes
        if (difference := _signed_difference(change)) is not None
    ]
    signed_top = max([1.0, *tops])
    entries: list[dict[str, Any]] = []
    for done, change in enumerate(changes):
        progress("cutting out pictures", done, len(changes))
        entries.append(_changed_entry(folder, change, signed_top))
    progress("cutting out pictures", len(changes), len(changes))
    stored = paired[0].baseline.run.record.error_map if paired else None
    if stored is None:
        return {"changed": entries, "map": None}
    scale = {"metric": stored.metric, "variant": stored.variant, "max": stored.max}
    return {
        "changed": entries,
        "map": {**scale, "signed_max": signed_top / 255 * stored.max},
    }


def write_patches(
    folder: Path, baseline: Side, paired: Sequence[PairedCodec], progress: Progress
) -> list[dict[str, Any]]:
    """Write the worst patches of the baseline and every codec, as `patches` of comparison.json."""
    if not paired:
        return []
    compared = {picture.sha256: picture for pair in paired for picture in pair.pictures}
    names = {sha256: picture.image_id for sha256, picture in compared.items()}
    sides = [(baseline, names)]
    sides += [
        (pair.side, {entry.sha256: entry.codec_image_id for entry in pair.pictures})
        for pair in paired
        if _same_map(pair)
    ]
    entries: list[dict[str, Any]] = []
    for done, (side, own_names) in enumerate(sides):
        progress("mining patches", done, len(sides))
        entries += _patch_entries(folder, side, own_names, names)
    progress("mining patches", len(sides), len(sides))
    return entries


def _patch_entries(
    folder: Path, side: Side, own_names: dict[str, str], names: dict[str, str]
) -> list[dict[str, Any]]:
    """Return the worst patches of a codec, worst first; `names` are the baseline's."""
    stored = side.run.record.error_map
    if stored is None:
        return []
    patches = worst_patches_of(side, own_names)
    pictures: dict[Patch, dict[str, str | None]] = {patch: {} for patch in patches}
    for sha256 in dict.fromkeys(patch.sha256 for patch in patches):
        own, here = own_names[sha256], [patch for patch in patches if patch.sha256 == sha256]
        sources = {
            "reference": side.run.reference_path(own),
            "codec": side.run.reconstruction_path(side.codec, own),
            "map": side.run.map_path(side.codec, own),
        }
        for name, path in sources.items():
            kept = _keep_crops(folder, path, [patch.box_px for patch in here])
            for patch, crop in zip(here, kept, strict=True):
                pictures[patch][name] = crop
    return [
        {
            "codec": side.label,
            "image_id": names[patch.sha256],
            "box_px": list(patch.box_px),
            "value": patch.error / 255 * stored.max,
            "pictures": pictures[patch],
        }
        for patch in patches
    ]


def worst_patches_of(side: Side, image_ids: dict[str, str]) -> list[Patch]:
    """Return the PATCHES_SHOWN worst patches over the maps of a codec, worst first.

    Args:
        image_ids: which pictures, by sha256.
    """
    found: list[Patch] = []
    for sha256, image_id in image_ids.items():
        path = side.run.map_path(side.codec, image_id)
        if path is None:
            continue
        least = found[-1].error if len(found) == PATCHES_SHOWN else -1.0
        own = worst_patches(_read(path, "L"), PATCHES_SHOWN, least)
        found += [Patch(patch.error, patch.box_px, sha256) for patch in own]
        found = sorted(found, key=lambda patch: (-patch.error, patch.sha256, patch.box_px))
        del found[PATCHES_SHOWN:]
    return found


def signed_picture(difference: np.ndarray, top: float) -> np.ndarray:
    """Return differences of error maps [H, W] as uint8 [H, W, 3].

    White where there is none, red towards +top (more error than the baseline), blue towards -top.
    """
    share = np.clip(difference / top, -1, 1)[..., None]
    end = np.where(share > 0, _MORE_ERROR, _LESS_ERROR)
    return np.round(255 + np.abs(share) * (end - 255)).astype(np.uint8)


def _largest_changes(pair: PairedCodec) -> Iterator[Change]:
    """Yield whole pictures, then regions, that lost most and gained most, most changed first.

    By the first metric that has finite differences: a lossless codec's PSNR has none.
    """
    columns = {column.variant: column for column in pair.columns}
    finite: dict[str, list[Change]] = {variant: [] for variant in columns}
    boxes = {(entry.image_id, entry.name): entry.box_px for entry in pair.baseline.run.regions}
    names = {picture.sha256: picture.image_id for picture in pair.pictures}
    for row in pair.values.to_dict("records"):
        theirs, own = float(row["baseline_value"]), float(row["codec_value"])
        column = columns.get(row["variant"])
        if column is None or not math.isfinite(own - theirs):
            continue
        place = (str(row["sha256"]), column, str(row["region"]), str(row["part"]))
        box = boxes.get((names[row["sha256"]], row["region"])) if row["part"] != WHOLE else None
        gain = own - theirs if column.higher_is_better else theirs - own
        finite[column.variant].append(Change(pair, *place, box, theirs, own, gain))
    changes = next(filter(None, finite.values()), [])
    for is_whole in (True, False):
        own_kind = [change for change in changes if (change.kind == WHOLE) == is_whole]
        for way in (-1, 1):
            ordered = sorted(own_kind, key=lambda change: -way * change.gain)
            yield from [change for change in ordered if way * change.gain > 0][:SHOWN_EACH_WAY]


def _sources(change: Change) -> dict[str, Path | None]:
    """Return the files of a change: reference, both reconstructions, both error maps."""
    pair = change.pair
    picture = next(entry for entry in pair.pictures if entry.sha256 == change.sha256)
    theirs, own = pair.baseline, pair.side
    comparable = _same_map(pair)
    return {
        "reference": theirs.run.reference_path(picture.image_id)
        or own.run.reference_path(picture.codec_image_id),
        "baseline": theirs.run.reconstruction_path(theirs.codec, picture.image_id),
        "codec": own.run.reconstruction_path(own.codec, picture.codec_image_id),
        "baseline_map": theirs.run.map_path(theirs.codec, picture.image_id),
        "codec_map": own.run.map_path(own.codec, picture.codec_image_id) if comparable else None,
    }


def _same_map(pair: PairedCodec) -> bool:
    """Whether the error maps of both sides are of one metric and scale."""
    return pair.baseline.run.record.error_map == pair.side.run.record.error_map


def _signed_difference(change: Change) -> np.ndarray | None:
    """Return codec map minus baseline map, in grey levels, float [h, w] of the change's box."""
    sources = _sources(change)
    own, theirs = sources["codec_map"], sources["baseline_map"]
    if own is None or theirs is None:
        return None
    codec, baseline = (_cut(path, _read(path, "L"), change.box_px) for path in (own, theirs))
    if codec.shape != baseline.shape:
        raise _of_another_size(own, codec)
    return codec.astype(float) - baseline.astype(float)


def _changed_entry(folder: Path, change: Change, signed_top: float) -> dict[str, Any]:
    box = change.box_px
    pictures = {
        name: _keep_whole(folder, path) if box is None else _keep_crops(folder, path, [box])[0]
        for name, path in _sources(change).items()
    }
    difference = _signed_difference(change)
    signed = None if difference is None else _keep(folder, signed_picture(difference, signed_top))
    names = {picture.sha256: picture.image_id for picture in change.pair.pictures}
    return {
        "codec": change.pair.side.label,
        "region": change.region,
        "kind": change.kind,
        "image_id": names[change.sha256],
        "variant": change.column.variant,
        "unit": change.column.unit,
        "baseline_value": change.baseline_value,
        "codec_value": change.codec_value,
        "difference": change.codec_value - change.baseline_value,
        "verdict": "better" if change.gain > 0 else "worse",
        "box_px": None if box is None else list(box),
        "pictures": {**pictures, "signed_difference": signed},
    }


def _keep_crops(folder: Path, path: Path | None, boxes: Sequence[Box]) -> list[str | None]:
    """Write boxes of a kept picture; return their paths below the folder."""
    if path is None:
        return [None for _ in boxes]
    pixels = _read(path, None)
    return [_keep(folder, _cut(path, pixels, box)) for box in boxes]


def _keep_whole(folder: Path, path: Path | None) -> str | None:
    """Copy a kept picture; return its path below the folder."""
    if path is None:
        return None
    # Bytes alone could be anything.
    read_kept(path)
    return _keep_file(folder, kept_bytes(path))


def _keep(folder: Path, pixels: np.ndarray) -> str:
    """Write pixels as PNG; return its path below the folder."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG", compress_level=1)
    return _keep_file(folder, sink.getvalue())


def _keep_file(folder: Path, data: bytes) -> str:
    """Write a PNG under a name made of its content, so that equal pictures are one file."""
    path = folder / PICTURES / f"{hashlib.sha256(data).hexdigest()[:20]}.png"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        # No write_atomic: a folder without comparison.json, which comes last, is no comparison.
        path.write_bytes(data)
    return f"{PICTURES}/{path.name}"


def _cut(path: Path, pixels: np.ndarray, box: Box | None) -> np.ndarray:
    """Return the box of a picture, read from `path`; all of it where there is none."""
    if box is None:
        return pixels
    x0, y0, x1, y1 = box
    if y1 > pixels.shape[0] or x1 > pixels.shape[1]:
        raise _of_another_size(path, pixels)
    return np.ascontiguousarray(pixels[y0:y1, x0:x1])


def _of_another_size(path: Path, pixels: np.ndarray) -> RunFolderError:
    height, width = pixels.shape[:2]
    return RunFolderError(
        f"Cannot use {path}: it has {width}x{height} px, and its picture was scored at another "
        "size. Delete it (the comparison then leaves it out) or make the run again."
    )


def _read(path: Path, mode: str | None) -> np.ndarray:
    """Return a kept picture as uint8 [H, W, 3] or [H, W]; None is the mode it was kept in."""
    picture = read_kept(path)
    return np.asarray(picture.convert(mode) if mode else picture)
