"""One number a channel, spread over its pixels, and a sum of its pixels: by products with ones.

On one CPU thread Paddle takes 9 ms to add a bias to 64 maps of 16x16 of 64 images and to differentiate that, and 13 ms
for a mean over the pixels of each channel; so it is 0.9 and 0.2. A product with ones gives the same numbers, and its
derivatives of any order are such products too. On a GPU, where products may be rounded to fewer digits, Paddle's own
operations are taken.
"""

from __future__ import annotations

import paddle
from paddle import Tensor


def on_cpu(x: Tensor) -> bool:
    """Whether products with ones are the quicker way for `x`."""
    return x.place.is_cpu_place()


def per_channel(values: Tensor, shape: list[int]) -> Tensor:
    """`values [C]`, or of any shape with C numbers, as `shape`, that is `[N, C, H, W]`: one number for each channel."""
    images, channels, height, width = shape
    if not on_cpu(values):
        return values.reshape([1, channels, 1, 1]).expand(shape)
    rows = paddle.ones([images, 1], values.dtype) @ values.reshape([1, channels])
    return (rows.reshape([images * channels, 1]) @ paddle.ones([1, height * width], values.dtype)).reshape(shape)


def channel_mean(x: Tensor) -> Tensor:
    """The mean of each channel of `x [N, C, H, W]`: `[C]`."""
    images, channels, height, width = x.shape
    if not on_cpu(x):
        return x.mean(axis=[0, 2, 3])
    rows = x.reshape([images * channels, height * width]) @ paddle.ones([height * width, 1], x.dtype)
    total = paddle.ones([1, images], x.dtype) @ rows.reshape([images, channels])
    return total.reshape([channels]) / (images * height * width)
