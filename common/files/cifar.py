"""CIFAR-10 in its two official layouts, binary and python, unpacked or as the archive they come in.

The python layout's batches are pickles, which `common/files/pickles.py` reads as plain data. Nothing is unpacked to
the disk: what is wanted of an archive is read from its stream.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.files.atomic import file_md5
from common.files.pickles import parse_pickle
from common.language import _

import numpy as np
from paddle.vision.datasets import cifar

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
PER_BATCH = 10_000  # images in each of the six batches
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
LABELS = {name: f"training batch {name[-1]} of 5" for name in BATCHES["train"]}  # what a pickle calls itself
LABELS["test_batch"] = "testing batch 1 of 1"
URL = cifar.CIFAR10_URL
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVES = {  # their MD5 on https://www.cs.toronto.edu/~kriz/cifar.html
    ARCHIVE: cifar.CIFAR10_MD5,
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
}
MD5 = {  # of the pickles, as torchvision lists them; nobody lists the binary layout's
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
MAX_BATCH = 40 * 2**20  # bytes of a batch: 30,730,000 in the binary layout, some 31,035,700 in the other
MAX_ARCHIVE = 256 * 2**20  # bytes an archive may unpack to: 186 million are right
MAX_MEMBERS = 100
WHOLE = _("replace it by an intact copy")


def read_cifar10(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of `train` or `test`.

    Args:
        path: a folder that holds the batches of either layout, their folder, or the archive; or the archive itself.

    Returns:
        Images uint8 `[N, 3, 32, 32]` and labels int64 `[N]`.

    Raises:
        UserError: a batch is missing, damaged, another one than its name says, or holds anything but CIFAR-10.
    """
    names = BATCHES[part]
    images = np.empty((len(names), PER_BATCH, *SHAPE), np.uint8)
    labels = np.empty((len(names), PER_BATCH), np.int64)
    place, kind = layout(path)
    own = False
    for name, batch, content in archived(place, names) if kind == "archive" else unpacked(place, names, kind):
        read = read_binary if batch.name.endswith(".bin") else read_python
        images[names.index(name)], labels[names.index(name)] = read(content, batch, name)
        own = own or (kind == "python" and hashlib.md5(content).hexdigest() != MD5[name])
    if kind == "archive":
        own = file_md5(place) not in ARCHIVES.values()
    if own:
        said = _("warning: {place} holds not the original CIFAR-10 (md5); fine if it is a copy", place=place)
        print(said, file=sys.stderr)
    return images.reshape(-1, *SHAPE), labels.reshape(-1)


def layout(path: Path) -> tuple[Path, str]:
    """Where below `path` CIFAR-10 is, and as what: `binary`, `python` or `archive`."""
    if path.is_file():
        return path, "archive"
    for folder in (path, path / "cifar-10-batches-bin", path / "cifar-10-batches-py"):
        for kind, ending in (("binary", ".bin"), ("python", "")):
            if any((folder / f"{name}{ending}").is_file() for name in MD5):
                return folder, kind
    for name in ARCHIVES:
        if (path / name).is_file():
            return path / name, "archive"
    said = _(
        "{path}: no CIFAR-10 there; name by --data-dir the folder with data_batch_1.bin or data_batch_1 and its "
        "sisters, or {archive}",
        path=path,
        archive=ARCHIVE,
    )
    raise UserError(said)


def unpacked(folder: Path, names: list[str], kind: str) -> Iterator[tuple[str, Path, bytes]]:
    """The name, file and content of each batch."""
    for name in names:
        path = folder / (f"{name}.bin" if kind == "binary" else name)
        try:
            size = path.stat().st_size
            if size > MAX_BATCH:
                raise too_large(path, size)
            content = path.read_bytes()
        except OSError as error:
            values = {"path": path, "reason": error.strerror, "name": path.name}
            raise UserError(_("{path}: {reason}; expected CIFAR-10's {name} there", **values)) from error
        yield name, path, content


def archived(path: Path, names: list[str]) -> Iterator[tuple[str, Path, bytes]]:
    """The name, place and content of each batch, in the archive's order."""
    wanted = set(names)
    try:
        with gzip.open(path) as file, tarfile.open(fileobj=_Bounded(file, path), mode="r|", bufsize=2**20) as archive:
            for count, member in enumerate(archive):
                place = path / PurePosixPath(member.name).name  # a name for messages: nothing is written
                name = place.name[: -len(".bin")] if place.name.endswith(".bin") else place.name
                if count > MAX_MEMBERS:
                    values = {"path": path, "most": MAX_MEMBERS, "way_out": WHOLE}
                    raise UserError(_("{path}: more than {most} files, expected CIFAR-10's nine; {way_out}", **values))
                if name in wanted and member.isreg():
                    if member.size > MAX_BATCH:
                        raise too_large(place, member.size)
                    wanted.remove(name)
                    yield name, place, archive.extractfile(member).read()
                if not wanted:
                    return
    except UserError:
        raise
    except Exception as error:  # a damaged archive fails in many ways; nothing of it is written or run
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        values = {"path": path, "reason": reason, "way_out": WHOLE}
        raise UserError(_("{path}: damaged or no .tar.gz ({reason}); {way_out}", **values)) from error
    values = {"path": path, "names": ", ".join(sorted(wanted)), "archive": ARCHIVE}
    raise UserError(_("{path}: no {names} in it; name an intact {archive}", **values))  # CIFAR-100's, or half of it


class _Bounded:
    """A stream that ends in an error where an archive unpacks to more than CIFAR-10 does: a header of `tarfile`'s would
    else be read to whatever length it claims."""

    def __init__(self, file: gzip.GzipFile, path: Path) -> None:
        self.file, self.path, self.left = file, path, MAX_ARCHIVE

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(content)
        if self.left < 0:
            raise too_large(self.path, MAX_ARCHIVE, _("unpacks to more than"))
        return content


def read_binary(content: bytes, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[10000, 3, 32, 32]` and labels of a batch of records: a label's byte, then red, green and blue."""
    if len(content) != PER_BATCH * (1 + PIXELS):
        of = _("{count:,} records of a label and {pixels} pixels", count=PER_BATCH, pixels=PIXELS)
        values = {"path": path, "found": len(content), "expected": PER_BATCH * (1 + PIXELS), "of": of, "way_out": WHOLE}
        raise UserError(_("{path}: {found:,} bytes, expected {expected:,}, {of}; {way_out}", **values))
    records = np.frombuffer(content, np.uint8).reshape(PER_BATCH, 1 + PIXELS)
    if records[:, 0].max() > 9:
        values = {"path": path, "label": records[:, 0].max(), "way_out": WHOLE}
        raise UserError(_("{path}: a label of {label}, expected 0 to 9; {way_out}", **values))
    return records[:, 1:].reshape(PER_BATCH, *SHAPE), records[:, 0]


def read_python(content: bytes, path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of a pickled dictionary: `data` uint8 `[10000, 3072]`, `labels` a list."""
    kind, advice = _("batch of CIFAR-10"), _("load only CIFAR-10's own batches")
    batch = parse_pickle(content, path, kind, advice, python_2=True)
    called = batch.get("batch_label", LABELS[name])
    if called != LABELS[name]:
        values = {"path": path, "called": called, "expected": LABELS[name]}
        raise UserError(
            _("{path}: calls itself {called!r:.60}, expected {expected!r}; give each file its own name", **values)
        )
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (PER_BATCH, PIXELS):
        found = f"{data.dtype.name} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        values = {"path": path, "found": found, "shape": [PER_BATCH, PIXELS], "way_out": WHOLE}
        raise UserError(_("{path}: its data are {found}, expected uint8 {shape}; {way_out}", **values))
    right = isinstance(labels, list) and len(labels) == PER_BATCH
    if not right or any(type(label) is not int or not 0 <= label <= 9 for label in labels):
        values = {"path": path, "count": PER_BATCH, "way_out": WHOLE}
        raise UserError(_("{path}: its labels are not {count:,} whole numbers from 0 to 9; {way_out}", **values))
    return data.reshape(PER_BATCH, *SHAPE), np.array(labels, np.int64)


def too_large(path: Path, size: int, verb: str = "") -> UserError:
    """What is said of a file that is far larger than it can be."""
    values = {"path": path, "verb": verb or _("has"), "size": size, "way_out": WHOLE}
    return UserError(_("{path}: {verb} {size:,} bytes, far more than CIFAR-10's; {way_out}", **values))
