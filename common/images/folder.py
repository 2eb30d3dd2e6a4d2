"""A folder of one's own pictures, read once and kept in the cache as one array."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.errors import UserError
from common.machine import cpu
from common.machine.files import cache_folder, keep

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")  # PIL knows many more, some of which start other programs
UNSEEN = ("thumbs.db", "desktop.ini")  # what Windows puts into folders of pictures; names with a dot are left out too
MAX_FILE = 64 * 2**20  # bytes of one file
MAX_UNPACKED = 128 * 2**20  # bytes of one picture: 44 million pixels in colour
MAX_COUNT = 1_000_000  # pictures
VERSION = 1  # of what this file makes of a picture; another one makes another file in the cache


def read_folder(folder: Path, channels: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Every picture in a folder and below, cut to the square in its middle and resized.

    The first time all of them are opened, on all cores; the result is kept in the cache under the checksum of their
    names, sizes and times.

    Args:
        channels: 1 for grey, 3 for colour; what is transparent lies on white.
        size: height and width wanted.

    Returns:
        Images uint8 `[N, channels, size, size]` in the order of their names, and the names: the path below `folder`,
        parts separated by a slash.

    Raises:
        UserError: there are none, or a file is no picture, is damaged or unpacks to more than `MAX_UNPACKED`.
    """
    found = sorted(pictures(folder))
    if not found:
        raise UserError(f"--data-dir {folder}: no pictures there; name a folder of {', '.join(FORMATS)} files")
    names = [name for name, _, _ in found]
    listing = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, _, state in found)
    key = hashlib.sha256(os.fsencode(f"{VERSION} {channels} {size}\n{listing}")).hexdigest()[:16]
    place = hashlib.sha256(os.fsencode(f"{folder.resolve()} {channels} {size}")).hexdigest()[:8]
    kept = cache_folder() / f"folder-{place}-{key}.npz"
    shape = (len(found), channels, size, size)
    images = recall(kept, shape)
    if images is None:
        images = read_all([path for _, path, _ in found], shape)
        buffer = io.BytesIO()
        np.savez(buffer, images=images)
        if keep(kept, buffer.getbuffer()):
            for older in set(kept.parent.glob(f"folder-{place}-*.npz")) - {kept}:  # the same folder before a change
                older.unlink(missing_ok=True)
    return images, names


def pictures(folder: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Name, path and state of every file in a folder and below. Links are followed, each folder is visited once."""
    visited, waiting, count = set(), [(folder, "")], 0
    while waiting:
        place, prefix = waiting.pop()
        for entry in os.scandir(place):
            path, name = Path(entry.path), f"{prefix}{entry.name}"
            if entry.name.startswith(".") or entry.name.lower() in UNSEEN:
                continue
            try:
                state = entry.stat()
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}; remove it from the folder") from error
            if stat.S_ISDIR(state.st_mode):
                if (state.st_dev, state.st_ino) not in visited:
                    visited.add((state.st_dev, state.st_ino))
                    waiting.append((path, f"{name}/"))
            elif not stat.S_ISREG(state.st_mode):
                raise UserError(f"{path}: no regular file; remove it from the folder")
            elif state.st_size > MAX_FILE:
                raise UserError(f"{path}: {state.st_size:,} bytes, more than {MAX_FILE >> 20} MB; make it smaller")
            else:
                count += 1
                if count > MAX_COUNT:
                    raise UserError(f"--data-dir {folder}: more than {MAX_COUNT:,} files; name a smaller folder")
                yield name, path, state


def recall(kept: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What an earlier run kept, if it is there and sound."""
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), kept.open("rb") as file:
        images = np.load(file, allow_pickle=False)["images"]
        if images.dtype == np.uint8 and images.shape == shape:
            return images
    return None


def read_all(paths: list[Path], shape: tuple[int, ...]) -> np.ndarray:
    """The pictures as one array, uint8 of this shape."""
    images = np.empty(shape, np.uint8)

    def read(index: int) -> None:
        images[index] = read_picture(paths[index], *shape[1:3])

    with warnings.catch_warnings(), ThreadPoolExecutor(cpu.usable_cores()) as pool:  # PIL decodes without the GIL
        warnings.simplefilter("ignore")  # of sizes, which `read_picture` refuses, and of odd metadata
        try:
            with tqdm(total=len(paths), unit=" pictures", desc="reading once", disable=None, leave=False) as bar:
                for _ in pool.map(read, range(len(paths))):
                    bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return images


def read_picture(path: Path, channels: int, size: int) -> np.ndarray:
    """One picture, uint8 `[channels, size, size]`."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            unpacked = picture.width * picture.height * max(3, len(picture.getbands()))
            if unpacked > MAX_UNPACKED:
                raise too_large(path, f"{picture.width}x{picture.height} pixels")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            plain = flat(upright).convert("L" if channels == 1 else "RGB")
            side = min(plain.size)
            left, top = (plain.width - side) / 2, (plain.height - side) / 2
            box = (left, top, left + side, top + side)
            pixels = np.asarray(plain.resize((size, size), Image.BILINEAR, box=box))
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{path}: no picture ({', '.join(FORMATS)}); remove it from the folder") from error
    except Image.DecompressionBombError as error:
        raise too_large(path, "hundreds of millions of pixels") from error
    except Exception as error:  # a damaged picture fails in as many ways as there are formats
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: truncated or damaged ({reason}); replace it or remove it from the folder") from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def flat(picture: Image.Image) -> Image.Image:
    """A picture of 8 bits without transparency: 16 bits are scaled, which PIL's `convert` would cut off, and what is
    transparent lies on white."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return picture


def too_large(path: Path, size: str) -> UserError:
    """What is said of a picture that would fill the memory."""
    return UserError(f"{path}: {size}, more than {MAX_UNPACKED >> 20} MB unpacked; make it smaller or remove it")
