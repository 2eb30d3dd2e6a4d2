"""How quick each of oneDNN's implementations is here: `python docs/onednn_ways.py`, half a minute on one core.

For convolutions of DCGAN and one of the judge's it prints the ways that a training chooses from, and below them the
quickest of all: each implementation that oneDNN has, for each of the nine orders in which it can be asked to see images
and maps. `common/machine/primitives.py` and `docs/performance.md` have figures of it. One thread; they take
turns, and the least of each one's seconds on the processor counts.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from ctypes import c_void_p
from pathlib import Path
from types import SimpleNamespace

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import DONE, UserError
from common.machine import choice, onednn
from common.machine.convolutions import use_threads
from common.machine.library import OneDNNError, Primitive
from common.machine.primitives import OPERANDS, Convolution, Operand, Shape
from common.run.commandline import Parser, command, whole_number

import numpy as np
import paddle

SLOW = "ref", "gemm:ref"  # how oneDNN names what is there to compare with
# channels of images and maps, height and width of the images, stride, kernel
SIZES = (1, 64, 32, 2, 4), (64, 128, 16, 2, 4), (128, 256, 8, 2, 4), (32, 64, 16, 1, 3)
SQUARE = 1536  # of the matrices
ORDERS = {True: "last", False: "first", None: "free"}  # where the channels are; free: as oneDNN likes


def shapes(batch: int) -> dict[str, Shape]:
    """Convolutions of DCGAN's D, which are those of G the other way round, and one of the judge of digits."""
    found = {}
    for inside, outside, size, stride, kernel in SIZES:
        images, maps = (batch, inside, size, size), (batch, outside, size // stride, size // stride)
        shape = Shape(images, (outside, inside, kernel, kernel), maps, (stride, stride), (1, 1))
        found[f"{inside} to {outside} channels, {size}x{size}, kernel {kernel}, stride {stride}"] = shape
    return found


class Listed(Convolution):
    """A convolution that is not computed: `names` are oneDNN's implementations of it."""

    def prefer(self, implementation: str, name: str, *arguments) -> c_void_p:
        """All of them, whatever is preferred."""
        self.names = [*self.implementations(self.describe(name, *arguments))]
        return self.describe(name, *arguments)


def others(result: Operand, shape: Shape) -> Iterator[tuple[str, Primitive]]:
    """All that oneDNN can compute an operand by, slow ones aside: what it is called, and the primitive."""
    for seen in itertools.product(ORDERS, repeat=2):
        try:
            names = Listed(onednn.library, result, shape, seen=seen).names
        except OneDNNError:  # it has none for this order
            continue
        for name in dict.fromkeys(names):
            if not name.startswith(SLOW):
                order = f"images {ORDERS[seen[0]]}, maps {ORDERS[seen[1]]}"
                yield f"{name}, channels of {order}", Convolution(onednn.library, result, shape, name, seen)


def show(operations: int, took: float, way: str) -> None:
    """Print a line for a way that `took` so many seconds."""
    print(f"  {1e3 * took:7.2f} ms {operations / 1e9 / took:6.1f} Gflop/s  {way}", flush=True)


@command
def main(arguments: list[str] | None = None) -> int:
    """Time all of oneDNN's implementations of DCGAN's convolutions on this machine."""
    parser = Parser(prog="python docs/onednn_ways.py", description=main.__doc__)
    parser.add_argument("--batch-size", type=whole_number(1), default=32, help="images")
    parser.add_argument(
        "--rounds", type=whole_number(1), default=5, help="measurements of each, the least of which counts"
    )
    parser.add_argument(
        "--most", type=whole_number(1), default=4, help="how many of the others to print, quickest first"
    )
    flags = parser.parse_args(arguments)
    if onednn.library is None:
        raise UserError(
            "there is no oneDNN to measure: unset GAN_NO_ONEDNN, or take a Paddle of the versions in requirements.txt"
        )
    use_threads(1)
    print(f"{onednn.machine()}, batches of {flags.batch_size}")
    rng = np.random.default_rng(0)
    for name, shape in shapes(flags.batch_size).items():
        operands = [rng.standard_normal(sizes, dtype=np.float32) for sizes in shape[:3]]
        addresses = [operand.ctypes.data for operand in operands]
        operations = 2 * np.prod(shape.weights) * np.prod(shape.maps) / shape.maps[1]
        for result in OPERANDS:
            print(f"{result} of {name}: {operations / 1e9:.2f} billion operations")
            ours = {f"ours: {name}": make() for name, make in onednn.ways(result, shape).items()}
            took = choice.least_seconds({**ours, **dict(others(result, shape))}, addresses, flags.rounds, math.inf)
            theirs = sorted(took.keys() - ours, key=took.get)[: flags.most]
            for way in [*ours, *theirs]:
                show(operations, took[way], way)
    square = paddle.to_tensor(rng.standard_normal((SQUARE, SQUARE), dtype=np.float32))
    print("what this processor can do, in a product of two large matrices")
    product = SimpleNamespace(run=lambda addresses: paddle.matmul(square, square))
    name = f"paddle.matmul, {SQUARE}x{SQUARE}"
    show(2 * SQUARE**3, choice.least_seconds({name: product}, [], flags.rounds)[name], name)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
