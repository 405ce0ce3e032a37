"""The commands about bytes: rd turns the knobs, encode and decode store one picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from ..errors import VaebenchError
from .options import Images, Weights, stoppable, tell, typed_command
from .terminal import say

RD_EXAMPLES = """Examples:

vaebench rd --codec demo-f8c4 --codec jpeg --codec webp --codec avif --images photos

vaebench rd --codec mine=./my-vae --codec jpeg --sweep mine=0.2,0.5,1,2 --images photos

A sweep that was stopped goes on when the same command is given again.
"""
ENCODE_EXAMPLES = """Examples:

vaebench encode photo.png photo.vbl --codec 'quantised(demo-f8c4, step=0.5)'

vaebench encode photo.png photo.vbl --codec 'quantised(./my-vae:dtype=float16, bits=4)'
"""
DECODE_EXAMPLES = """Examples:

vaebench decode photo.vbl photo.png

vaebench decode photo.vbl photo.png --codec 'quantised(./moved/vae, step=0.5)'
"""


def rd(
    codec: Annotated[
        list[str],
        typer.Option(
            "--codec",
            metavar="[NAME=]SPEC",
            help="A checkpoint, or jpeg, webp, avif, jpegxl, jpeg2000, resize. A knob that the "
            "spec holds fixed (jpeg:q=75) gives one point. Repeatable.",
        ),
    ],
    images: Images = None,
    regions: Annotated[
        list[str] | None,
        typer.Option("--regions", help="As for run; shown at equal bytes. Repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="As for run. Repeatable.")
    ] = None,
    weights: Weights = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="The codec that BD-rate is against (jpeg, else the first)."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="CODEC=V,V,…",
            help="Settings of one codec instead of the default ones: steps in standard deviations "
            "of a channel, or q. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Threads (one a core, at most 8)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder, new or to go on with (rd/<images>)."),
    ] = None,
) -> None:
    """Turn every codec's quality knob: what the bytes buy, as curves, BD-rates and pictures."""
    from ...reports.write import write_rd_report
    from ..rate.knobs import Asked
    from ..rate.sweep import rate_distortion
    from ..suite import CodecSpec
    from .listing import list_rd
    from .progress import shown_progress

    sources = images or ["sample"]
    kept = "Stopped; all points so far are kept. Give the same command again to go on."
    with shown_progress() as progress, stoppable(kept):
        found = rate_distortion(
            [CodecSpec.parse(text) for text in codec],
            sources,
            out or Path("rd") / (Path(sources[0].rstrip("/")).stem or "images"),
            regions=regions or (),
            metrics=metric or (),
            weights=weights,
            anchor=anchor,
            asked=Asked.parse(sweep or ()),
            workers=workers,
            command=typed_command(),
            progress=progress,
            report=write_rd_report,
        )
    tell([*list_rd(found), f"Report: {found.folder / 'rd.html'}"])


def encode(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Any picture that run reads.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.vbl", help="The file to write.")],
    codec: Annotated[
        str,
        typer.Option(
            "--codec",
            metavar="SPEC",
            help="'quantised(CHECKPOINT, step=0.5)', step in standard deviations of a channel, "
            "or bits=4; of a vector-quantised model 'quantised(CHECKPOINT)'.",
        ),
    ],
) -> None:
    """Store a picture as an autoencoder's latents, quantised and entropy-coded."""
    from ..codecs.vbl import SUFFIX, encode_picture, to_bytes
    from ..images.pixels import read_pixels
    from ..store.atomic import write_output
    from ..suite import CodecSpec

    _check_suffix(out, SUFFIX)
    spec = CodecSpec.parse(codec)
    pixels = read_pixels(picture).rgb
    data = to_bytes(encode_picture(pixels, spec))
    write_output(out, data)
    pixel_count = pixels.shape[0] * pixels.shape[1]
    say(
        f"{out}: {len(data):,} bytes, {8 * len(data) / pixel_count:.3f} bits per pixel, "
        f"{3 * pixel_count / len(data):.1f} times smaller than 8-bit RGB"
    )


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE.vbl", help="What encode wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.png", help="The picture to write.")],
    codec: Annotated[
        str | None,
        typer.Option("--codec", metavar="SPEC", help="As for encode, if the checkpoint moved."),
    ] = None,
) -> None:
    """Decode what encode wrote; a damaged or foreign file, or other weights, are refused."""
    from PIL import Image

    from ..codecs.vbl import decode_picture, read_latent_file
    from ..store.atomic import write_output
    from ..suite import CodecSpec

    _check_suffix(out, ".png")
    stored = read_latent_file(file)
    spec = None if codec is None else CodecSpec.parse(codec)
    pixels = decode_picture(stored, file.name, spec)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    write_output(out, sink.getvalue())
    say(f"{out}: {stored.width_px}×{stored.height_px} px, by {stored.spec}")


def _check_suffix(out: Path, suffix: str) -> None:
    if out.suffix.lower() != suffix:
        raise VaebenchError(f"Cannot write {out}: a name that ends with {suffix} is expected.")
