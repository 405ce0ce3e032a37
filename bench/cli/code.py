"""The commands that store a picture as an autoencoder's coded latents, and read it back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from ..errors import VaebenchError

ENCODE_EXAMPLES = """Examples:

vaebench encode photo.png photo.vbl --codec 'quantised(demo-f8c4, step=0.5)'

vaebench encode photo.png photo.vbl --codec 'quantised(./my-vae:dtype=float16, bits=4)'
"""
DECODE_EXAMPLES = """Examples:

vaebench decode photo.vbl photo.png

vaebench decode photo.vbl photo.png --codec 'quantised(./moved/vae, step=0.5)'
"""


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
    from ..codecs.vbl import SUFFIX, to_bytes
    from ..codecs.vbl_picture import encode_picture
    from ..images.pixels import read_pixels
    from ..store.atomic import write_output
    from ..suite import CodecSpec

    _check_suffix(out, SUFFIX)
    spec = CodecSpec.parse(codec)
    pixels = read_pixels(picture).rgb
    data = to_bytes(encode_picture(pixels, spec))
    write_output(out, data)
    pixel_count = pixels.shape[0] * pixels.shape[1]
    typer.echo(
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

    from ..codecs.vbl import read_latent_file
    from ..codecs.vbl_picture import decode_picture
    from ..store.atomic import write_output
    from ..suite import CodecSpec

    _check_suffix(out, ".png")
    stored = read_latent_file(file)
    spec = None if codec is None else CodecSpec.parse(codec)
    pixels = decode_picture(stored, file.name, spec)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    write_output(out, sink.getvalue())
    typer.echo(f"{out}: {stored.width_px}×{stored.height_px} px, by {stored.spec}")


def _check_suffix(out: Path, suffix: str) -> None:
    if out.suffix.lower() != suffix:
        raise VaebenchError(f"Cannot write {out}: a name that ends with {suffix} is expected.")
