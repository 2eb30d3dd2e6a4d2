"""A submission as files in memory: from a zip or a folder, of which nothing is trusted.

Nothing is unpacked by the names in the archive: what belongs to a submission is read under the names that `submit.py`
gives, and written, where it is needed, under those.
"""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Callable

from assignment.student import MANIFEST, WANTED

MOST_ENTRIES = 500
LARGEST = 8 * 2**20  # bytes of one file, unpacked
LARGEST_LOSSES = 4 * 2**20  # of a `losses.csv`: 5,625 steps have 0.8 MB, 20,000 have 2.8
LARGEST_CODE = 2**16
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the second is submit.py's; others raise errors of their own


class Refused(Exception):  # noqa: N818  it is no error of ours
    """A submission that is not read; its text says why."""


def submission(path: Path) -> dict[str, bytes]:
    """The files of a submission by the names of `WANTED`, as far as they are there.

    Raises:
        Refused: it is no submission, or one that tries something.
    """
    if path.is_symlink():
        raise Refused("a link, not a file or folder")
    if path.is_dir():
        inside = [file for file in path.rglob("*.zip") if file.is_file() and not file.is_symlink()]
        found = of_folder(path)
        if MANIFEST not in found and len(inside) == 1:  # some course platforms make a folder for each student's zip
            return of_zip(inside[0])
        return found
    return of_zip(path)


def of_folder(folder: Path) -> dict[str, bytes]:
    """The same from a folder; links in it are not followed."""
    manifests = sorted(file for file in folder.rglob(MANIFEST) if not file.is_symlink())
    base = manifests[0].parent if manifests else folder
    found = {}
    for name in WANTED:
        path = base / name
        if path.is_symlink() or path.parent.is_symlink() or (path.exists() and not path.is_file()):
            raise Refused(f"{name} is a link or no regular file")
        if path.is_file():
            found[name] = checked(name, path.stat().st_size, path.read_bytes)
    return found


def of_zip(path: Path) -> dict[str, bytes]:
    """The same from a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {name_of(entry): entry for entry in archive.infolist() if not entry.is_dir()}
            if len(archive.infolist()) > MOST_ENTRIES:
                raise Refused(f"{len(archive.infolist()):,} files in it; submit.py packs {len(WANTED)}")
            for name, entry in entries.items():
                if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":":
                    raise Refused(f"a name that leads out of the folder: {name!r:.80}")
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise Refused(f"a link: {name!r:.80}")
            bases = [name[: -len(MANIFEST)] for name in entries if PurePosixPath(name).name == MANIFEST]
            base = min(bases, key=len, default="")
            found = {}
            for name in WANTED:
                entry = entries.get(base + name)
                if entry and entry.compress_type not in METHODS:
                    raise Refused(f"{name} is packed by method {entry.compress_type}; pack it by submit.py")
                if entry:
                    found[name] = checked(name, entry.file_size, lambda entry=entry: read_some(archive, entry))
            return found
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise Refused(f"no zip that can be read ({type(error).__name__}: {error!s:.80})") from error


def name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name. Without the flag for UTF-8 a zip does not say in which encoding: Python takes CP437, Chinese
    Windows writes GBK, macOS UTF-8."""
    name = entry.orig_filename  # Python 3.12 puts another in place of `filename`, where an archiver wrote that as well
    if not entry.flag_bits & 0x800:
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def read_some(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry's content, or the first bytes of one that is larger than it says."""
    with archive.open(entry) as file:
        return file.read(LARGEST + 1)


def checked(name: str, size: int, read: Callable[[], bytes]) -> bytes:
    """A file's content by `read`, where neither its size as announced nor as read is too large."""
    largest = LARGEST_CODE if name.startswith("code/") else LARGEST
    if name.endswith("/losses.csv"):
        largest = LARGEST_LOSSES
    content = read() if size <= largest else b""
    if max(size, len(content)) > largest:
        raise Refused(f"{name} has more than {largest:,} bytes")
    return content


def code(content: bytes) -> str:
    """A program's text with Python's line ends. Where a comment names an encoding, it names UTF-8 from now on: what is
    read and what is run are the same."""
    lines = re.sub(r"\r\n?", "\n", text(content))
    return re.sub(r"^([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", r"\1utf-8", lines, flags=re.M | re.A)


def text(content: bytes) -> str:
    """A text as an editor on Windows may have saved it: UTF-8, with a mark or without, or GBK."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("utf-8", "replace")
