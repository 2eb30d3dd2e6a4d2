"""The processor: threads, MKL's code path, memory, warnings. All of it has to be settled before `import paddle`, so
`common/__init__.py` calls `prepare`; only the number of threads can change afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import os
import platform
import sys
import warnings
from pathlib import Path

from common.language import _
from common.machine import cgroup

_prepared = 1  # threads, as `prepare` found them
threads = 1  # of oneDNN's convolutions and of MKL's matrix products; `prepare` and `set_threads` set it
CPUINFO = Path("/proc/cpuinfo")  # Linux has it
OFF_SWITCH = "GAN_NO_MKL_SETUP"  # set to 1: leave MKL's choice of code path alone
USERS = "GAN_USERS_OMP_NUM_THREADS"  # what $OMP_NUM_THREADS was before `prepare`: for programs that this one starts


def usable_cores() -> int:
    """The cores this process may really use: its affinity mask, cut down by the CPU quota of a container or a job.

    `os.cpu_count` sees the whole host from inside a container, and more threads than cores is slower than one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in cgroup.folders("cpu"):
        with contextlib.suppress(OSError, ValueError):  # version 2, in microseconds: "150000 100000", or "max 100000"
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            cores = min(cores, math.ceil(quota / period))
        with contextlib.suppress(OSError, ValueError):  # version 1: -1 where there is no limit
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            cores = min(cores, math.ceil(quota / period)) if quota > 0 else cores
    return max(1, cores)


def processor() -> str:
    """The processor's name."""
    try:
        lines = CPUINFO.read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def launched_processes() -> int:
    """How many Paddle's launcher started, on all machines; 1 without it."""
    return count_in("PADDLE_TRAINERS_NUM") or 1


def processes_here() -> int:
    """How many of them run on this machine and share its cores."""
    return count_in("PADDLE_LOCAL_SIZE") or launched_processes()


def count_in(variable: str) -> int | None:
    """The whole number, at least 1, that a variable of the environment holds; None where it is not set, or empty.

    Raises:
        ValueError: it holds something else.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"${variable} is {text!r}, and should be the number of processes; for one: unset {variable}")
    return int(text)


def mkl_code_path(cpuinfo: str) -> str | None:
    """The value of MKL_DEBUG_CPU_TYPE that fits the processor `/proc/cpuinfo` describes; None to leave it alone.

    Paddle's wheel bundles an MKL of 2019. On a processor that is not Intel's it takes the slowest code path, whatever
    the processor can do; this variable names the path to take instead. MKL reads it at its first matrix product.
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


def prepare() -> None:
    """Set this process up for Paddle. What the user has set in the environment stays."""
    try:
        path = mkl_code_path(CPUINFO.read_text())
    except OSError:  # not Linux
        path = None
    if path and not os.environ.get("MKL_DEBUG_CPU_TYPE") and os.environ.get(OFF_SWITCH, "") in ("", "0"):
        os.environ["MKL_DEBUG_CPU_TYPE"] = path

    # A thread that waits for the others keeps its core busy, by default for 200 ms: in a training, all the time. Beside
    # one other busy process on two cores such a training takes 1.3 times as long, and nobody gains.
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds; Intel's OpenMP reads it when Paddle is imported

    keep_freed_memory()

    for name in [name for name, value in os.environ.items() if name.startswith("PADDLE_") and not value.strip()]:
        del os.environ[name]  # Paddle takes an empty one for a number

    # Paddle's own, on a normal run: 3.x looks for a compiler cache at import, 2.6 reminds of how its BatchNorm trains.
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
    # VisualDL and Paddle make every library's INFO lines visible; Matplotlib has one about its list of fonts.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)

    global threads, _prepared
    found = os.environ.get("OMP_NUM_THREADS", "")
    found = os.environ.get(USERS, found) if found == "1" else found  # a notebook, say, starts a training
    threads = _prepared = wished_threads(found, "paddle" in sys.modules)
    os.environ[USERS] = found
    # Paddle warns of any OMP_NUM_THREADS but 1, which it sets where it finds none; `use_threads` sets the number later.
    os.environ["OMP_NUM_THREADS"] = "1"


def wished_threads(variable: str, paddle_is_imported: bool = False) -> int:
    """The threads that $OMP_NUM_THREADS asks for, at most one a core; else every core that is free for this process.

    A 1 that Paddle's launcher wrote there, or Paddle itself when it was imported first, is nobody's wish.
    """
    written_by_paddle = launched_processes() > 1 or (paddle_is_imported and variable == "1")
    if variable.isdecimal() and int(variable) and not written_by_paddle:
        return min(int(variable), usable_cores())
    return max(1, usable_cores() // processes_here())


def set_threads(count: int | None) -> None:
    """Use `count` threads from here on, at most one a core: more take turns, and thousands never get anywhere. None:
    as many as `prepare` found."""
    global threads
    cores = usable_cores()
    if count and count > cores:
        values = {"count": count, "cores": cores}
        said = _("note: {count} threads were asked for; there are {cores} cores, so {cores} are used", **values)
        print(said, file=sys.stderr)
    threads = min(count, cores) if count else _prepared


def description() -> str:
    """What was chosen, for a run's header: "2 threads, MKL code path AVX-512"."""
    chosen = f"{threads} thread{'s' if threads > 1 else ''}"
    code_path = {"7": "AVX-512", "5": "AVX2"}.get(os.environ.get("MKL_DEBUG_CPU_TYPE", ""))
    return f"{chosen}, MKL code path {code_path}" if code_path else chosen
