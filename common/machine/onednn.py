"""Convolutions, and the gradient of ReLU, by the oneDNN that lies in Paddle's own wheel.

Paddle's wheel brings oneDNN along, with the kernels PyTorch is quick by, but trains without it: only static graphs
reach it. Its C API is exported, so `ctypes` can call it on the memory of Paddle's tensors, with nothing copied.

A convolution has three operands: the `images` it reads, its `weights`, the `maps` it writes. Each of oneDNN's three
primitives makes one of them from the other two: the maps (the convolution itself), the images (its gradient with
respect to them, which is what others call a transposed convolution) and the weights (its gradient there). Nothing
else is needed, for derivatives of any order.

Same bits each time: oneDNN promises that a primitive gives the same bits when run again in the same environment, on
the same processor with the same number of threads, and has an attribute that rules out the few implementations that
would not; it is set where the library knows it. (oneDNN's documentation, "Primitive Attributes: deterministic".)
Another number of threads adds up the gradient of the weights in another order.
"""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from typing import Callable

from common.language import _
from common.machine import choice, cpu
from common.machine.library import Primitive, open_library
from common.machine.primitives import Convolution, GatheredWeights, Operand, ReLUGradient, Shape, few

import paddle
from paddle import Tensor

LARGE = 10**8  # multiplications and additions from which on the choice of a way is worth its measurement

library = open_library()


def takes(x: Tensor) -> bool:
    """Whether oneDNN is there and can compute with `x`: float32, on the CPU, not empty, and not in a graph that is only
    being drawn up, where nothing has memory yet."""
    return (
        library is not None
        and paddle.in_dynamic_mode()
        and x.dtype == paddle.float32
        and x.place.is_cpu_place()
        and 0 not in x.shape
    )


class Kept:
    """A tensor that a gradient will need.

    In a wrapper, since Paddle takes every tensor among the arguments of a PyLayer, in tuples too, for an input of it.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.version = tensor, tensor.inplace_version

    def get(self) -> Tensor:
        """The tensor.

        Raises:
            RuntimeError: it is no longer what it was.
        """
        if self.tensor.inplace_version != self.version:
            raise RuntimeError("a tensor that a gradient needs was changed in place after it had been used")
        return self.tensor


def write_operand(result: Operand, shape: Shape, images: Tensor, weights: Tensor, maps: Tensor) -> None:
    """Compute the operand `result` of a convolution from the other two, into the memory it has.

    The tensors must be contiguous, float32, on the CPU and of the sizes in `shape`: nothing is checked here.
    """
    addresses = images.data_ptr(), weights.data_ptr(), maps.data_ptr()

    def make() -> Primitive:
        possible = ways(result, shape)
        if len(possible) == 1 or not choice.measures:
            return next(iter(possible.values()))()
        return choice.quickest(key_of(result, shape), possible, addresses)

    library.run((result, shape), make, addresses)


def relu_gradient(x: Tensor, slope: float, grad: Tensor, result: Tensor) -> None:
    """Compute `grad` where `x` is positive and `slope * grad` elsewhere, into the memory of `result`.

    The tensors must be contiguous, float32, on the CPU and of one size: nothing is checked here.
    """
    addresses = x.data_ptr(), grad.data_ptr(), result.data_ptr()
    sizes = tuple(x.shape)
    library.run((sizes, slope), lambda: ReLUGradient(library, math.prod(sizes), slope), addresses)


def machine() -> str:
    """All besides its shape that a convolution's way, and so the last bits of its result, may depend on."""
    if paddle.get_device() != "cpu":
        return f"{paddle.device.cuda.get_device_name()}, Paddle's convolutions"
    threads = f"{cpu.threads} thread{'s' if cpu.threads > 1 else ''}"
    if library is None:
        return f"{cpu.processor()}, Paddle's convolutions, {threads}"
    return f"{cpu.processor()}, oneDNN {library.version} with instruction set {library.instructions:#x}, {threads}"


def products() -> str:
    """All that the last bits of Paddle's matrix products may depend on besides the `machine`."""
    return f"Paddle {paddle.__version__}, MKL_DEBUG_CPU_TYPE {os.environ.get('MKL_DEBUG_CPU_TYPE') or 'not set'}"


def choices() -> dict[str, str | dict[str, str]]:
    """For a checkpoint: what the last bits of all that was computed so far depend on."""
    return {"machine": machine(), "products": products(), "ways": {**choice.chosen}}


def go_on_with(choices: dict[str, str | dict[str, str]]) -> None:
    """Compute as the process did that had these `choices`, and say where that may not be done to the last bit."""
    here = {"machine": machine(), "products": products()}
    moved = [name for name in here if choices.get(name, here[name]) != here[name]]  # earlier versions keep no products
    if moved:
        theirs, ours = (", ".join(known[name] for name in moved) for known in (choices, here))
        print(
            _(
                "note: this run comes from {theirs}; here it is {ours}: it goes on, but rounds otherwise than it would "
                "have there",
                theirs=theirs,
                ours=ours,
            ),
            file=sys.stderr,
        )
    choice.chosen.update(choices["ways"])
    if library:
        library.kept.clear()


def key_of(result: Operand, shape: Shape) -> str:
    """The key of the choice among the `ways`, a path."""
    sizes = ["x".join(map(str, numbers)) for numbers in shape]
    return f"{machine().replace('/', '-')}/{result} {' '.join(sizes)}"


def ways(result: Operand, shape: Shape) -> dict[str, Callable[[], Primitive]]:
    """The ways worth trying to compute an operand, by name. The first is the best on an AMD EPYC.

    Milliseconds of batch 32 on one thread of that, and [of an Intel Xeon with 1.25 MB of L2 cache]:

    | result, channels | oneDNN's first choice | its `jit:avx512_core` | a matrix product |
    | --- | --- | --- | --- |
    | images 64→128, 128→256 | 5.4, 5.9 [5.2, 6.3 to 7.2] | 5.0, 5.0 [7.1, 6.9] | |
    | weights 64→128, 128→256 | 5.0, 5.6 [8.3, 10.3] | the same | 7.5, 6.2 [9, 5.3 by MKL's] |
    """
    made = partial(Convolution, library, result, shape)
    large = 2 * math.prod(shape.weights) * math.prod(shape.maps) // shape.maps[1] >= LARGE
    if few(shape):
        return {"jit": partial(made, "jit:")} if result == "maps" else {"first": made}  # maps: 0.17 against 0.26 ms
    if result == "images":
        direct = {"jit:avx512_core": partial(made, "jit:avx512_core")}  # the first choice where there is none such
        return {**direct, "first": made} if large else direct
    pieces = all(step > 1 and size % step == 0 for size, step in zip(shape.weights[2:], shape.stride))
    if result == "weights" and pieces and large:
        return {"first": made, "matmul": partial(GatheredWeights, library, shape)}
    return {"first": made}
