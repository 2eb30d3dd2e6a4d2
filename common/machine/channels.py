"""One number a channel, spread over its pixels, and a sum of its pixels: by products with ones.

On a CPU, Paddle takes 5 ms to add a bias to 64 maps of 16x16 of 64 images where a plain sum takes 0.1, and as long for
each sum over the pixels of a channel (measured on one thread). A product with ones gives the same numbers, and its
derivatives of any order are such products too.
"""

from __future__ import annotations

import paddle
from paddle import Tensor


def spread(values: Tensor, shape: list[int]) -> Tensor:
    """`values [C]`, or of any shape with C numbers, as `shape`, that is `[N, C, H, W]`: one number for each channel."""
    images, channels, height, width = shape
    rows = paddle.ones([images, 1]) @ values.reshape([1, channels])
    return (rows.reshape([images * channels, 1]) @ paddle.ones([1, height * width])).reshape(shape)


def mean(x: Tensor) -> Tensor:
    """The mean of each channel of `x [N, C, H, W]`: `[C]`."""
    images, channels, height, width = x.shape
    rows = x.reshape([images * channels, height * width]) @ paddle.ones([height * width, 1])
    total = paddle.ones([1, images]) @ rows.reshape([images, channels])
    return total.reshape([channels]) / (images * height * width)
