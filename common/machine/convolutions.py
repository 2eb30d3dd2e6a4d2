"""Paddle's two convolutions, quick on a CPU. Weights, names and results are those of `paddle.nn`.

Paddle computes a convolution on the CPU image by image, each a matrix product too small for a second thread to help.
The images do not depend on each other, so here every thread takes a slice of the batch: the same kernels on the same
numbers, side by side. And where kernel and image are of one size, the convolution is one matrix product for the whole
batch. `docs/performance.md` has the measurements.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from common.machine import cpu

import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer
from paddle.nn.functional import conv2d, conv2d_transpose

Convolution = Callable[[Tensor, Tensor], Tensor]
pool = ThreadPoolExecutor(64)  # a bound, not a number: threads start when they are needed
paddle.base.core.set_num_threads(1)  # inside one slice, where a script that imported Paddle first asked for more


class Conv2D(nn.Conv2D):
    """`paddle.nn.Conv2D`."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if self._padding == 0 and x.shape[2:] == self.weight.shape[2:]:
            rows, kernels = x.reshape([x.shape[0], -1]), self.weight.reshape([self.weight.shape[0], -1])
            y = paddle.matmul(rows, kernels, transpose_y=True)[:, :, None, None]
        else:
            y = split(lambda x, weight: conv2d(x, weight, None, self._stride, self._padding), x, self.weight)
        return y if self.bias is None else y + self.bias.reshape([1, -1, 1, 1])


class Conv2DTranspose(nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose`."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if self._padding == 0 and x.shape[2:] == [1, 1]:
            rows, kernels = x.reshape([x.shape[0], -1]), self.weight.reshape([self.weight.shape[0], -1])
            y = paddle.matmul(rows, kernels).reshape([-1, *self.weight.shape[1:]])
        else:
            y = split(lambda x, weight: conv2d_transpose(x, weight, None, self._stride, self._padding), x, self.weight)
        return y if self.bias is None else y + self.bias.reshape([1, -1, 1, 1])


def split(convolve: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """`convolve(x, weight)`; on a CPU with several threads, by slices of the batch."""
    parts = min(cpu.threads, x.shape[0])
    if parts < 2 or not x.place.is_cpu_place():
        return convolve(x, weight)
    graph = paddle.is_grad_enabled()
    wanted = graph and not x.stop_gradient, graph and not weight.stop_gradient
    if any(wanted):
        return SplitConvolution.apply(x, weight, convolve, parts, wanted)
    return paddle.concat([y for _, _, y in convolve_slices(x, weight, convolve, parts, wanted)])


def convolve_slices(
    x: Tensor, weight: Tensor, convolve: Convolution, parts: int, wanted: tuple[bool, bool]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each of `parts` slices of the batch: its images, its handle on the weights, and their convolution, with a
    graph of its own where the gradient of `x` or of `weight` is `wanted`."""

    def one(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own_images, own_weight = images.detach(), weight.detach()
        own_images.stop_gradient, own_weight.stop_gradient = (not want for want in wanted)
        with paddle.set_grad_enabled(any(wanted)):  # a switch that every thread has for itself
            return own_images, own_weight, convolve(own_images, own_weight)

    return list(pool.map(one, slices(x, parts)))


def slices(x: Tensor, parts: int) -> list[Tensor]:
    """`x` in `parts` slices of the batch, as even as can be."""
    count = x.shape[0]
    return [x[count * part // parts : count * (part + 1) // parts] for part in range(parts)]


class SplitConvolution(PyLayer):
    """The convolution of slices as one operation. Paddle has no function for the gradient of a convolution's weights,
    so the way back leads through the slices' own graphs, again side by side."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, convolve: Convolution, parts: int, wanted: tuple[bool, bool]) -> Tensor:
        """The convolution of the whole batch."""
        ctx.save_for_backward(x, weight)
        ctx.slices, ctx.wanted = convolve_slices(x, weight, convolve, parts, wanted), wanted
        ctx.convolve = convolve
        return paddle.concat([y.detach() for _, _, y in ctx.slices])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of images and weights from that of the result.

        Under `create_graph=True` Paddle calls this with the graph switched on: then it is differentiated once more,
        which the slices' own graphs are not made for, and is built from the whole batch instead.
        """
        if paddle.is_grad_enabled():
            x, weight = ctx.saved_tensor()
            inputs = [tensor for tensor, want in zip((x, weight), ctx.wanted) if want]
            found = iter(paddle.grad(ctx.convolve(x, weight), inputs, grad, create_graph=True))
            return tuple(next(found) if want else None for want in ctx.wanted)
        images, weights, results = zip(*ctx.slices)
        list(pool.map(lambda y, own: y.backward(own), results, slices(grad, len(results))))
        wants_images, wants_weights = ctx.wanted
        return (
            paddle.concat([x.grad for x in images]) if wants_images else None,
            paddle.add_n([weight.grad for weight in weights]) if wants_weights else None,
        )
