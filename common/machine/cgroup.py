"""The control groups that Linux limits a process by: a container's, a batch job's, a service's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def folders(controller: str) -> Iterator[Path]:
    """The folders of this process's groups, each from its own up to the root: a limit of any of them holds.

    Args:
        controller: `cpu` or `memory`: version 1 has a tree of groups for each, version 2 one for all.
    """
    own = {"": "/", controller: "/"}  # of version 2 and of version 1
    with contextlib.suppress(OSError, ValueError):  # no Linux, or not as Linux has it
        for line in OWN.read_text().splitlines():  # "0::/a/b" and "4:cpu,cpuacct:/a/b"
            _, controllers, path = line.split(":", 2)
            own.update({name: path for name in controllers.split(",") if name in own})
    for name, path in own.items():
        root = ROOT / name
        group = root / path.lstrip("/")
        yield group
        yield from (parent for parent in group.parents if root in (parent, *parent.parents))
