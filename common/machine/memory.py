"""How much memory there is to take."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
GROUPS = [  # of a container: what it may have, what it has, and the line of its cache of files; cgroup v2, then v1
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
]


def free() -> int:
    """Bytes that can be taken: what Linux has available, or what the container's limit leaves if that is less. Where
    the system does not say, more than anybody asks for."""
    found = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        found.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    for folder, limit, usage, cache in GROUPS:
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such limit, or "max"
            may, has = (int((folder / name).read_text()) for name in (limit, usage))
            # Files that were read count as taken, though the system gives their memory to whoever needs it.
            found.append(max(0, may - has))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            found[-1] += min(has, int(stat[cache]))
    return min(found)
