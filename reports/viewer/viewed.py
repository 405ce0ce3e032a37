"""What the viewer shows: pictures under codecs, the files of each, and what is known of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from ...bench.records import REFERENCE, Region
from ...bench.store.record import ErrorMap
from ...bench.store.run import StoredRun
from ..pictures.selection import leading_crops, picture_sizes, worst_pictures
from ..pictures.strips import scale_of
from ..tables.columns import Column, quality_columns, rate_columns
from ..tables.run import codec_names

PathOf = Callable[[str, str], Path | None]
Values = Mapping[tuple[str, str], Mapping[tuple[str, str], float]]


@dataclass(frozen=True)
class Viewed:
    """Pictures that can be looked at, each under every codec, and their files below a folder.

    `sizes` are (width, height) in px of all pictures, in the order that names the files of their
    parts; `pictures` those of which anything was kept, the first to be shown first. `values` are by
    (picture, region) and then by (codec, variant). `top` is where the error colours end, in the
    unit of `error_map`; both are None without error maps. Paths are of (codec, picture), the
    reference counting as a codec, and None where nothing was kept.
    """

    folder: Path
    codecs: list[str]
    columns: list[Column]
    sizes: Mapping[str, tuple[int, int]]
    pictures: list[str]
    values: Values
    regions: Mapping[str, list[Region]]
    error_map: ErrorMap | None
    top: float | None
    picture_path: PathOf
    map_path: PathOf
    latents_path: PathOf

    @cached_property
    def keys(self) -> dict[str, str]:
        """The names of the pictures' parts: their places, which any file system takes."""
        return {image_id: str(place) for place, image_id in enumerate(self.sizes)}

    def sources(self, image_id: str) -> dict[str, Path]:
        """Return the kept pictures and error maps of a picture, by the part that holds each."""
        found = {"reference": self.picture_path(REFERENCE, image_id)}
        for place, codec in enumerate(self.codecs):
            found[f"codec-{place}"] = self.picture_path(codec, image_id)
            found[f"errors-{place}"] = self.map_path(codec, image_id)
        return {name: path for name, path in found.items() if path is not None}

    def address(self, path: Path) -> str:
        """Return a kept file's address for a page in the folder, percent-encoded."""
        return quote(path.relative_to(self.folder).as_posix(), safe="/")


def viewed_run(run: StoredRun) -> Viewed:
    """Return what the viewer of a run shows."""
    values: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    names = ("image_id", "region", "codec", "variant", "value")
    # Lists, as an Arrow array takes microseconds to give one of its values.
    for image_id, region, codec, variant, value in zip(
        *(run.scores[name].tolist() for name in names), strict=True
    ):
        values[image_id, region][codec, variant] = value
    regions: dict[str, list[Region]] = defaultdict(list)
    for region in run.regions:
        regions[region.image_id].append(region)
    return Viewed(
        folder=run.folder,
        codecs=codec_names(run),
        columns=[*quality_columns(run), *rate_columns(run)],
        sizes=picture_sizes(run),
        pictures=kept_pictures(run),
        values=values,
        regions=regions,
        error_map=run.record.error_map,
        top=scale_of(run),
        picture_path=run.reconstruction_path,
        map_path=run.map_path,
        latents_path=run.latents_path,
    )


def kept_pictures(run: StoredRun) -> list[str]:
    """Return the pictures that can be looked at, the leading region's first, then the worst."""
    codecs = codec_names(run)
    kept = [image_id for image_id in picture_sizes(run) if _has_any(run, image_id, codecs)]
    leading = [crop.region.image_id for crop in leading_crops(run, 1)]
    ordered = dict.fromkeys([*leading, *worst_pictures(run, len(kept)), *kept])
    known = set(kept)
    return [image_id for image_id in ordered if image_id in known]


def _has_any(run: StoredRun, image_id: str, codecs: list[str]) -> bool:
    """Return whether anything of a picture was kept; asks the disk for no more than needed."""
    paths = (
        path(codec, image_id)
        for path in (run.reconstruction_path, run.map_path)
        for codec in codecs
    )
    return run.reference_path(image_id) is not None or any(paths)
