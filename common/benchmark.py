"""How fast is it? `python -m common.benchmark`: the course's loop, ours and PyTorch's, in turns on this machine.

Each measurement is made in a process of its own with an environment of its own: what one sets up (threads, MKL's code
path, glibc's heap) must not reach the others. Ratios within one run mean something; seconds of two machines do not.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from common.baselines import IMAGES, WARM_UP, timed
from common.data import load
from common.errors import DONE, Parser, UserError, command, whole_number
from common.gan import GAN, Batch
from common.judging.reference import Examiner
from common.machine import cpu, processes
from common.rng import LATENT, random_numbers
from common.run.families import ROOT
from common.run.flags import DATA_DIR_HELP
from common.train import run
from dcgan.train import build

import numpy as np
import paddle

CLEARED = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "MKL_NUM_THREADS", "GAN_NO_MKL_SETUP")
LAUNCH = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
ROWS = {  # what is measured, and the threads ours gets: None is all
    "course": ("(a) the course's loop, Paddle as installed", None),
    "ours": ("(b) ours, all cores", None),
    "one": ("(b) ours, 1 thread", 1),
    "torch": ("(c) the same step in PyTorch", None),
    "two": ("(d) ours, 2 processes x 1 thread", 1),
}
TRAINING_STEPS = 300


def child(kind: str, *arguments) -> None:
    """Measure in this process, which is nobody else's, and print the result as JSON."""
    result = MEASURES[kind](*arguments) if kind in MEASURES else measure_steps(kind, *arguments)
    if result is not None:
        result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"result": result}), flush=True)


def measure_steps(kind: str, batch_size: int) -> dict | None:
    """Seconds of each step of DCGAN as the loop makes it."""
    cpu.use_threads(ROWS[kind][1])
    rank, _ = processes.start()
    game = build()
    data, chosen, steps = (paddle.rand([batch_size, 1, 32, 32]) * 2 - 1, None), np.arange(batch_size), itertools.count()

    def step() -> None:
        number = next(steps)
        values = game.update(Batch(data, chosen, random_numbers(0, LATENT, number), number))
        game.ema.update(number)
        processes.averaged(values)["loss_g"].item()

    result = timed(step, max(4, IMAGES // batch_size))
    return result if rank == 0 else None


def measure_training(folder: str, dataset: str, *flags: str) -> dict:
    """`dcgan/train.py` itself: when its first step was done, and how much of the time was not spent in steps."""
    moments = []

    def build_timed(**settings) -> GAN:
        game = build(**settings)
        update = game.update

        def timed_update(batch: Batch) -> dict:
            started = time.perf_counter()
            values = update(batch)
            values["loss_g"].item()  # on a GPU: wait for the step to be done
            if not moments:
                print(f"first step at {time.time()}", flush=True)
            moments.append((started, time.perf_counter()))
            return values

        game.update = timed_update
        return game

    sizes = ["--max-steps", str(TRAINING_STEPS), "--eval-every", "0", "--dataset", dataset]
    status = run("dcgan", build_timed, [*sizes, "--output-dir", folder, *flags])
    if status != DONE:
        raise SystemExit(status)
    kept = moments[WARM_UP:]
    inside, whole = sum(end - start for start, end in kept), kept[-1][1] - kept[0][0]
    return {"outside": 1 - inside / whole, "speed": 32 * len(kept) / whole, "bare": 32 * len(kept) / inside}


def measure_data(dataset: str, data_dir: str | None) -> dict:
    """Seconds to read the images and make them ready."""
    started = time.perf_counter()
    load(dataset, data_dir)
    return {"seconds": time.perf_counter() - started}


def measure_judging(dataset: str, data_dir: str | None) -> dict:
    """Seconds of a judgement in training, the real images known already."""
    examiner, game = Examiner(load(dataset, data_dir)), build()
    examiner.examine(game)
    started = time.perf_counter()
    examiner.examine(game)
    return {"seconds": time.perf_counter() - started}


MEASURES = {"training": measure_training, "data": measure_data, "judging": measure_judging}


def in_child(folder: Path, *arguments, launcher: Sequence[str] = ()) -> dict:
    """Measure `arguments` in a process of its own; returns its result, with the time it started and its output."""
    called = [sys.executable, "-W", "ignore", *launcher]
    if arguments[0] in ("course", "torch"):
        script = ROOT / "common/baselines.py"
        called += [str(script), *map(str, arguments)]
    else:
        script = folder / "child.py"
        lines = ["import sys", f"sys.path[0] = {str(ROOT)!r}", "from common.benchmark import child"]
        script.write_text("\n".join([*lines, f"child(*{arguments})"]))
        called.append(str(script))
    environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
    started = time.time()
    done = subprocess.run(called, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith('{"result"'):
            return {**json.loads(line)["result"], "started": started, "output": done.stdout}
    what = " ".join(map(str, arguments))
    raise UserError(f"{what} could not be measured:\n{(done.stderr or done.stdout).strip()[-2000:]}")


class Load:
    """How many cores other processes keep busy while it is entered."""

    def __enter__(self) -> Load:
        """Begin to count."""
        self.before = self.read()
        return self

    def __exit__(self, *error: object) -> None:
        """Set `others`."""
        busy, own, wall = (after - before for after, before in zip(self.read(), self.before))
        self.others = max(0.0, (busy - own) / wall)

    @staticmethod
    def read() -> tuple[float, float, float]:
        """CPU seconds of the machine and of this program and its children, and the time."""
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
            idle = int(fields[3]) + int(fields[4])
            busy = (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            busy = 0.0  # not Linux: nothing is known of others
        own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return busy, own, time.monotonic()


@command
def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        prog="python -m common.benchmark",
        description="Time whole steps (one update of D, one of G) of the course's loop, of ours and of PyTorch's where "
        "torch is installed (pip install torch), and what training takes besides. Close other programs first.",
    )
    parser.add_argument("--batch-size", type=whole_number(2), nargs="+", default=[32, 128], help="images a step")
    parser.add_argument("--repeats", type=whole_number(1), default=3, help="times that all rows take their turn")
    parser.add_argument("--dataset", choices=["mnist", "digits", "auto"], default="auto", help="for the whole training")
    parser.add_argument("--data-dir", help=DATA_DIR_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    flags = parser.parse_args(arguments)

    rows = [row for row in ROWS if row != "torch" or find_spec("torch")]
    seconds: dict[tuple, list[float]] = {(size, row): [] for size in flags.batch_size for row in rows}
    peaks: dict[tuple, float] = {}
    data_dir = flags.data_dir and str(Path(flags.data_dir).resolve())
    if not data_dir and os.environ.get("MNIST_DIR"):
        data_dir = str(Path(os.environ["MNIST_DIR"]).resolve())  # the children stand elsewhere
    with tempfile.TemporaryDirectory() as name, Load() as load:
        folder = Path(name)
        for repeat in range(flags.repeats):
            for size, row in seconds:
                print(f"{repeat + 1}/{flags.repeats}  batch {size}  {ROWS[row][0]}", file=sys.stderr, flush=True)
                result = in_child(folder, row, size, launcher=LAUNCH if row == "two" else ())
                seconds[size, row].append(median(result["seconds"]))
                peaks[size, row] = result["peak"]
        print("training as a user runs it", file=sys.stderr, flush=True)
        given = ("--data-dir", data_dir) if data_dir else ()
        training = in_child(folder, "training", str(folder / "run"), flags.dataset, *given)
        first = next(line for line in training["output"].splitlines() if line.startswith("first step at "))
        prepared = in_child(folder, "data", flags.dataset, data_dir)
        judging = in_child(folder, "judging", flags.dataset, data_dir)
    speeds = {str(size): compare({row: seconds[size, row] for row in rows}, size) for size in flags.batch_size}
    for (size, row), peak in peaks.items():
        speeds[str(size)][row]["peak MB"] = peak
    around = {
        "training, images a second": training["speed"],
        "its steps alone, images a second": training["bare"],
        "share outside the steps": training["outside"],
        "seconds from the command to the end of the first step": float(first.split()[-1]) - training["started"],
        "seconds to prepare the images": prepared["seconds"],
        "seconds of a judgement in training": judging["seconds"],
        "peak MB of training": training["peak"],
        "cores busy with other programs": load.others,
    }
    if flags.json:
        print(json.dumps({"machine": machine(), "speeds": speeds, "around": around}, indent=2))
    else:
        print(report(speeds, around))
    return DONE


def compare(seconds: dict[str, list[float]], batch_size: int) -> dict[str, dict[str, float]]:
    """Speeds and ratios from the seconds a step of each row, one figure a repeat."""
    found = {}
    for row, measured in seconds.items():
        found[row] = {
            "images a second": batch_size / median(measured),
            "slowest": batch_size / max(measured),
            "fastest": batch_size / min(measured),
            "to the course": median(seconds["course"]) / median(measured),
        }
        if "torch" in seconds:
            found[row]["to PyTorch"] = median(seconds["torch"]) / median(measured)
    return found


def machine() -> dict[str, str | int]:
    """What it ran on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    versions = {}
    for package in ("paddlepaddle", "paddlepaddle-gpu", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"processor": processor, "cores": cpu.usable_cores(), "python": platform.python_version(), **versions}


def report(speeds: dict, around: dict) -> str:
    """The results as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in machine().items()), ""]
    lines += ["| batch | | images/s | slowest to fastest | to (a) | to (c) | peak memory |", "|" + " --- |" * 7]
    for size, rows in speeds.items():
        for row, found in rows.items():
            to_torch = f"{found['to PyTorch']:.2f}" if "to PyTorch" in found else ""
            cells = [size, ROWS[row][0], f"{found['images a second']:.0f}"]
            cells += [f"{found['slowest']:.0f} to {found['fastest']:.0f}", f"{found['to the course']:.2f}", to_torch]
            each = " each" if row == "two" else ""
            lines.append(f"| {' | '.join(cells)} | {found['peak MB']:.0f} MB{each} |")
    lines += ["", "| around the step | |", "| --- | --- |"]
    for name, value in around.items():
        lines.append(f"| {name} | {f'{value:.1%}' if 'share' in name else f'{value:.4g}'} |")
    others = around["cores busy with other programs"]
    if others > 0.1:
        lines += ["", f"NOT A QUIET MACHINE: other programs kept {others:.2f} cores busy; close them and repeat."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
