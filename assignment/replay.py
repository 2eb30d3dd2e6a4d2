"""Whether curves are of a student's own seed: the first steps are made again and compared.

`python assignment/replay.py` measures what `TOLERANCE` is derived from: how far the same steps drift apart on other
processors, and how far those of other seeds are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from assignment.handed import LOSSES
from common import data
from common.errors import DONE
from common.game import Game
from common.machine import convolutions
from common.run.commandline import Parser, command, whole_number
from common.run.families import builder
from common.run.flags import parse_flags
from common.train import training_steps

import numpy as np
import paddle

REPLAYED = 20
# Between what another processor does (at most 0.021 here) and what another seed does (at least 0.088), in the middle of
# their logarithms. The median, since single steps come near each other by chance, and rounding grows from step to step.
TOLERANCE = 0.04

# Other processors, as far as this one can play them: fewer instructions, other paths of MKL, other orders of sums.
PROCESSORS = {
    "2 threads": ({}, 2),
    "AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "MKL_DEBUG_CPU_TYPE": "5"}, 1),
    "SSE4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41", "DNNL_MAX_CPU_ISA": "SSE41", "GAN_NO_MKL_SETUP": "1"}, 2),
}


def first_steps(
    family: str, build: Callable[..., Game], flags: list[str], dataset: data.Dataset
) -> list[dict[str, float]]:
    """The losses of the first steps of a run, as `losses.csv` has them.

    Args:
        family: its name, for the flags' messages only.
        build: makes its game.
        flags: those of the run; `--max-steps` says how many steps.
        dataset: loaded already.
    """
    parsed = parse_flags(family, build, flags)
    convolutions.use_threads(parsed.threads)
    paddle.set_device("cpu")
    paddle.seed(parsed.seed)
    steps = training_steps(build(**parsed.settings), dataset, parsed, 0)
    return [{name: float(value) for name, value in values.items() if name in LOSSES} for *_, values in steps]


def distance(rows: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    """The median relative difference of the losses of two runs, as far as both go: 0 for the same one, at most 2."""
    pairs = np.array([[[row[name], other[name]] for name in LOSSES] for row, other in zip(rows, others)], np.float64)
    if not pairs.size or not np.isfinite(pairs).all():
        return 2.0
    largest = np.abs(pairs).max(axis=-1)
    return float(np.median(np.abs(pairs[..., 0] - pairs[..., 1]) / np.where(largest > 0, largest, 1)))


@command
def main(arguments: list[str] | None = None) -> int:
    """Measure how far the steps that are replayed drift apart on other processors, and those of other seeds."""
    parser = Parser(prog="python assignment/replay.py", description=main.__doc__)
    parser.add_argument("--dataset", default="mnist", choices=["mnist", "digits"], help="what is trained on")
    parser.add_argument("--seeds", type=whole_number(1), default=3, help="of each family")
    parser.add_argument("--only", nargs=3, metavar=("FAMILY", "SEED", "THREADS"), help="print these steps as JSON")
    given = parser.parse_args(arguments)
    if given.only:
        family, seed, threads = given.only
        flags = ["--seed", seed, "--threads", threads, "--max-steps", str(REPLAYED)]
        print(json.dumps(first_steps(family, builder(family), flags, data.load(given.dataset))))
        return DONE

    def steps(family: str, seed: int, threads: int = 1, **environment: str) -> list[dict[str, float]]:
        start = [sys.executable, __file__, "--dataset", given.dataset, "--only", family, str(seed), str(threads)]
        done = subprocess.run(start, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    for family in ("dcgan", "lsgan"):
        runs = [steps(family, seed) for seed in range(given.seeds)]
        for seed, run in enumerate(runs):
            for name, (environment, threads) in PROCESSORS.items():
                print(f"{family} seed {seed}, {name}: {distance(run, steps(family, seed, threads, **environment)):.4f}")
            for other in range(seed):
                print(f"{family} seed {seed}, seed {other}: {distance(run, runs[other]):.4f}", flush=True)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
