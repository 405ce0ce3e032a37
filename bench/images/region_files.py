"""The files that name regions: boxes in JSON, COCO annotations, mask pictures."""

from __future__ import annotations

import reprlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, RegionError
from ..records import ImageRef
from .pixels import read_pixels
from .region_shapes import polygon_mask, runs_mask, runs_of_text

MASK_SUFFIX = ".mask.png"
"""NAME.REGION.mask.png is the mask of a region of picture NAME."""

MOST_REGIONS, MOST_CORNERS = 100_000, 10_000
"""Of a set's pictures, in one source, and of a polygon."""

_BEYOND = 2**53


@dataclass(frozen=True)
class RegionSource:
    """Where regions come from: a parsed JSON file, a folder of masks, or the pictures' folders.

    `path` is None for masks that lie beside their pictures.
    """

    path: Path | None
    document: Any = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name if self.path else "masks"


@dataclass(frozen=True)
class Draft:
    """A region as its file gives it, unchecked: a box x0, y0, x1, y1 or a whole-picture mask.

    `image` is None where the picture is not in the set.
    """

    picture: str
    image: ImageRef | None
    name: str
    kind: str
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None


class Pictures:
    """A set's pictures by what a regions file may call them."""

    def __init__(self, images: Iterable[ImageRef]) -> None:
        self.images = {image.image_id: image for image in images}
        self._by_name: defaultdict[str, list[ImageRef]] = defaultdict(list)
        for image in self.images.values():
            self._by_name[PurePath(image.path).name].append(image)

    def find(self, key: str, source: RegionSource) -> ImageRef | None:
        """Return the picture of this id; else of this file name, with what path the key gives.

        Where several remain, the one at that path from the regions file.
        Raises: RegionError where that leaves several.
        """
        if key in self.images:
            return self.images[key]
        if "\\" in key:
            # Annotated on Windows; its drive is a first part that no picture's path has.
            key = PureWindowsPath(key).as_posix()
        parts = PurePosixPath(key).parts
        named = [
            image
            for image in self._by_name.get(parts[-1] if parts else "", ())
            if _ends(PurePath(image.path).parts, parts)
            or _ends(parts, PurePosixPath(image.image_id).parts)
        ]
        if len(named) > 1 and source.path is not None:
            beside = source.path.absolute().parent / key
            named = [image for image in named if Path(image.path) == beside] or named
        return only(named, key, source)


def _ends(parts: tuple[str, ...], tail: tuple[str, ...]) -> bool:
    return parts[-len(tail) :] == tail


def only(named: Sequence[ImageRef], key: str, source: RegionSource) -> ImageRef | None:
    """Return the one picture or None. Raises: RegionError for several."""
    if len(named) > 1:
        ids = ", ".join(image.image_id for image in named)
        raise RegionError(f"{source.name}: {key} could be any of {ids}. Name it by its id.")
    return named[0] if named else None


def read_boxes(source: RegionSource, pictures: Pictures) -> Iterator[Draft]:
    """Read {"picture": [{"name": …, "kind": …, "box": [x0, y0, x1, y1]}, …], …}."""
    if not isinstance(source.document, dict):
        raise RegionError(f'{source.name}: expected an object {{"picture.png": [region, …], …}}.')
    count = 0
    for picture, listed in cast(dict[str, Any], source.document).items():
        if not isinstance(listed, list):
            raise RegionError(f"{source.name}: expected a list of regions for {picture}.")
        image = pictures.find(picture, source)
        count += len(cast(list[Any], listed)) if image else 0
        refuse_many(count, source)
        for entry in cast(list[Any], listed):
            yield _box_draft(entry, picture, image, source)


def refuse_many(count: int, source: RegionSource) -> None:
    """Raise a RegionError for more regions of a set's pictures than are measured."""
    if count > MOST_REGIONS:
        raise RegionError(
            f"{source.name}: it has more than {MOST_REGIONS} regions of these pictures. Keep those "
            "that are to be measured."
        )


def _box_draft(entry: Any, picture: str, image: ImageRef | None, source: RegionSource) -> Draft:
    fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    for field, example in (("name", "left-eye"), ("kind", "eye")):
        if not isinstance(fields.get(field), str) or not fields[field].strip():
            raise RegionError(
                f"{source.name}: a region of {picture} has no {field}: got {reprlib.repr(entry)}, "
                f'expected "{field}": "{example}" or the like.'
            )
    box = _numbers(fields.get("box"))
    if len(box) != 4:
        raise RegionError(
            f"{source.name}: region {fields['name']!r} of {picture} has the box "
            f"{reprlib.repr(fields.get('box'))}, expected four numbers [x0, y0, x1, y1]."
        )
    return Draft(picture, image, fields["name"], fields["kind"], (box[0], box[1], box[2], box[3]))


def _numbers(value: Any) -> list[float]:
    """Return a JSON list of finite numbers; empty where it is anything else."""
    if not isinstance(value, list):
        return []
    items = cast(list[Any], value)
    good = all(
        # Python's JSON has NaN, and whole numbers that no float holds.
        isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < _BEYOND
        for item in items
    )
    return [float(item) for item in items] if good else []


def read_coco(source: RegionSource, pictures: Pictures) -> Iterator[Draft]:
    """Read COCO annotations: the category is the kind, and the name with the picture's count of it.

    A segmentation (polygons or run lengths) makes a mask, unless it covers no pixel's centre; then,
    and without one, the box counts.
    """
    try:
        document: dict[str, Any] = source.document
        kinds = {entry["id"]: str(entry["name"]) for entry in document.get("categories", ())}
        names = {entry["id"]: str(entry["file_name"]) for entry in document["images"]}
        images = {entry["id"]: _coco_image(entry, source, pictures) for entry in document["images"]}
        seen: Counter[tuple[str, str]] = Counter()
        count = 0
        for entry in document["annotations"]:
            picture, kind = names[entry["image_id"]], kinds[entry["category_id"]]
            seen[picture, kind] += 1
            name = f"{kind}-{seen[picture, kind]}"
            image = images[entry["image_id"]]
            if image is None:
                yield Draft(picture, None, name, kind)
                continue
            count += 1
            refuse_many(count, source)
            what = f"{source.name}: region {name!r} of {picture}"
            mask = _segmentation(entry.get("segmentation"), image, what)
            box = _numbers(entry.get("bbox"))
            if len(box) == 4:
                corners = (box[0], box[1], box[0] + box[2], box[1] + box[3])
                yield Draft(picture, image, name, kind, corners, mask)
            elif mask is not None:
                yield Draft(picture, image, name, kind, None, mask)
            else:
                raise RegionError(f"{what}: it has neither a bbox [x, y, w, h] nor a segmentation.")
    except (KeyError, TypeError, AttributeError) as error:
        raise RegionError(
            f"{source.name}: COCO's images, annotations and categories do not fit together: "
            f"{type(error).__name__} {error}."
        ) from error


def _coco_image(entry: dict[str, Any], source: RegionSource, pictures: Pictures) -> ImageRef | None:
    image = pictures.find(str(entry["file_name"]), source)
    if image is not None:
        width, height = entry.get("width"), entry.get("height")
        size = (image.width_px, image.height_px)
        if (width or size[0], height or size[1]) != size:
            is_lying = (height, width) == size and any("orientation" in n for n in image.notes)
            hint = " It was annotated as it is stored, not turned upright by its EXIF orientation."
            raise RegionError(
                f"{source.name}: {image.image_id} was annotated at {width} x {height} px, but has "
                f"{size[0]} x {size[1]} px.{hint if is_lying else ''}"
            )
    return image


def _whole(counts: Any) -> list[int] | None:
    """Return a JSON list of numbers from 0 up as whole ones; None where it is anything else."""
    numbers = _numbers(counts)
    good = isinstance(counts, list) and len(numbers) == len(cast(list[Any], counts))
    return [int(number) for number in numbers] if good and min(numbers, default=0) >= 0 else None


def _segmentation(segmentation: Any, image: ImageRef, what: str) -> NDArray[np.bool_] | None:
    """Return the whole-picture mask of COCO polygons or run lengths; None where it is empty."""
    width, height = image.width_px, image.height_px
    mask = np.zeros((height, width), np.bool_)
    if isinstance(segmentation, dict):
        counts: Any = cast(dict[str, Any], segmentation).get("counts")
        runs = runs_of_text(counts) if isinstance(counts, str) else _whole(counts)
        filled = None if runs is None else runs_mask(runs, width, height)
        if filled is None:
            raise RegionError(f"{what}: its run lengths do not fill {width} x {height} px.")
        mask = filled
    for polygon in cast(list[Any], segmentation) if isinstance(segmentation, list) else ():
        numbers = _numbers(polygon)
        if len(numbers) > 2 * MOST_CORNERS:
            raise RegionError(
                f"{what}: a polygon has more than {MOST_CORNERS} corners. Simplify it."
            )
        if len(numbers) < 6 or len(numbers) % 2:
            raise RegionError(
                f"{what}: a polygon needs 3 or more corners, got {reprlib.repr(polygon)}."
            )
        corners = np.asarray(numbers).reshape(-1, 2)
        # Annotation tools round corners on the picture's border to either side of it.
        if (corners < -1).any() or (corners > (width + 1, height + 1)).any():
            raise RegionError(
                f"{what}: a polygon reaches outside the picture's {width} x {height} px."
            )
        mask |= polygon_mask(corners, width, height)
    return mask if mask.any() else None


def read_masks(source: RegionSource, pictures: Pictures) -> Iterator[Draft]:
    """Read NAME.REGION.mask.png beside each picture, or below a folder laid out like the set.

    NAME is the picture's file name, with its suffix or without. What is not black is the region.
    The kind is the last word of REGION that is no number: left-eye and left-eye-2 are an eye.
    """
    images = pictures.images.values()
    if source.path is None:
        homes = {image.image_id: PurePath(image.path).parent for image in images}
        folders = sorted({Path(home) for home in homes.values()})
        files = [
            (file, file.parent) for folder in folders for file in folder.glob("*" + MASK_SUFFIX)
        ]
    else:
        root = source.path
        homes = {image.image_id: PurePath(PurePosixPath(image.image_id).parent) for image in images}
        try:
            files = [(f, f.parent.relative_to(root)) for f in root.rglob("*" + MASK_SUFFIX)]
        except (OSError, RecursionError) as error:
            raise RegionError(f"Cannot list the masks in {root}: {error}.") from error
    by_name: defaultdict[str, list[ImageRef]] = defaultdict(list)
    for image in images:
        path = PurePath(image.path)
        for name in {path.name, path.stem}:
            by_name[name].append(image)
    for file, home in sorted(files):
        words = file.name.removesuffix(MASK_SUFFIX).split(".")
        picture, region, named = words[0], ".".join(words[1:]), list[ImageRef]()
        for count in range(len(words) - 1, 0, -1):
            candidates = by_name.get(".".join(words[:count]), [])
            here = [image for image in candidates if homes[image.image_id] == home]
            if named := here or (candidates if source.path else []):
                picture, region = ".".join(words[:count]), ".".join(words[count:])
                break
        yield _mask_draft(file, picture, region, only(named, file.name, source), source)


def _mask_draft(
    file: Path, picture: str, region: str, image: ImageRef | None, source: RegionSource
) -> Draft:
    if image is None:
        return Draft(picture, None, region, "")
    try:
        mask: NDArray[np.bool_] = read_pixels(file, background="#000000").rgb.max(axis=-1) > 0
    except ImageError as error:
        raise RegionError(f"{source.name}: {error}") from error
    if mask.shape != (image.height_px, image.width_px):
        raise RegionError(
            f"{file.name}: the mask has {mask.shape[1]} x {mask.shape[0]} px, but "
            f"{image.image_id} has {image.width_px} x {image.height_px} px."
        )
    words = [word for word in region.replace("_", "-").split("-") if not word.isdigit()]
    return Draft(picture, image, region, words[-1] if words else region, mask=mask)
