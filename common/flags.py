"""The flags of every family's `train.py`. Read before Paddle is imported: it needs the threads, `--help` needs none."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.errors import Parser, number_between, whole_number

DATA_DIR_HELP = "folder with the four IDX files (default: $MNIST_DIR, else Paddle's cache, else Paddle's download)"


def parse_flags(family: str, arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags in `arguments` (None: the command line's); a bad one ends the program with one line and status 2."""
    parser = Parser(
        prog=f"{family}/train.py",
        description=f"Train {family.upper()} and write sample grids, generator.params, loss curves and VisualDL "
        "records to --output-dir. Ctrl-C stops after the current step and saves; --resume goes on.",
        epilog=f"example: python {family}/train.py --dataset digits --epochs 20",
    )
    add = parser.add_argument
    add("--epochs", type=whole_number(1), default=100, help="passes over the data set")
    add("--batch-size", type=whole_number(2), default=32, help="images a step")
    add("--learning-rate", type=number_between(1e-9, 1), default=2e-4, help="Adam's step size, both networks")
    add("--learning-rate-d", type=number_between(1e-9, 1), help="Adam's step size for D (default: --learning-rate)")
    add("--beta1", type=number_between(0, 1), default=0.5, help="Adam's first decay rate, both networks")
    add(
        "--dataset",
        choices=["mnist", "digits", "auto"],
        default="mnist",
        help="digits: scikit-learn's 1,797 digits, no network needed; auto: MNIST where it can be had, else digits",
    )
    add("--label-smoothing", type=number_between(0, 0.5), default=0.0, help="D's target for real images is 1 less this")
    add("--linear-decay", action="store_true", help="let the step sizes fall epoch by epoch, to 0 after --epochs")
    add("--data-dir", help=DATA_DIR_HELP)
    add("--output-dir", type=Path, default=Path("work", family), help="everything the run writes")
    add("--seed", type=whole_number(0), default=42, help="of every source of randomness")
    add("--max-steps", type=whole_number(1), help="stop after so many steps in all, saving as at any end")
    add("--sample-every", type=whole_number(1), default=100, help="steps between sample grids")
    add("--eval-every", type=whole_number(0), default=1, help="epochs between judgements; 0 turns them off")
    add("--resume", action="store_true", help="go on from the last checkpoint in --output-dir")
    add("--checkpoint-minutes", type=number_between(0, 1e6), default=5.0, help="between checkpoints within an epoch")
    add("--device", default="auto", help="auto, cpu, gpu or gpu:N")
    add("--sync-batchnorm", action="store_true", help="several GPUs: BatchNorm's statistics over all parts of a batch")
    add("--threads", type=whole_number(1), help="CPU threads of each process (default: all cores)")
    return parser.parse_args(arguments)
