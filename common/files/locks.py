"""A lock on a folder: the kernel's, which ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows, where every file system has locks
    fcntl = None


class BusyError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(file: Path, waiting: str = "") -> Iterator[bool]:
    """Hold the lock of `file`, which is made where there is none.

    Args:
        waiting: what to say before waiting for another process that holds it; "": not to wait.

    Yields:
        Whether it is held: not where the file system has no locks, as some of clusters (Lustre, NFS), nor, where this
        process would wait, if the file cannot be opened, such as another user's.

    Raises:
        BusyError: another process holds it, and this one does not wait.
    """
    if not has_locks(file.parent):
        yield False
        return
    lock = FileLock(str(file))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not waiting:
            raise BusyError from None
        print(waiting, file=sys.stderr, flush=True)
        lock.acquire()
    except OSError:
        if not waiting:
            raise
    try:
        yield lock.is_locked
    finally:
        lock.release()


def has_locks(folder: Path) -> bool:
    """Whether the file system of `folder` has locks: whether a file that nobody else knows can be locked.

    `filelock` cannot say: each of its versions takes the refusal for something else.
    """
    if fcntl is None:
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
