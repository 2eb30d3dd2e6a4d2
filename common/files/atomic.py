"""Files that appear whole or not at all or grow by whole pieces, and the folder of what is kept between runs."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Callable

from common.files import home
from common.language import _
from common.machine.choice import cache_home

PART = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # the names that `part_of` gives
AN_HOUR = 3600.0  # seconds: nobody writes one file for so long


@contextlib.contextmanager
def atomic(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file to write that takes its name only once it is whole and on the disk.

    After an error, a kill or a power cut, `path` holds what it held before; with `keep`, that, be it a link, is kept
    under this name.
    Of several that write it at once the last one's stays. Parts that killed processes left in the folder go.
    """
    named = path
    if path.is_symlink() and not keep:  # what it leads to is written, and it stays
        path = Path(os.path.realpath(path))
        if not path.parent.is_dir():  # of a disk that is not there: a folder made for it would hide below the disk
            raise OSError(errno.ENOENT, f"leads to {path}, where there is no folder; name another", str(named))
    if path.exists() and not path.is_file():  # for root, /dev/null would be a file from then on
        raise OSError(errno.EEXIST, "no file, but a folder or a device; move it away, or name another", str(named))
    path.parent.mkdir(parents=True, exist_ok=True)
    tidy(path.parent)
    part = part_of(path)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep and path.exists():
            path.replace(keep)
        part.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(part)):  # a library's, or of another file
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's error names no file
    finally:
        with contextlib.suppress(OSError):  # all went well, or to unlink is an error, too: the disk is read-only
            part.unlink()


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files of which none is of use without the others: all are on the disk before the first takes its
    name, so that a full disk leaves what was there. A folder that is made for them goes again where that fails."""
    made = {path.parent for path in files if not path.parent.exists()}
    try:
        with contextlib.ExitStack() as stack:
            for path, content in files.items():
                file = stack.enter_context(atomic(path))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # as `atomic` does at its end, when others may have their names
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # all went well, and it has files in it
                folder.rmdir()


def part_of(path: Path) -> Path:
    """A name beside `path` for what is to become this file, another one for each writer, and not too long where `path`
    is as long as a name may be."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")


@functools.cache  # once a process: ten thousand pictures, one after the other, would look through them all each time
def tidy(folder: Path) -> None:
    """Remove what was left in a folder by processes that were killed."""
    remove_parts(folder, AN_HOUR)


def remove_parts(folder: Path, age: float, begins: str = ".") -> None:
    """Remove what killed processes left in a folder: what has a name of `part_of`'s that `begins` so and was not
    written to for `age` seconds."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(begins) and PART.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # another process was quicker
                    if abs(time.time() - entry.stat().st_mtime) >= age:  # also where the clock was set back
                        Path(entry).unlink()


def append(path: Path, piece: bytes) -> None:
    """Add `piece` to the end of a file, which is made where there is none: whole or, after an error, not at all."""
    with path.open("ab", buffering=0) as file:
        end, rest = file.seek(0, os.SEEK_END), memoryview(piece)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's error names no file


def synced(path: Path) -> int:
    """Bring what was added to a file to the disk; returns its length."""
    with path.open("ab") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        return os.fstat(file.fileno()).st_size


def file_md5(path: Path) -> str:
    """The MD5 of a file, read in pieces."""
    md5 = hashlib.md5()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            md5.update(piece)
    return md5.hexdigest()


def cache_folder() -> Path:
    """Where things are kept that took a while and can be made anew: in `$XDG_CACHE_HOME`, else in `~/.cache`; where
    nothing can be written there, in a temporary folder."""
    return cache_home() if home.writable(cache_home()) else instead_of(cache_home())


@functools.cache  # said once
def instead_of(folder: Path) -> Path:
    """The temporary folder in the place of one that nothing can be written to."""
    temporary = home.temporary() / "cache"
    values = {"folder": folder, "temporary": temporary}
    print(_("note: nothing can be written to {folder}: {temporary} takes its place", **values), file=sys.stderr)
    return temporary


def keep(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Let `write` fill a file in the cache, which is a convenience: a full or read-only home must not end a training.

    Returns:
        Whether it is there now.
    """
    try:
        with atomic(path) as file:
            write(file)
    except OSError as error:
        said = _("note: {name} could not be kept for the next run ({error})", name=path.name, error=error)
        print(said, file=sys.stderr)
        return False
    return True
