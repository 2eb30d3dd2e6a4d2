"""How much memory there is to take."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

LIMITS = {  # of a container: what it may have, and what it has; cgroup v2, then v1
    "/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "/sys/fs/cgroup/memory/memory.usage_in_bytes",
}


def free() -> int:
    """Bytes that can be taken: what Linux has available, or what the container's limit leaves if that is less. Where
    the system does not say, more than anybody asks for."""
    found = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    for limit, usage in LIMITS.items():
        with contextlib.suppress(OSError, ValueError):  # no such limit, or "max"
            found.append(max(0, int(Path(limit).read_text()) - int(Path(usage).read_text())))
    return min(found)
