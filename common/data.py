"""Images to train on, each data set as one array in memory. `common/files/` reads the formats they come in."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.files import cifar
from common.files.finding import existing, find_cifar10, find_idx
from common.files.folder import array_md5, read_folder
from common.files.idx import FILES, called, checked_md5, read_idx, warn_of_others
from common.language import Message, _

import numpy as np

IMAGE = (1, 32, 32)  # channels, height, width, where a family says nothing else
CLASSES = 10  # of every data set here; one's own sub-folders may be fewer
CHANNELS = {"mnist": 1, "fashion-mnist": 1, "kmnist": 1, "digits": 1, "cifar10": 3}
DATASETS = [*CHANNELS, "folder", "auto"]


class Dataset(NamedTuple):
    """Images of one data set.

    Attributes:
        name: one of `DATASETS`, but never `auto`.
        images: `[N, C, H, W]`: float32 in [-1, 1], or uint8 where that would be large. `as_float` makes the former of
            either.
        checksum: `md5:…` of MNIST's image file or its like, of the array elsewhere.
        note: what the user should know at the start and at the end, else "".
        labels: int64 `[N]`, or None where they were not asked for.
        judge: the name of the judge that knows these images: the data set's, or of one's own pictures `folder-…` by
            their files' names, which are the same at every size.
        classes: the names of one's own classes, in the order of their labels; () where labels are not asked for or are
            those of a named data set.
    """

    name: str
    images: np.ndarray
    checksum: str
    note: str = ""
    labels: np.ndarray | None = None
    judge: str = ""
    classes: tuple[str, ...] = ()


def channels_of(name: str, wanted: int) -> int:
    """The channels of a data set's images; a folder's are made into what is `wanted`."""
    return wanted if name == "folder" else CHANNELS.get(name, 1)


def load(
    name: str,
    data_dir: str | Path | None = None,
    image: tuple[int, int, int] = IMAGE,
    labelled: bool = False,
    background: str = "white",
    pad: bool = False,
) -> Dataset:
    """Load the training images of one of `DATASETS`; `auto` is MNIST, else digits with a note that says why.

    Args:
        data_dir: where its files are, as `--data-dir`.
        image: the shape wanted, (channels, height, width).
        labelled: whether the labels are wanted as well.
        background, pad: of one's own pictures, see `read_folder`.

    Raises:
        UserError: the data set is not to be had, a file is damaged, or there are no images of that shape. A damaged
            file is an error for `auto` too: the user has MNIST and means it.
    """
    channels, height, width = image
    if channels != channels_of(name, channels) or height != width:
        values = {"kind": _("grey") if channels_of(name, channels) == 1 else _("in colour"), "image": image}
        raise UserError(
            _("--dataset {name}: its images are {kind} and square, this family takes {image}", name=name, **values)
        )
    if name == "digits":
        say_unused(data_dir)
        return load_digits(size=height, labelled=labelled)
    if name == "folder":
        return load_folder(data_dir, image, labelled, background, pad)
    if name == "cifar10":
        images, labels, checksum = load_labelled(name, "train", data_dir, height)
        return Dataset(name, images, checksum, labels=labels if labelled else None)
    wanted = "mnist" if name == "auto" else name
    try:
        folder = find_idx(wanted, data_dir, FILES[: 1 + labelled])
    except UserError as error:
        if name != "auto":
            raise
        note = Message(
            "NOT MNIST: these are scikit-learn's 1,797 digits, since MNIST was not to be had ({error})", error=error
        )
        return load_digits(note, height, labelled)
    if labelled:
        images, labels, checksum = load_labelled(wanted, "train", data_dir, height)
        return Dataset(wanted, images, checksum, labels=labels)
    path = called(folder, FILES[0])
    checksum, pixels = checked_md5(wanted, path), read_idx(path, "images")
    warn_of_others(wanted, path, checksum)
    return Dataset(wanted, to_images(pixels, height), f"md5:{checksum}")


def load_digits(note: str = "", size: int = IMAGE[1], labelled: bool = False) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels and 17 grey levels; part of the package, no network.

    Only the package's file is read: importing scikit-learn takes over a second. The checksum is that of 32x32 in every
    size: their judge knows them by it, and at 28x28 the last bit of a pixel depends on the processor.
    """
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    table = np.loadtxt(package / "datasets/data/digits.csv.gz", delimiter=",")  # 64 pixels from 0 to 16, the label
    pixels = table[:, :64].reshape(-1, 8, 8) * (255 / 16)
    labels = table[:, 64].astype(np.int64) if labelled else None
    known = to_images(pixels)
    images = known if size == IMAGE[1] else to_images(pixels, size)
    return Dataset("digits", images, f"md5:{hashlib.md5(known.tobytes()).hexdigest()}", note, labels)


def load_folder(
    data_dir: str | Path | None, image: tuple[int, int, int], labelled: bool, background: str, pad: bool
) -> Dataset:
    """One's own pictures, uint8. The folders in `data_dir` are the classes, in the order of their names."""
    if not data_dir:
        raise UserError(_("--dataset folder: say which, --data-dir FOLDER; the folders in it are the classes"))
    folder = existing(data_dir, "--data-dir", _("your pictures"))
    images, names, checksum = read_folder(folder, *image[:2], background, pad)
    labels, classes = None, []
    if labelled:
        single = next((name for name in names if "/" not in name), None)
        if single:
            path = Path(data_dir, single)
            raise UserError(_("{path}: in no sub-folder, hence of no class, and here each needs one", path=path))
        classes = sorted({name.split("/")[0] for name in names})
        if not 2 <= len(classes) <= CLASSES:
            count = _("one sub-folder") if len(classes) == 1 else _("{count} sub-folders", count=len(classes))
            values = {"data_dir": data_dir, "count": count, "most": CLASSES}
            raise UserError(_("--data-dir {data_dir}: {count} of pictures; classes may be 2 to {most}", **values))
        labels = np.array([classes.index(name.split("/")[0]) for name in names], np.int64)
    judge = f"folder-{hashlib.sha256(os.fsencode(chr(10).join(names))).hexdigest()[:12]}"
    return Dataset("folder", images, checksum, labels=labels, judge=judge, classes=tuple(classes))


def load_labelled(
    name: str, part: str, data_dir: str | Path | None = None, size: int = IMAGE[1]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Images with their labels, split in `train` and `test`.

    The data set's own split; of digits `digits_part`.

    Returns:
        Images as `Dataset`'s, labels int64 `[N]`, and the checksum of the image file or array.

    Raises:
        UserError: as `load`; or it is a folder, which has no such parts.
    """
    if name == "folder":
        raise UserError(_("--dataset folder: one's own pictures have no test part; only named data sets are judged"))
    if name == "digits":
        say_unused(data_dir)
        return digits_part(part, size)
    if name == "cifar10":
        images, labels = cifar.read_cifar10(find_cifar10(data_dir), part)
        return to_size(images, size), labels, array_md5(images)
    prefix = "t10k" if part == "test" else "train"
    files = tuple(file for file in FILES if file.startswith(prefix))
    folder = find_idx(name, data_dir, files)
    paths = [called(folder, file) for file in files]
    checksums = [checked_md5(name, path) for path in paths]
    images, labels = read_idx(paths[0], "images"), read_idx(paths[1], "labels")
    for path, md5 in zip(paths, checksums):
        warn_of_others(name, path, md5)
    if len(images) != len(labels):
        values = {"folder": folder, "images": len(images), "prefix": prefix, "labels": len(labels)}
        raise UserError(
            _("{folder}: {images:,} {prefix} images but {labels:,} labels; they do not belong together", **values)
        )
    if labels.max() >= CLASSES:  # as of EMNIST's letters
        values = {"path": paths[1], "label": labels.max(), "last": CLASSES - 1}
        raise UserError(_("{path}: a label of {label}, expected 0 to {last}; take a family without labels", **values))
    return to_images(images, size), labels.astype(np.int64), f"md5:{checksums[0]}"


def digits_part(part: str, size: int = IMAGE[1]) -> tuple[np.ndarray, np.ndarray, str]:
    """The `train` or the `test` part of digits, which come unsplit: of these a quarter, drawn once and for all."""
    digits = load_digits(size=size, labelled=True)
    chosen = part_of(len(digits.labels), part)
    return digits.images[chosen], digits.labels[chosen], digits.checksum


def part_of(count: int, part: str) -> np.ndarray:
    """Which of `count` images that come unsplit are the `train` part, and which the `test` part, a quarter."""
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[: count // 4] if part == "test" else order[count // 4 :])


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


def as_float(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as float32: uint8 ones from 0..255, others as they are."""
    return images.astype(np.float32) / 127.5 - 1 if images.dtype == np.uint8 else images


def to_size(images: np.ndarray, size: int) -> np.ndarray:
    """Images `[N, C, H, H]` as `[N, C, size, size]`, by the same interpolation; uint8 stays uint8."""
    if images.shape[-1] == size:
        return images
    matrix = interpolation_matrix(images.shape[-1], size)
    if images.dtype != np.uint8:
        return matrix @ images @ matrix.T
    resized = np.empty((*images.shape[:2], size, size), np.uint8)
    for start in range(0, len(images), 4096):
        resized[start : start + 4096] = np.rint(matrix @ images[start : start + 4096].astype(np.float32) @ matrix.T)
    return resized


def interpolation_matrix(length: int, size: int) -> np.ndarray:
    """The `[size, length]` matrix of bilinear interpolation along one axis, borders repeated."""
    centres = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    return np.stack([np.interp(centres, np.arange(length), unit) for unit in np.eye(length)], axis=1).astype(np.float32)


@functools.lru_cache
def say_unused(data_dir: str | Path | None) -> None:
    """Say once that scikit-learn's digits come with it."""
    if data_dir:
        said = _("note: --data-dir {folder} is not used: scikit-learn's digits are part of it", folder=data_dir)
        print(said, file=sys.stderr)
