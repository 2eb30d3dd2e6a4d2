"""How fast is it? `python -m commands.benchmark`: the course's loop, ours and PyTorch's, in turns on this machine.

Each measurement is made in a process of its own with an environment of its own: what one sets up (threads, MKL's code
path, glibc's heap) must not reach the others. Ratios within one run mean something; seconds of two machines do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import DONE, UserError
from common.machine import cpu
from common.run.commandline import MOST_IMAGES, Parser, command, user_path, whole_number
from common.run.families import ROOT
from common.run.flags import DATA_DIR_HELP

CLEARED = (
    "OMP_NUM_THREADS",
    "GAN_USERS_OMP_NUM_THREADS",
    "KMP_BLOCKTIME",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_NUM_THREADS",
    "GAN_NO_MKL_SETUP",
    "GAN_NO_ONEDNN",
)
LAUNCH = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]


class Row(NamedTuple):
    """What is measured."""

    words: str
    kind: str  # what `benchmark_baselines.py` runs
    threads: int = 0  # 0: all
    loaded: bool = False  # beside one other busy process
    launched: bool = False  # two processes, started by Paddle's launcher


ROWS = {
    "course": Row("(a) the course's loop, Paddle as installed", "course"),
    "ours": Row("(b) ours, all cores", "ours"),
    "torch": Row("(c) the same step in PyTorch, all cores", "torch"),
    "torch last": Row("(c) PyTorch with channels last, all cores", "torch-last"),
    "one": Row("(b) ours, 1 thread", "ours", 1),
    "torch one": Row("(c) PyTorch, 1 thread", "torch", 1),
    "torch last one": Row("(c) PyTorch with channels last, 1 thread", "torch-last", 1),
    "loaded": Row("(b) ours, all cores, one of them busy", "ours", loaded=True),
    "torch loaded": Row("(c) PyTorch, all cores, one of them busy", "torch", loaded=True),
    "torch last loaded": Row("(c) PyTorch with channels last, all cores, one of them busy", "torch-last", loaded=True),
    "two": Row("(d) ours, 2 processes x 1 thread", "ours", 1, launched=True),
}
BUSY = [sys.executable, "-c", "while True: pass"]  # the other process
FEWER = 160  # images timed beside it, where threads that wait for each other may get nowhere
QUIET = 0.1  # more cores than this busy with other programs spoil the figures


def in_child(folder: Path, *arguments: object, launched: bool = False) -> dict:
    """The result of `commands/benchmark_baselines.py ARGUMENTS` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # every row on the CPU
    script = ROOT / "commands/benchmark_baselines.py"
    called = [sys.executable, "-W", "ignore", *(LAUNCH if launched else ()), str(script)]
    called += map(str, arguments)
    done = subprocess.run(called, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith('{"result"'):
            return json.loads(line)["result"]
    what = " ".join(map(str, arguments))
    raise UserError(f"{what} could not be measured:\n{(done.stderr or done.stdout).strip()[-2000:]}")


def measured(folder: Path, row: Row, batch_size: int) -> dict:
    """The result of a row in a process of its own; beside another one that is busy all the while, if `loaded`."""
    other = subprocess.Popen(BUSY) if row.loaded else None
    try:
        fewer = [FEWER] if row.loaded else []
        return in_child(folder, row.kind, batch_size, row.threads, *fewer, launched=row.launched)
    finally:
        if other:
            other.kill()
            other.wait()


def busy_cores() -> float:
    """How many cores other programs keep busy while this one sleeps a second; 0 where that is not known."""

    def idle() -> float:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        return (int(fields[3]) + int(fields[4])) / os.sysconf("SC_CLK_TCK")

    try:
        before = idle()
        time.sleep(1)
        return max(0.0, (os.cpu_count() or 1) - (idle() - before))
    except OSError:  # not Linux
        return 0.0


@command
def main(arguments: list[str] | None = None) -> int:
    """Time whole steps (one update of D, one of G) of the course's loop, of ours and of PyTorch's where torch is
    installed (pip install torch), and what training takes besides. Close other programs first.
    """
    parser = Parser(
        prog="python -m commands.benchmark",
        description=main.__doc__,
    )
    parser.add_argument(
        "--batch-size", type=whole_number(2, MOST_IMAGES), nargs="+", default=[32, 128], help="images a step"
    )
    parser.add_argument("--repeats", type=whole_number(1), default=3, help="times that all rows take their turn")
    parser.add_argument("--dataset", choices=["mnist", "digits", "auto"], default="auto", help="for the whole training")
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    flags = parser.parse_args(arguments)

    busy = busy_cores()
    rows = [name for name, row in ROWS.items() if "torch" not in row.kind or find_spec("torch")]
    results: dict[int, dict[str, list[dict]]] = {size: {row: [] for row in rows} for size in flags.batch_size}
    data_dir = flags.data_dir or os.environ.get("MNIST_DIR")
    given = ["--data-dir", str(Path(data_dir).resolve())] if data_dir else []  # the children stand elsewhere
    with tempfile.TemporaryDirectory() as name:
        for repeat in range(flags.repeats):
            for size, row in ((size, row) for size in flags.batch_size for row in rows):
                print(f"{repeat + 1}/{flags.repeats}  batch {size}  {ROWS[row].words}", file=sys.stderr, flush=True)
                results[size][row].append(measured(Path(name), ROWS[row], size))
        print("training as a user runs it", file=sys.stderr, flush=True)
        started = time.time()
        training = in_child(Path(name), "training", "--dataset", flags.dataset, "--output-dir", f"{name}/run", *given)
    found = {
        "machine": machine(),
        "cores busy with other programs": busy,
        "speeds": {str(size): compare(taken, size) for size, taken in results.items()},
        "training": {
            "seconds from the command to the end of the first step": training["first step"] - started,
            "share of the time outside the steps": training["outside"],
            "peak MB": training["peak"],
        },
    }
    print(json.dumps(found, indent=2) if flags.json else report(found))
    return DONE


def rivals(row: Row) -> list[str]:
    """PyTorch's rows on as many cores as `row`, as busy. Channels last is quicker on most processors, not on all."""
    threads = 0 if row.launched else row.threads
    return [
        name
        for name, other in ROWS.items()
        if "torch" in other.kind and (other.threads, other.loaded) == (threads, row.loaded)
    ]


def compare(taken: dict[str, list[dict]], batch_size: int) -> dict[str, dict[str, float]]:
    """Speeds and ratios of the median step of each row; a row was measured in several processes."""
    seconds = {row: [median(one["seconds"]) for one in children] for row, children in taken.items()}
    found = {}
    for row, measured in seconds.items():
        found[row] = {
            "images a second": batch_size / median(measured),
            "slowest": batch_size / max(measured),
            "fastest": batch_size / min(measured),
            "to the course": median(seconds["course"]) / median(measured),
            "peak MB": max(one["peak"] for one in taken[row]),
        }
        if "torch" in seconds:
            found[row]["to PyTorch"] = min(median(seconds[name]) for name in rivals(ROWS[row])) / median(measured)
    return found


def machine() -> dict[str, str | int]:
    """What it ran on."""
    versions = {"processor": cpu.processor(), "cores": cpu.usable_cores(), "python": sys.version.split()[0]}
    for package in ("paddlepaddle", "paddlepaddle-gpu", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def report(found: dict) -> str:
    """The results as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in found["machine"].items()), ""]
    lines += ["| batch | | images/s | slowest to fastest | to (a) | to the better (c) | peak memory |"]
    lines += ["|" + " --- |" * 7]
    for size, rows in found["speeds"].items():
        for row, one in rows.items():
            cells = [
                size,
                ROWS[row].words,
                f"{one['images a second']:.0f}",
                f"{one['slowest']:.0f} to {one['fastest']:.0f}",
                f"{one['to the course']:.2f}",
                f"{one['to PyTorch']:.2f}" if "to PyTorch" in one else "",
                f"{one['peak MB']:.0f} MB{' each' if ROWS[row].launched else ''}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| a training of 300 steps | |", "| --- | --- |"]
    for name, value in found["training"].items():
        lines.append(f"| {name} | {f'{value:.1%}' if 'share' in name else f'{value:.4g}'} |")
    others = found["cores busy with other programs"]
    if others > QUIET:
        lines += ["", f"NOT A QUIET MACHINE: other programs kept {others:.1f} cores busy; close them and repeat."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
