"""A folder of one's own pictures, read once and kept in the cache as one array, from where many are mapped."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.errors import UserError
from common.files import locks, pictures
from common.files.atomic import cache_folder, keep, part_of, remove_parts
from common.files.pictures import FORMATS
from common.language import _
from common.machine import cpu, memory

import numpy as np
from tqdm import tqdm

A_RUN = {"config.json", "losses.csv"}  # what a training writes first; its grids are no pictures to train on
# What Windows, macOS and Synology's servers put into folders of pictures, in small letters; names that begin with a dot
# are left out too.
UNSEEN = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle")
MAX_FILE = 64 * 2**20  # bytes of one file
MAX_COUNT = 1_000_000  # pictures
LOADED = 256 * 2**20  # bytes of pictures that are read from the cache and checked, in half a second; more is mapped
ENOUGH_DISK = 100 * 2**20  # bytes that are left free
SPREAD = 64  # pictures of those that are mapped whose checksum is looked at
A_DAY = 24 * 3600.0  # seconds: no folder takes so long to read
ENOUGH = 100  # pictures that are worth a process: it takes as long to start as to read some hundreds of small ones
KILLED = -9  # by SIGKILL, as the kernel ends a process where the memory is full
VERSION = 2  # of what this file makes of a picture; another one makes another file in the cache


def read_folder(
    folder: Path, channels: int, size: int, background: str = "white", pad: bool = False
) -> tuple[np.ndarray, list[str], str]:
    """Every picture in a folder and below, as a square and resized.

    The first time all of them are opened, on all cores; the result is kept in the cache under the checksum of their
    names, sizes and times. What would take more than half of the free memory is mapped from there, not loaded, and what
    takes more than `LOADED` from the second time on.

    Args:
        channels: 1 for grey, 3 for colour.
        size: height and width wanted.
        background: the colour behind what is transparent, and of what is padded.
        pad: make what is not square one by adding to it; else the square in the middle is cut out.

    Returns:
        Images uint8 `[N, channels, size, size]` in the order of their names; the names: the path below `folder`,
        parts separated by a slash; the checksum of the images, `md5:…`.

    Raises:
        UserError: there are none, a file is no picture, is damaged or unpacks to more than 128 MB, or there is no room
            for them, in memory or on the disk.
    """
    found = sorted(files_below(folder))
    if not found:
        values = {"folder": folder, "formats": ", ".join(FORMATS)}
        raise UserError(_("--data-dir {folder}: no pictures there; name a folder of {formats} files", **values))
    names = [name for name, _path, _state in found]
    # What unpacks or copies files may give them any time of their last change, but not that of their inode's.
    times = [(state.st_size, state.st_mtime_ns, state.st_ctime_ns) for _name, _path, state in found]
    listing = "\n".join(f"{name} {size} {mtime} {ctime}" for name, (size, mtime, ctime) in zip(names, times))
    key = hashlib.sha256(os.fsencode(f"{VERSION} {channels} {size} {background} {pad}\n{listing}")).hexdigest()[:16]
    place = hashlib.sha256(os.fsencode(f"{folder.resolve()} {channels} {size} {background} {pad}")).hexdigest()[:8]
    kept = cache_folder() / f"folder-{place}-{key}.npy"
    shape = (len(found), channels, size, size)
    size_in_memory, room = math.prod(shape), memory.free() / 2
    mapped = size_in_memory > min(room, LOADED)
    recalled = recall(kept, shape, mapped)
    if recalled:
        return recalled[0], names, recalled[1]
    kept.parent.mkdir(parents=True, exist_ok=True)
    waiting = _("waiting: another process reads these pictures")
    with locks.locked(kept.with_name(f"folder-{place}.lock"), waiting) as alone:
        recalled = recall(kept, shape, mapped)  # by then that process has kept them
        if recalled:
            return recalled[0], names, recalled[1]
        remove_parts(kept.parent, 0 if alone else A_DAY, f".folder-{place}-")
        paths, how = [path for _name, path, _state in found], (channels, size, background, int(pad))
        if size_in_memory > room:
            images = read_to_disk(kept, paths, shape, how)
            checksum = array_md5(images)
        else:
            images = np.empty(shape, np.uint8)
            read_all(paths, images, how)
            checksum = array_md5(images)
            keep(kept, lambda file: np.save(file, images))
        checksums = f"{checksum} {some_md5(images)}".encode()
        if kept.exists() and keep(kept.with_suffix(".md5"), lambda file: file.write(checksums)):
            for older in kept.parent.glob(f"folder-{place}-*"):  # the same folder before a change
                if older.stem != kept.stem:
                    with contextlib.suppress(OSError):
                        older.unlink()
    return images, names, checksum


def array_md5(images: np.ndarray) -> str:
    """The checksum of the images themselves, whichever files they came in."""
    return f"md5:{hashlib.md5(images.data).hexdigest()}"


def some_md5(images: np.ndarray) -> str:
    """The checksum of `SPREAD` images, the first and the last among them."""
    return array_md5(images[np.linspace(0, len(images) - 1, SPREAD).astype(int)])


def files_below(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Name, path and state of every file in a folder and below. Links are followed, each folder is visited once, and
    what a training wrote is left out. The path is text: to make a `Path` takes as long as all else."""
    top = folder.stat()
    visited, waiting, count = {(top.st_dev, top.st_ino)}, [(str(folder), "")], 0
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as scanned:
            entries = list(scanned)
        if prefix and {entry.name for entry in entries} >= A_RUN:  # of an --output-dir among the pictures
            continue
        for entry in entries:
            path, name = entry.path, f"{prefix}{entry.name}"
            if entry.name.startswith(".") or entry.name.lower() in UNSEEN:
                continue
            try:
                state = entry.stat()
            except OSError as error:
                values = {"path": path, "reason": error.strerror, "way_out": pictures.NOT_WANTED}
                raise UserError(_("{path}: {reason}; {way_out}", **values)) from error
            if stat.S_ISDIR(state.st_mode):
                if (state.st_dev, state.st_ino) not in visited:
                    visited.add((state.st_dev, state.st_ino))
                    waiting.append((path, f"{name}/"))
            elif not stat.S_ISREG(state.st_mode):
                raise UserError(_("{path}: no regular file; remove it from the folder", path=path))
            elif state.st_size > MAX_FILE:
                values = {"path": path, "size": state.st_size, "most": MAX_FILE >> 20}
                raise UserError(_("{path}: {size:,} bytes, more than {most} MB; make it smaller", **values))
            else:
                count += 1
                if count > MAX_COUNT:
                    values = {"folder": folder, "most": MAX_COUNT}
                    raise UserError(_("--data-dir {folder}: more than {most:,} files; name a smaller folder", **values))
                yield name, path, state


def recall(kept: Path, shape: tuple[int, ...], mapped: bool) -> tuple[np.ndarray, str] | None:
    """The images that an earlier run kept and their checksum, if they are there and sound: of what is `mapped` only the
    length and some pictures are looked at, since reading all of it is what mapping saves."""
    with contextlib.suppress(Exception):  # there is no list of how a file can be damaged
        images = np.load(kept, mmap_mode="r" if mapped else None, allow_pickle=False)
        checksum, of_some = kept.with_suffix(".md5").read_text(encoding="utf-8").split()
        sound = some_md5(images) == of_some if mapped else array_md5(images) == checksum
        if images.dtype == np.uint8 and images.shape == shape and sound:
            return images, checksum
    return None


def read_to_disk(kept: Path, paths: list[str], shape: tuple[int, ...], how: tuple[object, ...]) -> np.ndarray:
    """The pictures, written to the file `kept` while they are read, and mapped from it."""
    needed, part = math.prod(shape), part_of(kept)
    said = _(
        "{needed:,.0f} MB of pictures are more than half of the free memory, and there is no room for them "
        "in {folder}: let $XDG_CACHE_HOME name a folder on a larger disk, or take a smaller --size",
        needed=needed / 1e6,
        folder=kept.parent,
    )
    no_room = UserError(said)
    if shutil.disk_usage(kept.parent).free < needed + ENOUGH_DISK:
        raise no_room
    try:
        images = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        if not allocate(part):
            raise no_room
        read_all(paths, images, how)
        images.flush()
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    return np.load(kept, mmap_mode="r", allow_pickle=False)


def allocate(path: Path) -> bool:
    """Take the room of a file that is still empty, if it is to be had: to write to a mapped file where the disk, or the
    user's part of it, is full ends the process."""
    try:
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # else the file system cannot say
    return True


def read_all(paths: list[str], images: np.ndarray, how: tuple[object, ...]) -> None:
    """Fill `images [N, C, H, W]`, uint8, with the pictures; `how` are the arguments of `read_picture`.

    In processes, since Python's lock lets threads open small pictures only one after the other.
    """
    count = min(cpu.usable_cores(), -(-len(paths) // ENOUGH))
    cuts = [len(paths) * part // count for part in range(count + 1)]
    started: list[subprocess.Popen] = []
    with tqdm(total=len(paths), unit=" pictures", desc="reading once", disable=None, leave=False) as bar:

        def read(start: int, stop: int) -> None:
            program, pipe = [sys.executable, pictures.__file__, *map(str, how)], subprocess.PIPE
            with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as reader:
                started.append(reader)
                with contextlib.suppress(BrokenPipeError), reader.stdin:  # it has ended already: below that is said
                    reader.stdin.write(b"\0".join(map(os.fsencode, paths[start:stop])))
                while (line := reader.stdout.readline()) and not line.endswith(pictures.BEGINS):
                    pass  # what Python was told to print whenever it starts, by a sitecustomize.py
                for index in range(start, stop):
                    kind, pixels = reader.stdout.read(1), images[index].reshape(-1)
                    if kind == pictures.BAD:
                        said = reader.stdout.read().partition(pictures.BAD)[0]
                        raise UserError(said.decode("utf-8", "surrogateescape"))
                    if not kind or reader.stdout.readinto(pixels) < pixels.size:  # a decoder's crash ends that process
                        if reader.wait() == KILLED:
                            raise pictures.no_memory(paths[index])
                        values = {"path": paths[index], "way_out": pictures.NOT_WANTED}
                        raise UserError(_("{path}: cannot be decoded; {way_out}", **values))
                    bar.update()

        with ThreadPoolExecutor(count) as pool:
            try:
                for done in [pool.submit(read, *cut) for cut in zip(cuts, cuts[1:])]:
                    done.result()
            except BaseException:  # the others' work is for nothing
                for reader in started:
                    reader.kill()
                raise
