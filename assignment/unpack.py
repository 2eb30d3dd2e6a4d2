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
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Callable

from assignment.student import LARGEST, MANIFEST, WANTED, largest

MOST_ENTRIES = 500
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
        found = of_folder(path)
        if MANIFEST in found:
            return found
        inside = [file for file in files_in(path) if is_zip(file)]
        if len(inside) > 1:
            raise Refused(f"{len(inside)} zips in it ({named(inside)}); leave the one that counts")
        return of_zip(inside[0]) if inside else found  # some course platforms make a folder for each student's zip
    if not path.is_file():
        raise Refused("no regular file")
    return of_zip(path)


def files_in(folder: Path) -> list[Path]:
    """The files in and below a folder that a student may have put there; links are none."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if is_own(path.relative_to(folder)))


def is_own(path: PurePath) -> bool:
    """Whether it is not what macOS adds beside each file."""
    return not path.name.startswith(".") and "__MACOSX" not in path.parts


def is_zip(path: PurePath) -> bool:
    """Whether its name says so."""
    return path.suffix.lower() == ".zip"


def named(paths: Sequence[PurePath]) -> str:
    """The names of three files at most."""
    return ", ".join([*(path.name for path in paths[:3]), *["…"] * (len(paths) > 3)])


def several(count: int) -> str:
    """Why of several submissions in one file none is read."""
    return f"{count} submissions in it; give each a file or folder of its own in FOLDER"


def of_folder(folder: Path) -> dict[str, bytes]:
    """The same from a folder; links in it are not followed."""
    manifests = [file for file in files_in(folder) if file.name == MANIFEST]
    if len(manifests) > 1:
        raise Refused(several(len(manifests)))
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
            own = [name for name in entries if is_own(PurePosixPath(name))]
            bases = [name[: -len(MANIFEST)] for name in own if PurePosixPath(name).name == MANIFEST]
            if len(bases) > 1:
                raise Refused(several(len(bases)))
            inner = [path for name in own if is_zip(path := PurePosixPath(name))]
            if inner and not bases:
                raise Refused(f"only a zip in it ({named(inner)}); unpack it once")
            base = bases[0] if bases else ""
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
    most = largest(name)
    content = read() if size <= most else b""
    if max(size, len(content)) > most:
        raise Refused(f"{name} has more than {most:,} bytes")
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
