"""Images to train on: MNIST (or anything in its file format) and scikit-learn's digits, as one array in memory."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.machine.download import fetch

import numpy as np
from paddle.dataset.common import DATA_HOME
from paddle.vision.datasets import MNIST

IMAGE = (1, 32, 32)  # channels, height, width, where a family says nothing else
DATASETS = ["mnist", "digits", "auto"]

# The four files of http://yann.lecun.com/exdb/mnist and the MD5 that every public loader checks them by.
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
MAGIC = {"images": 0x00000803, "labels": 0x00000801}  # unsigned bytes in three and in one dimension
MAX_COUNT = 1_000_000  # bounds what a wrong header can make us allocate; the largest EMNIST split has 814,255


class Dataset(NamedTuple):
    """Images of one data set.

    Attributes:
        name: `mnist` or `digits`.
        images: float32 `[N, C, H, W]` in [-1, 1].
        checksum: `md5:…` of the image file, or of the array where there is no file.
        note: what the user should know at the start and at the end, else "".
        labels: int64 `[N]`, or None where they were not asked for.
    """

    name: str
    images: np.ndarray
    checksum: str
    note: str = ""
    labels: np.ndarray | None = None


def load(
    name: str, data_dir: str | None = None, image: tuple[int, int, int] = IMAGE, labelled: bool = False
) -> Dataset:
    """Load the training images of `mnist`, `digits` or `auto` (MNIST, else digits with a note that says why).

    Args:
        image: the shape wanted, (channels, height, width).
        labelled: whether the labels are wanted as well.

    Raises:
        UserError: MNIST is not to be had, a file is damaged, or there are no images of that shape. A damaged file is
            an error for `auto` too: the user has MNIST and means it.
    """
    channels, height, width = image
    if channels != 1 or height != width:
        raise UserError(f"--dataset {name}: its images are grey and square, this family takes {image}")
    if name == "digits":
        return load_digits(size=height, labelled=labelled)
    try:
        folder = find_mnist(data_dir)
    except UserError as error:
        if name != "auto":
            raise
        note = f"NOT MNIST: these are scikit-learn's 1,797 digits, since MNIST was not to be had ({error})"
        return load_digits(note, height, labelled)
    if labelled:
        images, labels, checksum = load_labelled("mnist", "train", data_dir, height)
        return Dataset("mnist", images, checksum, labels=labels)
    path = folder / "train-images-idx3-ubyte.gz"
    checksum = checked_md5(path)
    return Dataset("mnist", to_images(read_idx(path, "images"), height), f"md5:{checksum}")


def load_digits(note: str = "", size: int = IMAGE[1], labelled: bool = False) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels and 17 grey levels; part of the package, no network."""
    from sklearn.datasets import load_digits as load_sklearn  # takes 1.4 s, which MNIST needs not wait for

    digits = load_sklearn()
    images = to_images(digits.images * (255 / 16), size)
    labels = digits.target.astype(np.int64) if labelled else None
    return Dataset("digits", images, f"md5:{hashlib.md5(images.tobytes()).hexdigest()}", note, labels)


def load_labelled(
    name: str, part: str, data_dir: str | None = None, size: int = IMAGE[1]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Images with their labels, split in `train` and `test`.

    MNIST's own split; of digits a quarter, drawn once and for all, is the test part.

    Returns:
        Images as `Dataset`'s, labels int64 `[N]`, and the checksum of the image file or array.
    """
    if name == "digits":
        digits = load_digits(size=size, labelled=True)
        order = np.random.default_rng(0).permutation(len(digits.labels))
        chosen = np.sort(order[: len(order) // 4] if part == "test" else order[len(order) // 4 :])
        return digits.images[chosen], digits.labels[chosen], digits.checksum
    prefix = "t10k" if part == "test" else "train"
    names = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
    folder = find_mnist(data_dir, names)
    checksum, _ = (checked_md5(folder / file) for file in names)
    images, labels = read_idx(folder / names[0], "images"), read_idx(folder / names[1], "labels")
    if len(images) != len(labels):
        raise UserError(
            f"{folder}: {len(images):,} {prefix} images but {len(labels):,} labels; they do not belong together"
        )
    return to_images(images, size), labels.astype(np.int64), f"md5:{checksum}"


def to_images(pixels: np.ndarray, size: int = IMAGE[1]) -> np.ndarray:
    """Pixels `[N, H, W]` in 0..255 to float32 `[N, 1, size, size]` in [-1, 1], all at once.

    Bilinear with half-pixel centres, as PIL and `paddle.nn.functional.interpolate(align_corners=False)` enlarge.
    Interpolation is linear in rows and in columns, so that the whole set is two matrix products.
    """
    rows, columns = (interpolation_matrix(length, size) for length in pixels.shape[1:])
    images = np.empty((len(pixels), 1, size, size), np.float32)
    for start in range(0, len(pixels), 4096):  # in parts, so that the scratch space stays small beside the result
        part = pixels[start : start + 4096].astype(np.float32)
        images[start : start + 4096, 0] = rows @ part @ columns.T
    images /= 127.5
    images -= 1.0
    return np.clip(images, -1.0, 1.0, out=images)


def to_size(images: np.ndarray, size: int) -> np.ndarray:
    """Images `[N, C, H, H]` as `[N, C, size, size]`, by the same interpolation."""
    if images.shape[-1] == size:
        return images
    matrix = interpolation_matrix(images.shape[-1], size)
    return matrix @ images @ matrix.T


def interpolation_matrix(length: int, size: int) -> np.ndarray:
    """The `[size, length]` matrix of bilinear interpolation along one axis, borders repeated."""
    centres = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    return np.stack([np.interp(centres, np.arange(length), unit) for unit in np.eye(length)], axis=1).astype(np.float32)


def find_mnist(data_dir: str | None = None, names: tuple[str, ...] = ("train-images-idx3-ubyte.gz",)) -> Path:
    """The folder with MNIST's files: `data_dir`, else `$MNIST_DIR`, else Paddle's cache.

    What of `names` is missing from Paddle's cache is downloaded to it from Paddle's server.

    Raises:
        UserError: the folder named is not there, or the download failed.
    """
    given = data_dir or os.environ.get("MNIST_DIR")
    if given:
        folder, source = Path(given).expanduser(), "--data-dir" if data_dir else "$MNIST_DIR"
        if not folder.is_dir():
            raise UserError(f"{source}: no folder {folder}; name the folder that holds {', '.join(MNIST_MD5)}")
        return folder

    folder = Path(DATA_HOME) / "mnist"
    for name in names:
        if not (folder / name).is_file():
            try:
                fetch(MNIST.URL_PREFIX + name, folder / name, MNIST_MD5[name])
            except UserError as error:
                raise UserError(
                    f"{error}; put {name} into {folder} or a folder named by --data-dir, or use --dataset digits"
                ) from error
    return folder


def checked_md5(path: Path) -> str:
    """The MD5 of one of MNIST's files; one that is not MNIST's own is warned of, since KMNIST and Fashion-MNIST come
    in the same format under the same names."""
    try:
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected MNIST's {path.name} there (see --data-dir)") from error
    if md5 != MNIST_MD5.get(path.name):
        print(
            f"warning: {path} is not the original MNIST file (md5 {md5}, MNIST's is {MNIST_MD5.get(path.name)}); "
            "fine for KMNIST, Fashion-MNIST and the like",
            file=sys.stderr,
        )
    return md5


def read_idx(path: Path, kind: str) -> np.ndarray:
    """Read one gzipped IDX file: uint8 `[N, 28, 28]` for `images`, `[N]` for `labels`.

    Raises:
        UserError: the file is missing, not gzip, truncated, not IDX, or its header and size do not agree.
    """

    def wrong(found: str, expected: str) -> UserError:
        return UserError(f"{path}: {found}, expected {expected}; replace the file by an intact copy")

    header_size = 16 if kind == "images" else 8
    try:
        with gzip.open(path) as file:
            header = file.read(header_size)
            if len(header) < header_size:
                raise wrong(f"only {len(header)} bytes", f"an IDX header of {header_size}")
            magic, count, *shape = struct.unpack(f">{header_size // 4}I", header)
            if magic != MAGIC[kind]:
                raise wrong(f"magic number 0x{magic:08x}", f"0x{MAGIC[kind]:08x} (IDX {kind})")
            if shape not in ([], [28, 28]):
                raise wrong(f"images of {shape[0]}x{shape[1]}", "28x28")
            if not 0 < count <= MAX_COUNT:
                raise wrong(f"a count of {count:,} {kind}", f"1 to {MAX_COUNT:,}")
            size = count * (28 * 28 if shape else 1)
            data = file.read(size + 1)  # one byte more: a longer file is as wrong as a shorter one
            if len(data) != size:
                more = "more than " if len(data) > size else ""
                raise wrong(f"{more}{min(len(data), size):,} bytes of {kind}", f"{size:,} for a count of {count:,}")
    except gzip.BadGzipFile as error:
        raise wrong(f"not a sound gzip file ({error})", "gzip") from error
    except (EOFError, zlib.error) as error:
        raise wrong(f"truncated or damaged ({error})", "a whole gzip file") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected MNIST's {path.name} there (see --data-dir)") from error
    return np.frombuffer(data, np.uint8).reshape(count, *shape)
