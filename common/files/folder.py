"""A folder of one's own pictures, read once and kept in the cache as one array."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.errors import BAD_INPUT, UserError
from common.files import pictures
from common.files.atomic import cache_folder, keep
from common.files.pictures import FORMATS
from common.machine import cpu

import numpy as np
from tqdm import tqdm

A_RUN = {"config.json", "losses.csv"}  # what a training writes first; its grids are no pictures to train on
UNSEEN = ("thumbs.db", "desktop.ini")  # what Windows puts into folders of pictures; names with a dot are left out too
MAX_FILE = 64 * 2**20  # bytes of one file
MAX_COUNT = 1_000_000  # pictures
ENOUGH = 100  # pictures that are worth a process: it takes as long to start as to read some hundreds of small ones
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
        UserError: there are none, or a file is no picture, is damaged or unpacks to more than 128 MB.
    """
    found = sorted(files_below(folder))
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
        if keep(kept, lambda file: np.savez(file, images=images)):
            for older in set(kept.parent.glob(f"folder-{place}-*.npz")) - {kept}:  # the same folder before a change
                with contextlib.suppress(OSError):
                    older.unlink()
    return images, names


def files_below(folder: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Name, path and state of every file in a folder and below. Links are followed, each folder is visited once, and
    what a training wrote is left out."""
    visited, waiting, count = set(), [(folder, "")], 0
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as scanned:
            entries = list(scanned)
        if prefix and {entry.name for entry in entries} >= A_RUN:  # of an --output-dir among the pictures
            continue
        for entry in entries:
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
    with contextlib.suppress(Exception), kept.open("rb") as file:  # there is no list of how a file can be damaged
        images = np.load(file, allow_pickle=False)["images"]
        if images.dtype == np.uint8 and images.shape == shape:
            return images
    return None


def read_all(paths: list[Path], shape: tuple[int, ...]) -> np.ndarray:
    """The pictures as one array, uint8 of this shape.

    In processes, since Python's lock lets threads open small pictures only one after the other.
    """
    images = np.empty(shape, np.uint8)
    count = min(cpu.usable_cores(), -(-len(paths) // ENOUGH))
    cuts = [len(paths) * part // count for part in range(count + 1)]
    started: list[subprocess.Popen] = []
    with tqdm(total=len(paths), unit=" pictures", desc="reading once", disable=None, leave=False) as bar:

        def read(start: int, stop: int) -> None:
            program, pipe = [sys.executable, pictures.__file__, *map(str, shape[1:3])], subprocess.PIPE
            with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe) as reader:
                started.append(reader)
                reader.stdin.write(b"\0".join(map(os.fsencode, paths[start:stop])))
                reader.stdin.close()
                for index in range(start, stop):
                    if reader.stdout.readinto(images[index].reshape(-1)) < images[index].size:
                        said = reader.stderr.read().decode(errors="replace")
                        if reader.wait() != BAD_INPUT:  # a decoder's crash ends that process, not this one
                            said = f"{paths[index]}: cannot be decoded; {pictures.NOT_WANTED}"
                        raise UserError(said)
                    bar.update()

        with ThreadPoolExecutor(count) as pool:
            try:
                for done in [pool.submit(read, *cut) for cut in zip(cuts, cuts[1:])]:
                    done.result()
            except BaseException:  # the others' work is for nothing
                for reader in started:
                    reader.kill()
                raise
    return images
