"""How fast is it? `python -m common.benchmark`: the course's loop, ours and PyTorch's, in turns on this machine.

Each measurement is made in a process of its own with an environment of its own: what one sets up (threads, MKL's code
path, glibc's heap) must not reach the others. Ratios within one run mean something; seconds of two machines do not.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from common.errors import DONE, Parser, UserError, command, whole_number
from common.flags import DATA_DIR_HELP

ROOT = Path(__file__).resolve().parents[1]
CLEARED = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "MKL_NUM_THREADS", "GAN_NO_MKL_SETUP")
LAUNCH = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
ROWS = {  # what is measured, and the threads ours gets: None is all
    "course": ("(a) the course's loop, Paddle as installed", None),
    "ours": ("(b) ours, all cores", None),
    "one": ("(b) ours, 1 thread", 1),
    "torch": ("(c) the same step in PyTorch", None),
    "two": ("(d) ours, 2 processes x 1 thread", 1),
}
IMAGES, WARM_UP = 640, 2  # images timed in each process, and steps before
TRAINING_STEPS = 300


def child(kind: str, *arguments) -> None:
    """Measure in this process, which is nobody else's, and print the result as JSON."""
    result = MEASURES[kind](*arguments) if kind in MEASURES else measure_steps(kind, *arguments)
    if result is not None:
        result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"result": result}), flush=True)


def measure_steps(kind: str, batch_size: int) -> dict | None:
    """Seconds of each step."""
    from common import baselines, cpu

    rank = 0
    if kind == "torch":
        step = baselines.pytorch(batch_size)
    elif kind == "course":
        step = baselines.course(batch_size)
    else:
        cpu.set_up(ROWS[kind][1])
        step, rank = our_step(batch_size)
    seconds = []
    for _ in range(WARM_UP + max(4, IMAGES // batch_size // (4 if kind == "course" else 1))):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[WARM_UP:]} if rank == 0 else None


def our_step(batch_size: int) -> tuple:
    """A function that makes one step of DCGAN as the loop does, and this process's rank."""
    import paddle

    from common import parallel
    from common.train import LATENT, random_numbers
    from dcgan.train import build

    rank, world = parallel.start()
    gan = build()
    if world > 1:
        gan.distribute()
    real, part, steps = paddle.rand([batch_size, 1, 32, 32]) * 2 - 1, parallel.part(batch_size), iter(range(10**9))

    def step() -> None:
        number = next(steps)
        parallel.averaged(gan.update(real, random_numbers(0, LATENT, number), number, part))["loss_g"].item()

    return step, rank


def measure_training(folder: str, dataset: str, *flags: str) -> dict:
    """`dcgan/train.py` itself: when its first step was done, and how much of the time was not spent in steps."""
    from common.train import run
    from dcgan.train import build

    moments = []

    def build_timed(**adam):
        gan = build(**adam)
        update = gan.update

        def timed(*arguments):
            started = time.perf_counter()
            values = update(*arguments)
            values["loss_g"].item()  # on a GPU: wait for the step to be done
            if not moments:
                print(f"first step at {time.time()}", flush=True)
            moments.append((started, time.perf_counter()))
            return values

        gan.update = timed
        return gan

    sizes = ["--max-steps", str(TRAINING_STEPS), "--eval-every", "0", "--dataset", dataset]
    status = run("dcgan", build_timed, [*sizes, "--output-dir", folder, *flags])
    if status != DONE:
        raise SystemExit(status)
    kept = moments[WARM_UP:]
    inside, whole = sum(end - start for start, end in kept), kept[-1][1] - kept[0][0]
    return {"outside": 1 - inside / whole, "speed": 32 * len(kept) / whole, "bare": 32 * len(kept) / inside}


def measure_data(dataset: str, data_dir: str | None) -> dict:
    """Seconds to read the images and make them ready."""
    from common import cpu, data

    cpu.set_up()
    started = time.perf_counter()
    data.load(dataset, data_dir)
    return {"seconds": time.perf_counter() - started}


def measure_judging(dataset: str, data_dir: str | None) -> dict:
    """Seconds of a judgement in training, the real images known already."""
    from common import cpu, data

    cpu.set_up()
    from common.evaluate import Examiner
    from dcgan.train import build

    examiner, gan = Examiner(data.load(dataset, data_dir)), build()
    examiner.examine(gan)
    started = time.perf_counter()
    examiner.examine(gan)
    return {"seconds": time.perf_counter() - started}


MEASURES = {"training": measure_training, "data": measure_data, "judging": measure_judging}


def in_child(folder: Path, *arguments, launcher: Sequence[str] = ()) -> dict:
    """Run `child(*arguments)` in a process of its own; returns its result, with the time it started and its output."""
    script = folder / "child.py"
    lines = ["import sys", f"sys.path[0] = {str(ROOT)!r}", "from common.benchmark import child", f"child(*{arguments})"]
    script.write_text("\n".join(lines))
    environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
    called = [sys.executable, "-W", "ignore", *launcher, str(script)]
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
    """Entry point; returns the exit status."""
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
    from importlib.metadata import PackageNotFoundError, version

    from common.cpu import usable_cores

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    versions = {}
    for package in ("paddlepaddle", "paddlepaddle-gpu", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"processor": processor, "cores": usable_cores(), "python": platform.python_version(), **versions}


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
