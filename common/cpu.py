"""Set-up around `import paddle`, for every command to call first: threads, MKL code path, warnings."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import warnings
from pathlib import Path

conv_threads = 1  # among which `common.conv` shares a batch out; `set_up` sets it
OFF_SWITCH = "GAN_NO_MKL_SETUP"  # set to 1: leave MKL's choice of code path alone


def usable_cores() -> int:
    """The cores this process may really use: its affinity mask, cut down by a container's CPU quota.

    `os.cpu_count` sees the whole host from inside a container, and more threads than cores is slower than one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # cgroup v2: "max 100000" or "150000 100000", in microseconds
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:  # cgroup v1: -1 where there is no limit
            folder = Path("/sys/fs/cgroup/cpu")
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return cores
    if quota in ("max", "-1"):
        return cores
    return max(1, min(cores, math.ceil(int(quota) / int(period))))


def processes() -> int:
    """How many Paddle's launcher started; 1 without it."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def mkl_code_path(cpuinfo: str) -> str | None:
    """The value of MKL_DEBUG_CPU_TYPE that fits the processor `/proc/cpuinfo` describes; None to leave it alone.

    Paddle's wheel bundles an MKL of 2019. On a processor that is not Intel's it takes the slowest code path, whatever
    the processor can do; this variable names the path to take instead.
    """
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {name.strip(): value.split() for name, value in fields.items()}
    if fields.get("vendor_id", ["GenuineIntel"]) == ["GenuineIntel"]:
        return None
    flags = fields.get("flags", [])
    return "7" if "avx512f" in flags else "5" if "avx2" in flags else None


def keep_freed_memory() -> None:
    """Make glibc hold on to what is freed. By default it hands blocks of some megabytes back to the kernel, which
    clears them page by page at the next allocation: for a tensor of 2 MB that takes 16 times as long as adding it up.
    One heap for all threads: several would each keep their own."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for parameter, value in ((-1, 1 << 30), (-3, 1 << 30), (-8, 1)):  # TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX
            mallopt(parameter, value)


def set_up(threads: int | None = None) -> str:
    """Import Paddle, prepared for this processor. What the user has set in the environment stays.

    Args:
        threads: CPU threads; None for $OMP_NUM_THREADS, else every core this process may use, or its share of them
            where Paddle's launcher started several processes.

    Returns:
        What was chosen, for the header: "2 threads, MKL code path AVX-512".
    """
    try:
        path = mkl_code_path(Path("/proc/cpuinfo").read_text())
    except OSError:  # not Linux
        path = None
    if path and "MKL_DEBUG_CPU_TYPE" not in os.environ and os.environ.get(OFF_SWITCH, "") in ("", "0"):
        os.environ["MKL_DEBUG_CPU_TYPE"] = path

    keep_freed_memory()

    # Paddle's own, on a normal run: 3.x looks for a compiler cache at import, 2.6 reminds of how its BatchNorm trains.
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")

    # Paddle warns of any OMP_NUM_THREADS but 1, which it sets where it finds none. The threads are of use elsewhere:
    # in MKL's small matrix products two are hardly faster than one.
    asked = os.environ.get("OMP_NUM_THREADS", "") if processes() == 1 else ""  # the launcher's 1 is nobody's wish
    wish = int(asked) if asked.isdigit() else 0
    count = threads or wish or max(1, usable_cores() // processes())
    os.environ["OMP_NUM_THREADS"] = "1"
    import paddle

    global conv_threads
    conv_threads = count
    paddle.base.core.set_num_threads(1)

    chosen = f"{count} thread{'s' if count > 1 else ''}"
    code_path = {"7": "AVX-512", "5": "AVX2"}.get(os.environ.get("MKL_DEBUG_CPU_TYPE", ""))
    return f"{chosen}, MKL code path {code_path}" if code_path else chosen
