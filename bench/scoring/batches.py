"""One batch through one codec: what is found out about its pictures, and what is kept of them.

`run_codec` keeps the device busy and waits for nothing; the rest happens on the host, in other
threads, once the copies are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..codecs.base import Codec
from ..errors import first_line
from ..images.files.png import encode_png
from ..records import WHOLE, CodecInfo, Encoded, Score, Unavailable
from ..store.atomic import write_atomic
from ..store.parts import LatentMoments, write_part
from ..store.pictures import keep_latents, keep_picture
from ..store.run import picture_path
from .devices import HostCopies
from .latent_health import moments_of, posterior_kl, posterior_noise, to_part
from .measure import PictureScores, References, Sheet, empty_score, measure_batch
from .padding import padding_of
from .plan import Plan
from .reconstruct import Failure, Piece, not_finite, reconstruct_pieces

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """A piece's latents on the host, [N, C, h, w].

    `exact` is float16 or float32 and loses nothing; `kept` is what a run keeps, half precision
    where the codec's is. `mean` and `std` are the posterior's, float32, None where there is none.
    """

    exact: Tensor
    kept: Tensor
    mean: Tensor | None
    std: Tensor | None


@dataclass(frozen=True)
class Answer:
    """Where on the host one picture of a batch is: its place in its piece, and the bits stored.

    `bits_variant` says what the bits are of.
    """

    index: int
    nbits: int
    bits_variant: str
    latents: Latents | None


@dataclass(frozen=True)
class Found:
    """What one codec's numbers of a batch are; read once `copies` are there.

    `answers` holds a picture's failure where the codec gave nothing; `finite`, bool [2, N], tells
    of the others whether latents and pixels are. `size_px` is the picture's, without padding.
    """

    info: CodecInfo
    sheet: Sheet
    means: Tensor
    finite: Tensor
    answers: tuple[Answer | Failure, ...]
    size_px: int
    copies: HostCopies

    def answer(self, index: int) -> Answer | Failure:
        """Return what there is of a picture, or why there is nothing."""
        answer = self.answers[index]
        if isinstance(answer, Failure):
            return answer
        latents_finite, pixels_finite = self.finite[:, index].tolist()
        return not_finite(self.info, latents_finite, pixels_finite) or answer


@dataclass(frozen=True)
class Seen:
    """What a run keeps of a batch: `levels`, uint8 [N, H, W, 3], and `errors`, uint8 [N, H, W]."""

    levels: Tensor
    errors: Tensor


@dataclass(frozen=True)
class CodecBatch:
    """All that one codec made of a batch; `seen` is None where no picture is kept."""

    found: Found
    seen: Seen | None


def run_codec(plan: Plan, codec: Codec, references: References) -> CodecBatch:
    """Put a batch through a codec and every metric; nothing is waited for.

    Raises: torch.OutOfMemoryError for more than one picture; of one, it is the codec's failure.
    """
    try:
        return _run_codec(plan, codec, references)
    except torch.OutOfMemoryError as error:
        if len(references.pixels) > 1:
            raise
        return no_memory(codec, references.image_ids[0], error)


def no_memory(codec: Codec, image_id: str, error: torch.OutOfMemoryError) -> CodecBatch:
    """Return what there is of a picture that does not fit the device's memory even alone."""
    name = codec.info.name
    failure = Failure(f"{name} failed: {first_line(error)}")
    nothing = torch.zeros(0, dtype=torch.float64)
    sheet = Sheet(name, (image_id,), [], ())
    return CodecBatch(Found(codec.info, sheet, nothing, nothing, (failure,), 0, HostCopies()), None)


def _run_codec(plan: Plan, codec: Codec, references: References) -> CodecBatch:
    own = references.pixels
    height, width = own.shape[2:]
    padding = padding_of(plan.suite)
    given = own if padding is None else padding.around(own)
    pieces = list(reconstruct_pieces(codec, given, halve=True))
    if padding is not None:
        pieces = [padding.cut_off(piece, width, height) for piece in pieces]
    finite = _finite(pieces, own)
    clamped = _clamped(pieces, finite, own)
    levels = clamped.mul(255).round_()
    rounded = levels.div(255)
    shown = plan.map_column.variant if plan.suite.keep != "none" else ""
    measured = measure_batch(
        plan.metrics,
        references,
        codec.info.name,
        rounded if plan.rounded else clamped,
        plan.rounded,
        maps_of=(shown,),
    )
    copies = HostCopies()
    found = Found(
        codec.info,
        measured.sheet,
        copies.start(measured.means),
        copies.start(finite),
        tuple(_answers(pieces, copies)),
        height * width,
        copies,
    )
    seen = None
    if shown:
        errors = measured.maps.get(shown)
        if errors is None:
            errors = (rounded - own).abs_().mean(1)
        seen = Seen(
            copies.start(levels.byte().permute(0, 2, 3, 1).contiguous()),
            copies.start(errors.mul(255).clamp_(0, 255).round_().byte()),
        )
    copies.sent()
    return CodecBatch(found, seen)


def _finite(pieces: list[Piece | Failure], own: Tensor) -> Tensor:
    nothing = torch.zeros(2, 1, dtype=torch.bool, device=own.device)
    return torch.cat(
        [nothing if isinstance(piece, Failure) else piece.finite for piece in pieces], 1
    )


def _clamped(pieces: list[Piece | Failure], finite: Tensor, own: Tensor) -> Tensor:
    """Return the reconstructions in [0, 1]; a failure's place is held by its reference."""
    pixels: list[Tensor] = []
    for piece in pieces:
        start = sum(map(len, pixels))
        pixels.append(own[start : start + 1] if isinstance(piece, Failure) else piece.pixels)
    joined = pixels[0] if len(pixels) == 1 else torch.cat(pixels)
    return torch.where(finite.all(0)[:, None, None, None], joined.float(), own).clamp_(0, 1)


def _answers(pieces: list[Piece | Failure], copies: HostCopies) -> Iterator[Answer | Failure]:
    for piece in pieces:
        if isinstance(piece, Failure):
            yield piece
        else:
            latents = _latents(piece.encoded, copies)
            for index, nbits in enumerate(piece.encoded.nbits):
                yield Answer(index, nbits, piece.encoded.bits_variant, latents)


def _latents(encoded: Encoded, copies: HostCopies) -> Latents | None:
    latents = encoded.latents
    if latents is None:
        return None
    mean, std = (
        None if values is None else copies.start(values.float())
        for values in (encoded.posterior_mean, encoded.posterior_std)
    )
    if latents.dtype == torch.bfloat16:
        # numpy has no bfloat16, and float16 does not hold its range.
        return Latents(copies.start(latents.float()), copies.start(latents.half()), mean, std)
    exact = copies.start(latents)
    return Latents(exact, exact, mean, std)


def keep_seen(folder: Path, batch: CodecBatch, index: int) -> None:
    """Write all that a run keeps of one picture under one codec, once it is on the host."""
    found, seen = batch.found, batch.seen
    found.copies.wait()
    answer = found.answer(index)
    if isinstance(answer, Failure):
        return
    name, image_id = found.info.name, found.sheet.image_ids[index]
    if seen is None:
        return
    keep_picture(folder, name, image_id, seen.levels[index].numpy())
    map_path = picture_path(folder, "maps", name, image_id)
    write_atomic(map_path, encode_png(seen.errors[index].numpy()))
    if answer.latents is not None:
        keep_latents(folder, name, image_id, answer.latents.kept[answer.index])


def write_parts(folder: Path, plan: Plan, batch: Sequence[Found]) -> list[str]:
    """Mark the pictures of a batch as finished, with what every codec's numbers of them are.

    To be called once all that is kept of them is on disk. Returns: their ids.
    """
    image_ids = batch[0].sheet.image_ids
    totals = [PictureScores() for _ in image_ids]
    moments: list[dict[str, LatentMoments]] = [{} for _ in image_ids]
    for found in batch:
        found.copies.wait()
        measured = found.sheet.scores(found.means.tolist())
        for index, (total, image_id) in enumerate(zip(totals, image_ids, strict=True)):
            answer = found.answer(index)
            if isinstance(answer, Failure):
                _add_failure(total, plan, image_id, found.info.name, answer.reason)
                continue
            total.scores += measured[index].scores
            total.scores += _missing(plan, image_id, found.info.name)
            total.scores += _rates(image_id, found, answer)
            total.unavailable += measured[index].unavailable
            if answer.latents is not None:
                moments[index][found.info.name] = _moments(answer.latents, answer.index)
    for total, own, image_id in zip(totals, moments, image_ids, strict=True):
        write_part(folder, image_id, total.scores, total.unavailable, own)
    return list(image_ids)


def _moments(latents: Latents, place: int) -> LatentMoments:
    mean, std = (
        None if values is None else values[place].numpy() for values in (latents.mean, latents.std)
    )
    kl_nats = None if mean is None or std is None else posterior_kl(mean, std)
    own = latents.exact[place].numpy()
    return to_part(moments_of(own, kl_nats, posterior_noise(own, mean, std)))


def _add_failure(total: PictureScores, plan: Plan, image_id: str, codec: str, reason: str) -> None:
    for column in plan.columns:
        total.unavailable.append(Unavailable(column.name, column.variant, reason, image_id, codec))
        total.scores.append(empty_score(image_id, codec, column))


def _missing(plan: Plan, image_id: str, codec: str) -> list[Score]:
    """Return the rows of the metrics that cannot be computed here at all."""
    missing = {entry.variant for entry in plan.unavailable}
    return [
        empty_score(image_id, codec, column) for column in plan.columns if column.variant in missing
    ]


def _rates(image_id: str, found: Found, answer: Answer) -> list[Score]:
    """Return what the picture costs: bits per pixel, and how much smaller than 8-bit RGB."""
    name, pixels = found.info.name, found.size_px
    rates: list[tuple[str, str, float, str]] = [
        ("bpp", answer.bits_variant, answer.nbits / pixels, "bit/px"),
        ("stored_bits_ratio", "stored_bits_ratio/rgb8", 24 * pixels / answer.nbits, ""),
    ]
    if answer.latents is not None:
        elements = 3 * pixels / answer.latents.exact[answer.index].numel()
        rates.append(("elements_ratio", "elements_ratio", elements, ""))
    return [Score(image_id, name, WHOLE, WHOLE, *rate) for rate in rates]
