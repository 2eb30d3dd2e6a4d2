"""Paddle's two convolutions, quick on a CPU. Weights, names and results are those of `paddle.nn`.

Paddle computes a convolution on the CPU image by image, each a matrix product too small for a second thread to help.
The images do not depend on each other, so here every thread takes a slice of the batch: the same kernels on the same
numbers, side by side. And where kernel and image are of one size, the convolution is one matrix product for the whole
batch. `docs/performance.md` has the measurements.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer
from paddle.nn.functional import conv2d, conv2d_transpose

from common import cpu

Convolution = Callable[[Tensor, Tensor], Tensor]
pool = ThreadPoolExecutor(64)  # a bound, not a number: threads start when they are needed


class Conv2D(nn.Conv2D):
    """`paddle.nn.Conv2D` without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if self._padding == 0 and x.shape[2:] == self.weight.shape[2:]:
            return paddle.matmul(x.flatten(1), self.weight.flatten(1), transpose_y=True)[:, :, None, None]
        return split(lambda x, weight: conv2d(x, weight, None, self._stride, self._padding), x, self.weight)


class Conv2DTranspose(nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose` without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in, H, W]` to `[N, out, H', W']`."""
        if self._padding == 0 and x.shape[2:] == [1, 1]:
            return paddle.matmul(x.flatten(1), self.weight.flatten(1)).reshape([-1, *self.weight.shape[1:]])
        return split(lambda x, weight: conv2d_transpose(x, weight, None, self._stride, self._padding), x, self.weight)


def split(convolve: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """`convolve(x, weight)`; on a CPU with several threads, by slices of the batch.

    What is split has no second derivatives; a gradient penalty needs `--threads 1` or the layers of `paddle.nn`.
    """
    parts = min(cpu.conv_threads, x.shape[0])
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
        ctx.slices, ctx.wanted = convolve_slices(x, weight, convolve, parts, wanted), wanted
        return paddle.concat([y.detach() for _, _, y in ctx.slices])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of images and weights from that of the result."""
        images, weights, results = zip(*ctx.slices)
        list(pool.map(lambda y, own: y.backward(own), results, slices(grad, len(results))))
        wants_images, wants_weights = ctx.wanted
        return (
            paddle.concat([x.grad for x in images]) if wants_images else None,
            paddle.add_n([weight.grad for weight in weights]) if wants_weights else None,
        )
