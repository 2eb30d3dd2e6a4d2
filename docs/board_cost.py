"""What VisualDL's log costs: `python docs/board_cost.py` trains DCGAN for an epoch of MNIST, with the flags of
dcgan/train.py, and prints which share of the time went there, and how large it got."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.run.board import Board
from common.run.commandline import command
from common.run.flags import parse_flags
from common.run.histograms import Histograms
from common.run.recorder import Recorder
from common.train import run
from dcgan.train import build

WRITES = {  # all that is done for it
    Board: ("__init__", "scalar", "scalars", "image", "text", "histogram", "embeddings", "hyperparameters", "sync"),
    Histograms: ("after", "_look"),
    Recorder: ("_show_features",),
}
spent, inside = 0.0, False


def timed(function: Callable) -> Callable:
    """`function`, its time added to `spent`; once where one calls another."""

    @functools.wraps(function)
    def wrapped(*arguments: object, **named: object) -> object:
        global spent, inside
        if inside:
            return function(*arguments, **named)
        began, inside = time.perf_counter(), True
        try:
            return function(*arguments, **named)
        finally:
            spent, inside = spent + time.perf_counter() - began, False

    return wrapped


@command
def main(arguments: list[str]) -> int:
    """Train, then print; returns the exit status."""
    arguments = ["--epochs", "1", "--output-dir", "work/board_cost", *arguments]
    folder = parse_flags("dcgan", build, arguments).output_dir
    for owner, names in WRITES.items():
        for name in names:
            setattr(owner, name, timed(getattr(owner, name)))
    began = time.perf_counter()
    status = run("dcgan", build, arguments)
    if status:
        return status
    whole = time.perf_counter() - began
    size = (folder / "vdlrecords.run.log").stat().st_size
    print(f"{spent:.2f} of {whole:.1f} s, {spent / whole:.2%}; {size / 1e6:.2f} MB")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
