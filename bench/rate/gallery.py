"""The equal-bytes gallery: an autoencoder's picture beside what files of the same bytes hold."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..codecs.tensors import to_levels
from ..records import WHOLE, ImageRef, Region
from ..store.atomic import write_atomic
from ..store.record import region_to_json
from .equal_bytes import Match, match_bytes
from .knobs import KNOBS
from .picture import OpenedSweep, PictureBench, RdFailure, listed
from .points import kept_so_far

if TYPE_CHECKING:
    from torch import Tensor

MOST_PICTURES = 6
"""So many pictures are kept to look at; the numbers are of all."""

_EYE = "eye"


@dataclass(frozen=True)
class EqualRow:
    """One codec beside an autoencoder at the autoencoder's bytes, on one picture.

    `deviation` is its share of bytes above `wanted_bytes`; `note` says why it is beyond what
    counts as equal. `values` is by variant, `regions` by region and variant. `picture` is the
    name of its file in the gallery, None where the picture was not chosen. The autoencoder's own
    row has its own name as `codec`.
    """

    image_id: str
    autoencoder: str
    codec: str
    setting: str
    wanted_bytes: int
    nbytes: int
    deviation: float
    note: str
    values: dict[str, float | None]
    regions: dict[str, dict[str, float | None]] = field(
        default_factory=dict[str, "dict[str, float | None]"]
    )
    picture: str | None = None


def choose_pictures(
    images: Sequence[ImageRef], regions: dict[str, list[Region]]
) -> dict[str, list[Region]]:
    """Return the pictures whose files are kept, and the regions to show, eyes first.

    Pictures with an eye come first, then those with another region, then the others.
    """

    def rank(image: ImageRef) -> int:
        kinds = [region.kind for region in regions.get(image.image_id, [])]
        return 0 if _EYE in kinds else 1 if kinds else 2

    chosen = sorted(images, key=rank)[:MOST_PICTURES]
    return {
        image.image_id: sorted(regions.get(image.image_id, []), key=lambda r: r.kind != _EYE)
        for image in chosen
    }


def equal_rows(
    bench: PictureBench,
    sweeps: Sequence[OpenedSweep],
    folder: Path | None,
    told: Callable[[], None],
) -> tuple[list[EqualRow], list[RdFailure]]:
    """Return every classical codec at the bytes of every autoencoder's middle setting.

    Args:
        folder: where the pictures are kept; None to keep none of this picture.
        told: called after each row but the autoencoders' own.
    """
    rows: list[EqualRow] = []
    failures: list[RdFailure] = []
    files = [opened for opened in sweeps if opened.sweep.knob in KNOBS.values()]
    image_id = bench.image.image_id
    for coder in (opened for opened in sweeps if opened.sweep.of_latents):
        name, setting = coder.sweep.spec.name, coder.sweep.middle
        own = None
        with listed(failures, image_id, name, setting):
            wanted = bench.point(coder, setting).nbytes
            own = _row(bench, coder, name, setting, Match(0.0, wanted, 0.0, ""), wanted, folder)
            rows.append(own)
        for opened in files:
            if own:
                codec, when = opened.sweep.spec.name, f"at the bytes of {name}: "
                with listed(failures, image_id, codec, "equal bytes", when):
                    match = _matched(bench, opened, own.wanted_bytes)
                    at = opened.sweep.setting(match.value)
                    rows.append(_row(bench, opened, name, at, match, own.wanted_bytes, folder))
            told()
    return rows, failures


def _matched(bench: PictureBench, opened: OpenedSweep, wanted: int) -> Match:
    """Return the value of the codec's knob nearest to the wanted bytes, found now or before."""
    sweep = opened.sweep
    identity = opened.identity(sweep.settings[0])
    key = bench.cache.hashed("equal bytes", identity, bench.image.sha256, wanted)
    known = bench.cache.read_json(key)
    if known is not None:
        return Match(**known)
    match = match_bytes(
        lambda value: bench.code(opened, sweep.setting(value)).nbytes,
        KNOBS[sweep.spec.source],
        wanted,
    )
    bench.cache.write_json(key, asdict(match))
    return match


def _row(
    bench: PictureBench,
    opened: OpenedSweep,
    autoencoder: str,
    setting: str,
    match: Match,
    wanted: int,
    folder: Path | None,
) -> EqualRow:
    point = bench.point(opened, setting)
    regions: dict[str, dict[str, float | None]] = {}
    picture = None
    if folder is not None:
        picture, regions = _kept(bench, opened, setting, folder)
    return EqualRow(
        bench.image.image_id,
        autoencoder,
        opened.sweep.spec.name,
        setting,
        wanted,
        match.nbytes,
        match.deviation,
        match.note,
        {variant: point.values[variant] for variant in bench.variants},
        regions,
        picture,
    )


def _kept(
    bench: PictureBench, opened: OpenedSweep, setting: str, folder: Path
) -> tuple[str, dict[str, dict[str, float | None]]]:
    """Keep a reconstruction and its regions' scores; return its file's name and the scores."""
    key = bench.key(opened, setting)
    name = f"{key}.webp"
    boxes = [region_to_json(region) for region in bench.regions]
    scores_key = bench.cache.hashed("regions", key, boxes, bench.variants)
    known = bench.cache.read_json(scores_key)
    if known is None or not (folder / name).is_file():
        _, pixels = bench.reconstruct(opened, setting)
        write_picture(folder / name, pixels[0])
        known = _region_scores(bench, pixels)
        bench.cache.write_json(scores_key, known)
    return name, known


def _region_scores(bench: PictureBench, pixels: Tensor) -> dict[str, dict[str, float | None]]:
    if not bench.regions:
        return {}
    found: dict[str, dict[str, float | None]] = {region.name: {} for region in bench.regions}
    for score in bench.scored(pixels, with_regions=True).scores:
        if score.region != WHOLE:
            found[score.region][score.variant] = score.value
    return found


def keep_reference(bench: PictureBench, folder: Path) -> str:
    """Keep the picture itself; return its file's name."""
    name = f"{bench.cache.hashed('reference', bench.image.sha256, bench.background)}.webp"
    if not (folder / name).is_file():
        write_picture(folder / name, bench.references.pixels[0])
    return name


def write_picture(path: Path, pixels: Tensor) -> None:
    """Write [3, H, W] in [0, 1] as lossless WebP, a third smaller than PNG."""
    sink = io.BytesIO()
    rgb = to_levels(pixels).permute(1, 2, 0).cpu().numpy()
    Image.fromarray(rgb).save(sink, "WEBP", lossless=True, quality=60, method=3)
    with kept_so_far(path):
        write_atomic(path, sink.getvalue())
