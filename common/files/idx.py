"""MNIST's file format, IDX, and the data sets that come in it under the same names, packed or unpacked."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import struct
import sys
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.errors import UserError
from common.language import _

import numpy as np
from paddle.vision.datasets import MNIST, FashionMNIST

MAGIC = {"images": 0x00000803, "labels": 0x00000801}  # unsigned bytes in three and in one dimension
MAX_COUNT = 1_000_000  # bounds what a wrong header can make us allocate; the largest EMNIST split has 814,255
MAX_BYTES = 16 + MAX_COUNT * 28 * 28
GZIP = b"\x1f\x8b"  # how it begins
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# How else each is called: unpacked, and with a dot, as in the archive of Kaggle and after some programs that unpack.
CALLED = {file: [file, file.replace("-idx", ".idx"), file[:-3], file[:-3].replace("-idx", ".idx")] for file in FILES}
OFFICIAL = {called: file for file, names in CALLED.items() for called in names}
UNPACKED = {  # the MD5 of what is in MNIST's files, in the order of `FILES`
    "6bbc9ace898e44ae57da46a324031adb": 0,
    "a25bea736e30d166cdddb491f175f624": 1,
    "2646ac647ad5339dbf082846283269ea": 2,
    "27ae3e4e09519cfbb04c329615203637": 3,
}


class Source(NamedTuple):
    """Where a data set's four files come from: `url` ends before the file's name and is "" where Paddle's server has
    none; `md5` is that of each of `FILES`, as the publishers and every public loader have it."""

    title: str
    url: str
    md5: tuple[str, ...]


SOURCES = {
    "mnist": Source(  # http://yann.lecun.com/exdb/mnist
        "MNIST",
        MNIST.URL_PREFIX,
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": Source(  # https://github.com/zalandoresearch/fashion-mnist
        "Fashion-MNIST",
        FashionMNIST.URL_PREFIX,
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": Source(  # http://codh.rois.ac.jp/kmnist; the checksums as torchvision lists them
        "KMNIST",
        "",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
}
OWNERS = {md5: (name, file) for name, source in SOURCES.items() for file, md5 in zip(FILES, source.md5)}


def official_md5(name: str, file: str) -> str:
    """The MD5 of one of a data set's files."""
    return SOURCES[name].md5[FILES.index(file)]


def called(folder: Path, file: str) -> Path:
    """One of `FILES` as it is called in `folder`; by its own name where it is not there."""
    return next((folder / name for name in CALLED[file] if (folder / name).is_file()), folder / file)


def found_below(folder: Path, name: str, files: tuple[str, ...]) -> Path | None:
    """Where `files` are: in `folder` or where torchvision and others put them below it; None where they are not."""
    torchvisions = SOURCES[name].title.replace("-", "")
    for place in (".", "raw", f"{torchvisions}/raw", torchvisions, name):
        if all(called(folder / place, file).is_file() for file in files):
            return folder / place
    return None


def identity(path: Path) -> str:
    """The MD5 of a file; of MNIST's, unpacked or packed anew, that of the original file."""
    content = path.read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    if md5 in OWNERS:
        return md5
    with contextlib.suppress(OSError, EOFError, zlib.error), opened(path) as file:
        inside = hashlib.md5(file.read(MAX_BYTES)).hexdigest()
        if inside in UNPACKED:
            return SOURCES["mnist"].md5[UNPACKED[inside]]
    return md5


def opened(path: Path) -> BinaryIO:
    """A file, unpacked while it is read if it is packed."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path) if packed else path.open("rb")


def checked_md5(name: str, path: Path) -> str:
    """The `identity` of one of a data set's files.

    Raises:
        UserError: it cannot be read, or is another file of these data sets. Not MNIST's stand-ins: they were trained on
            as `mnist` before they had names of their own.
    """
    try:
        md5 = identity(path)
    except OSError as error:
        raise missing(path, error) from error
    wanted = OFFICIAL[path.name]
    title = SOURCES[name].title
    owner, file = OWNERS.get(md5, ("", ""))
    if owner and (file != wanted or owner != name != "mnist"):
        way_out = _("say --dataset {name}", name=owner) if file == wanted else _("give each file its own name")
        values = {"path": path, "owner": SOURCES[owner].title, "file": file, "title": title, "wanted": wanted}
        raise UserError(
            _("{path}: this is {owner}'s {file}, expected {title}'s {wanted}; {way_out}", **values, way_out=way_out)
        )
    return md5


def warn_of_others(name: str, path: Path, md5: str) -> None:
    """Say of a file that was read where it is not the data set's: somebody's own images in this format are welcome."""
    expected, title = official_md5(name, OFFICIAL[path.name]), SOURCES[name].title
    if md5 != expected:
        owner = OWNERS.get(md5, ("", ""))[0]
        fine = _("fine for {title}", title=SOURCES[owner].title if owner else _("KMNIST, Fashion-MNIST and the like"))
        fine = fine if name == "mnist" else _("fine if it is one of your own making")
        values = {"path": path, "title": title, "md5": md5, "expected": expected, "fine": fine}
        print(
            _(
                "warning: {path} is not the original {title} file (md5 {md5}, {title}'s is {expected}); {fine}",
                **values,
            ),
            file=sys.stderr,
        )


def missing(path: Path, error: OSError) -> UserError:
    """What is said of a file that cannot be read."""
    values = {"path": path, "reason": error.strerror, "name": path.name}
    return UserError(_("{path}: {reason}; expected the data set's {name} there (see --data-dir)", **values))


def read_idx(path: Path, kind: str) -> np.ndarray:
    """Read one IDX file, packed or not: uint8 `[N, 28, 28]` for `images`, `[N]` for `labels`.

    Raises:
        UserError: the file is missing, truncated, not IDX, or its header and size do not agree.
    """

    def wrong(found: str, expected: str) -> UserError:
        values = {"path": path, "found": found, "expected": expected}
        return UserError(_("{path}: {found}, expected {expected}; replace the file by an intact copy", **values))

    header_size = 16 if kind == "images" else 8
    try:
        with opened(path) as file:
            header = file.read(header_size)
            if len(header) < header_size:
                raise wrong(_("only {size} bytes", size=len(header)), _("an IDX header of {size}", size=header_size))
            magic, count, *shape = struct.unpack(f">{header_size // 4}I", header)
            if magic != MAGIC[kind]:
                raise wrong(_("magic number 0x{magic:08x}", magic=magic), f"0x{MAGIC[kind]:08x} (IDX {kind})")
            if shape not in ([], [28, 28]):
                raise wrong(_("images of {height}x{width}", height=shape[0], width=shape[1]), "28x28")
            if not 0 < count <= MAX_COUNT:
                raise wrong(
                    _("a count of {count:,} {kind}", count=count, kind=kind), _("1 to {most:,}", most=MAX_COUNT)
                )
            size = count * (28 * 28 if shape else 1)
            data = file.read(size + 1)  # one byte more: a longer file is as wrong as a shorter one
            if len(data) != size:
                found = _("{size:,} bytes of {kind}", size=len(data), kind=kind)
                if len(data) > size:
                    found = _("more than {size:,} bytes of {kind}", size=size, kind=kind)
                raise wrong(found, _("{size:,} for a count of {count:,}", size=size, count=count))
    except gzip.BadGzipFile as error:
        raise wrong(_("not a sound gzip file ({error})", error=error), "gzip") from error
    except (EOFError, zlib.error) as error:
        raise wrong(_("truncated or damaged ({error})", error=error), _("a whole gzip file")) from error
    except OSError as error:
        raise missing(path, error) from error
    return np.frombuffer(data, np.uint8).reshape(count, *shape)
