"""One picture of anybody's as pixels; as a program, many of them, for `folder.py`, which starts one on every core."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import sys
import warnings
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from common.errors import BAD_INPUT, DONE, UserError
from common.language import _

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")  # PIL knows many more, some of which start other programs
MAX_UNPACKED = 128 * 2**20  # bytes of one picture: 44 million pixels in colour
WIDEST = math.isqrt(MAX_UNPACKED // 3)  # a side of a square in colour that unpacks to as much
NOT_WANTED = _("remove it from the folder")
ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
TURNS = {  # how to turn the others
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of a PNG's texts and colour profile, which nobody reads here: PIL refuses a picture with more than 1 MB of either.
PngImagePlugin.MAX_TEXT_CHUNK = 64 * 2**20
BEGINS, GOOD, BAD = b"\0\n", b"\1", b"\0"  # what this program writes first, before each picture, around what is wrong
BRIGHTEST = 2.0  # that a picture of floats from 0 to 1 is, but for highlights


def read_picture(
    path: Path, channels: int, size: int, background: str = "white", pad: bool = False, way_out: str = NOT_WANTED
) -> np.ndarray:
    """One picture, uint8 `[channels, size, size]`: the square in its middle or, to `pad`, all of it on `background`,
    which is also behind what is transparent. `way_out`: what to do about one that cannot be read."""
    no_picture = _("{path}: no picture ({formats}); {way_out}", path=path, formats=", ".join(FORMATS), way_out=way_out)
    try:
        if path.exists() and not path.is_file():  # a folder, or a pipe, which might never end
            raise UserError(no_picture)
        with Image.open(path, formats=FORMATS) as picture:
            unpacked = picture.width * picture.height * max(3, len(picture.getbands()))
            if unpacked > MAX_UNPACKED:
                raise too_large(path, _("{width}x{height} pixels", width=picture.width, height=picture.height))
            picture.load()
            plain = flat(upright(picture), background).convert("L" if channels == 1 else "RGB")
            if pad:
                plain.thumbnail((WIDEST, WIDEST), Image.BILINEAR)  # a panorama's square would be its width squared
                square = ImageOps.pad(plain, (max(plain.size),) * 2, color=background)
            else:
                side = min(plain.size)
                left, top = (plain.width - side) // 2, (plain.height - side) // 2
                square = plain.crop((left, top, left + side, top + side))
            pixels = np.asarray(square.resize((size, size), Image.BILINEAR))
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError(no_picture) from error
    except Image.DecompressionBombError as error:
        raise too_large(path, _("hundreds of millions of pixels")) from error
    except MemoryError as error:
        raise no_memory(path) from error
    except Exception as error:  # a damaged picture fails in as many ways as there are formats
        if isinstance(error, OSError) and error.errno:  # the system's word: of a file that may not be read
            mend = _("make it readable or {way_out}", way_out=way_out)
            mend = _("name another") if isinstance(error, FileNotFoundError) else mend
            raise UserError(_("{path}: {reason}; {way_out}", path=path, reason=error.strerror, way_out=mend)) from error
        values = {"path": path, "reason": " ".join(str(error).split())[:120] or type(error).__name__}
        raise UserError(
            _("{path}: truncated or damaged ({reason}); replace it or {way_out}", **values, way_out=way_out)
        ) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def upright(picture: Image.Image) -> Image.Image:
    """A photograph as its orientation says it is held; one whose other tags are odd all the same."""
    turn = None
    with contextlib.suppress(Exception):  # no such tag or an odd one; whatever is wrong with tags, the pixels are sound
        turn = TURNS.get(picture.getexif().get(ORIENTATION) or first_orientation(picture.info["exif"]))
    return picture if turn is None else picture.transpose(turn)


def first_orientation(exif: bytes) -> int:
    """The orientation in the first directory of an EXIF block, a TIFF file after six letters: before 13, PIL reads no
    tags after one that is too long.

    Raises:
        Exception: there is none.
    """
    tiff = exif[6:] if exif.startswith(b"Exif") else exif
    order = {b"II": "<", b"MM": ">"}[tiff[:2]]
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    entries = (struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * index) for index in range(count))
    return next(value for tag, _kind, _count, value in entries if tag == ORIENTATION)


def flat(picture: Image.Image, background: str) -> Image.Image:
    """A picture of 8 bits without transparency: 16 bits and floats are scaled, which PIL's `convert` would cut off, and
    what is transparent lies on `background`."""
    if picture.mode.startswith(("I", "F")):
        pixels = np.nan_to_num(np.asarray(picture, np.float64))
        white = 65535
        if picture.mode == "F":  # white is 1, or 255 as in what PIL makes of other pictures; highlights may exceed it
            white = 1 if np.percentile(pixels, 99) <= BRIGHTEST else 255
        hidden = pixels == picture.info.get("transparency", np.nan)
        picture = Image.fromarray(((pixels / white).clip(0, 1) * 255).round().astype(np.uint8))
        if hidden.any():
            picture.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, background), coloured)
    return picture


def too_large(path: Path, size: str) -> UserError:
    """What is said of a picture that would fill the memory."""
    values = {"path": path, "size": size, "most": MAX_UNPACKED >> 20}
    return UserError(_("{path}: {size}, more than {most} MB unpacked; make it smaller or remove it", **values))


def no_memory(path: Path | str) -> UserError:
    """What is said of a picture that may be sound, where there is no memory to open it."""
    return UserError(_("{path}: not enough memory to open it; end other programs, or make it smaller", path=path))


def main() -> int:
    """Write the pixels of the pictures named on stdin to stdout, one after the other; returns the exit status.

    Arguments: those of `read_picture`. On stdin the paths, a zero byte between two. The first bad one ends it.
    """
    channels, size, background, pad = sys.argv[1:]
    how, out = (int(channels), int(size), background, pad == "1"), sys.stdout.buffer
    sys.stdout.flush()
    out.write(BEGINS)
    for path in sys.stdin.buffer.read().split(b"\0"):
        try:
            pixels = read_picture(Path(os.fsdecode(path)), *how)
        except UserError as error:
            out.write(BAD + str(error).encode("utf-8", "surrogateescape") + BAD)  # whatever the screen writes in
            return BAD_INPUT
        out.write(GOOD + pixels.tobytes())
        out.flush()
    return DONE


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of sizes, which are refused here, and of odd metadata
    sys.exit(main())
