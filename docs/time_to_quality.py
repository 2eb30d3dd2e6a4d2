"""How long until the samples are good? `python docs/time_to_quality.py`: ours and PyTorch's, side by side.

DCGAN by `make best`'s settings on MNIST, from the same weights, on the same batches and the same noise, each on one
core of a machine that does nothing else. The clock stands still while samples are drawn; they are judged at the end.
After some hundred steps the two differ, because they round differently; so the step at which one becomes good is partly
chance, and the seconds a step are what tells them apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from commands.benchmark import CLEARED, QUIET, busy_cores, machine
from common import data
from common.data import as_float
from common.errors import DONE, UserError
from common.judging.reference import Reference
from common.judging.tables import aligned
from common.machine import cpu
from common.rng import SHUFFLE, random_numbers
from common.run.commandline import Parser, command, user_path, whole_number
from common.run.flags import DATA_DIR_HELP
from dcgan.train import build
from docs.quality_players import SEED, trained

import numpy as np
import paddle

BATCH, SAMPLES, GOOD = 32, 2000, 5.0


@command
def main(arguments: list[str] | None = None) -> int:
    """Train DCGAN here and in PyTorch side by side, one core each, and tell after how many minutes the Fréchet distance
    of 2,000 samples is below 5. Close other programs first.
    """
    parser = Parser(prog="python docs/time_to_quality.py", description=main.__doc__)
    parser.add_argument("--steps", type=whole_number(1), default=5625, help="of either; three epochs are 5,625")
    parser.add_argument("--every", type=whole_number(1), default=375, help="steps between two looks at the samples")
    parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist", help="what to train on")
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    flags = parser.parse_args(arguments)
    if flags.steps < flags.every:
        parser.error(f"--steps {flags.steps}: the first look is after {flags.every}; name more, or a smaller --every")
    players = ["ours", "pytorch"] if find_spec("torch") else ["ours"]
    if cpu.usable_cores() < len(players):
        raise UserError("one core is not enough: each of the two has a core of its own")
    found = data.load(flags.dataset, flags.data_dir)
    reference, busy = Reference(found.name, found.images, found.checksum), busy_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, found.images, flags.steps)
        play(players, folder, flags.every)
        looks = {player: judged(player, folder, reference) for player in players}
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    if busy > QUIET:
        print(f"NOT A QUIET MACHINE: other programs kept {busy:.1f} cores busy; close them and repeat.")
    print(table(looks))
    for player, rows in looks.items():
        good = next(((step, minutes) for step, minutes, distance in rows if distance < GOOD), None)
        reached = "below {:g} after {:,} steps, {:.1f} minutes".format(GOOD, *good) if good else f"never below {GOOD:g}"
        print(f"{player}: {reached}; {60_000 * rows[-1][1] / rows[-1][0]:.0f} ms a step")
    return DONE


def prepare(folder: Path, images: np.ndarray, steps: int) -> None:
    """Write what both start from: the images, the batches of each step, latent vectors and the first weights."""
    paddle.seed(SEED)
    weights = {
        f"{name}-{number}": values.numpy()
        for name, network in build().networks.items()
        for number, values in enumerate(trained(network))
    }
    a_epoch = len(images) // BATCH
    epochs = -(-steps // a_epoch)
    orders = [random_numbers(SEED, SHUFFLE, epoch).permutation(len(images)) for epoch in range(epochs)]
    np.save(folder / "images.npy", as_float(images))
    np.save(
        folder / "batches.npy",
        np.concatenate([order[: a_epoch * BATCH].reshape(-1, BATCH) for order in orders])[:steps],
    )
    np.save(folder / "latent.npy", np.random.default_rng(SEED).standard_normal((SAMPLES, 100, 1, 1), dtype=np.float32))
    np.savez(folder / "start.npz", **weights)


def play(players: list[str], folder: Path, every: int) -> None:
    """Let them train at once, each on a core of its own where the system can hold it there."""
    environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
    script = ROOT / "docs/quality_players.py"
    running = []
    for core, player in enumerate(players):
        process = subprocess.Popen([sys.executable, str(script), player, str(folder), str(every)], env=environment)
        running.append(process)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[core]})
    try:
        failed = [player for player, process in zip(players, running) if process.wait()]
    finally:
        for process in running:
            process.kill()
    if failed:
        raise UserError(f"{failed[0]} failed, see above")


def judged(player: str, folder: Path, reference: Reference) -> list[tuple[int, float, float]]:
    """Steps, minutes and the Fréchet distance at each look."""
    rows = []
    for path in folder.glob(f"{player}-*.npz"):
        with np.load(path) as look:
            distance = reference.judge_images(look["images"])["frechet"]
            rows.append((int(path.stem.split("-")[1]), float(look["seconds"]) / 60, distance))
    return sorted(rows)


def table(looks: dict[str, list[tuple[int, float, float]]]) -> str:
    """A row for each look, with minutes and distance of each player."""
    head = ["step", *(f"{player}: {what}" for player in looks for what in ("minutes", "Fréchet"))]
    lines = [
        [f"{rows[0][0]:,}", *(cell for _, minutes, distance in rows for cell in (f"{minutes:.1f}", f"{distance:.1f}"))]
        for rows in zip(*looks.values())
    ]
    return aligned([head, *lines])


if __name__ == "__main__":
    sys.exit(main())
