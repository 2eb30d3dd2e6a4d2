"""How much memory there is to take."""

from __future__ import annotations

import contextlib
import itertools
import sys
from pathlib import Path

from common.machine import cgroup

MEMINFO = Path("/proc/meminfo")
FILES = [  # of a group: what it may have, what it has, and the line of its cache of files; version 2, then 1
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
]


def free() -> int:
    """Bytes that can be taken: what Linux has available, or what a limit of this process's groups leaves if that is
    less. Where the system does not say, more than anybody asks for."""
    found = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        found.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    for folder, (limit, usage, cache) in itertools.product(cgroup.folders("memory"), FILES):
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such limit, or "max"
            may, has = (int((folder / name).read_text()) for name in (limit, usage))
            # Files that were read count as taken, though the system gives their memory to whoever needs it.
            found.append(max(0, may - has))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            found[-1] += min(has, int(stat[cache]))
    return min(found)
