"""Paddle's two convolutions, quick on a CPU: by oneDNN where it is to be had, else Paddle's own.

Weights, their names and layout, and results are those of `paddle.nn`. oneDNN's three primitives are closed under
differentiation, and so are the three operations here: the gradients of each are the other two. So derivatives of any
order are right, those of the transposed convolution too, which Paddle differentiates only once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Union

from common.machine import cpu, onednn
from common.machine.channels import per_channel
from common.machine.onednn import Kept
from common.machine.primitives import Operand, Shape

import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer

Numbers = Union[int, "list[int]", "tuple[int, ...]"]


def use_threads(count: int | None) -> None:
    """Use `count` threads in the calling thread from here on; None leaves them as they are."""
    cpu.set_threads(count)
    # oneDNN and Paddle's matrix products share one number. Set it now: a product before the first convolution would
    # be by another number of threads than all later ones, and so have other last bits.
    paddle.base.core.set_num_threads(cpu.threads)


use_threads(None)


def library_name() -> str:
    """What computes the convolutions, for a header: "oneDNN 3.6.2" or "Paddle's convolutions"."""
    ours = onednn.library and paddle.get_device() == "cpu"
    return f"oneDNN {onednn.library.version}" if ours else "Paddle's convolutions"


def pair(given: Any) -> tuple[int, int] | None:
    """A number for height and width as a pair; None for what is neither one nor two numbers."""
    numbers = (given, given) if isinstance(given, int) else tuple(given)
    return numbers if len(numbers) == 2 and {*map(type, numbers)} == {int} else None


@dataclass
class Factor:
    """One operand of a convolution as the graph sees it: what is computed is linear in it, the other one held fixed."""

    name: Operand
    result: Operand
    other_name: Operand
    other: Kept
    shape: Shape


class LinearInOne(PyLayer):
    """What depends linearly on one operand, as one operation of the graph.

    It has one input on purpose. `paddle.grad` for some of the leaves demands that a PyLayer with several inputs returns
    None for those that lead to none of them, which it cannot know.
    """

    @staticmethod
    def forward(ctx, operand: Tensor, factor: Factor, value: Callable[[], Tensor]) -> Tensor:
        """The value, which is computed already."""
        ctx.factor = factor
        return value()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """The gradient of the operand: that operand, computed from the other one and `grad` in place of the result."""
        factor = ctx.factor
        return convolve(factor.name, factor.shape, **{factor.other_name: factor.other.get(), factor.result: grad})


def convolve(result: Operand, shape: Shape, **operands: Tensor) -> Tensor:
    """The operand `result` of a convolution from the other two, float32 on the CPU: a function that can be
    differentiated any number of times, with respect to those of the two that want it and to no other.

    It is linear in each, so its derivative is the sum of two operations, one an operand.
    """
    value = compute(result, shape, **operands)
    if not paddle.is_grad_enabled():
        return value
    whole = None
    for (name, operand), (other_name, other) in zip(operands.items(), reversed(operands.items())):
        if operand.stop_gradient:
            continue
        factor = Factor(name, result, other_name, Kept(other), shape)
        if whole is None:
            whole = LinearInOne.apply(operand, factor, lambda: value)
        else:
            whole = whole + LinearInOne.apply(operand, factor, lambda: paddle.zeros_like(value))
    return value if whole is None else whole


def compute(result: Operand, shape: Shape, **operands: Tensor) -> Tensor:
    """The operand `result` from the other two, without a graph of its own."""
    made = paddle.empty(getattr(shape, result), "float32")
    operands = {name: operand.contiguous() for name, operand in operands.items()}  # kept until all is computed
    onednn.write_operand(result, shape, **operands, **{result: made})
    return made


class Quick:
    """What the two layers have in common. They call Paddle's by name: its 2.6 cannot turn `super()` into a graph."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        *more: Any,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, *more, **options)
        self.stride, self.padding = pair(stride), pair(padding)
        more = more[isinstance(self, nn.Conv2DTranspose) :]  # its next one is the padding of its output
        others = {*options} - {"output_padding", "weight_attr", "bias_attr", "data_format"}
        last = options.get("data_format", "NCHW") != "NCHW"
        self.usual = None not in (self.stride, self.padding) and not (more or others or last)  # not left to Paddle

    def shape_for(self, given: Tensor, transposed: bool) -> Shape | None:
        """The shape of the convolution whose images, or maps if `transposed`, are `given`; None where oneDNN cannot
        compute it and Paddle does, or says what is wrong with it."""
        if not (onednn.takes(given) and self.weight.dtype == paddle.float32):
            return None
        stride, padding = self.stride, self.padding
        (count, channels, *sizes), weights = given.shape, tuple(self.weight.shape)
        if channels != weights[0 if transposed else 1]:
            return None
        window = list(zip(sizes, weights[2:], stride, padding))
        if transposed:
            more = self.output_padding
            more = [more, more] if isinstance(more, int) else more
            if any(m >= s for m, s in zip(more, stride)):  # pixels that no convolution saw
                return None
            other = [(size - 1) * s - 2 * p + k + m for (size, k, s, p), m in zip(window, more)]
        else:
            other = [(size + 2 * p - k) // s + 1 for size, k, s, p in window]
        if min(other) < 1:
            return None
        images, maps = (other, sizes) if transposed else (sizes, other)
        return Shape((count, weights[1], *images), weights, (count, weights[0], *maps), stride, padding)

    def with_bias(self, y: Tensor) -> Tensor:
        """`y` with the layer's bias, if it has one."""
        if self.bias is None:
            return y
        if not paddle.in_dynamic_mode():  # while a network is exported, for any number of images
            return y + self.bias.reshape([1, -1, 1, 1])
        return y + per_channel(self.bias, y.shape)


class Conv2D(Quick, nn.Conv2D):
    """`paddle.nn.Conv2D`."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if not self.usual or len(x.shape) != 4:
            return nn.Conv2D.forward(self, x)
        if self.padding == (0, 0) and list(x.shape[1:]) == self.weight.shape[1:]:
            return self.with_bias(self.of_whole_images(x))
        shape = self.shape_for(x, transposed=False)
        if shape is None:
            return nn.Conv2D.forward(self, x)
        return self.with_bias(convolve("maps", shape, images=x, weights=self.weight))

    def of_whole_images(self, x: Tensor) -> Tensor:
        """The convolution with kernels of the images' size: one matrix product."""
        outputs, *one = self.weight.shape
        x, weights = x.reshape([-1, math.prod(one)]), self.weight.reshape([outputs, -1])
        return paddle.matmul(x, weights, transpose_y=True).reshape([-1, outputs, 1, 1])


class Conv2DTranspose(Quick, nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if not self.usual or len(x.shape) != 4 or output_size is not None:
            return nn.Conv2DTranspose.forward(self, x, output_size)
        if self.padding == (0, 0) and self.output_padding == 0 and list(x.shape[1:]) == [self.weight.shape[0], 1, 1]:
            return self.with_bias(self.of_single_pixels(x))
        shape = self.shape_for(x, transposed=True)
        if shape is None:
            return nn.Conv2DTranspose.forward(self, x, output_size)
        return self.with_bias(convolve("images", shape, weights=self.weight, maps=x))

    def of_single_pixels(self, x: Tensor) -> Tensor:
        """The convolution of images of one pixel: one matrix product."""
        inputs, outputs, height, width = self.weight.shape
        y = paddle.matmul(x.reshape([-1, inputs]), self.weight.reshape([inputs, -1]))
        return y.reshape([-1, outputs, height, width])
