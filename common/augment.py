"""Differentiable augmentation for few pictures (Zhao et al. 2020, arXiv 2006.10738, "DiffAugment").

With a few hundred pictures D soon knows each of them by heart, and then teaches G nothing. So D never sees a picture
as it is: its colours, its place and a part of it change at random each time. This is done to generated images as well,
in both turns, by operations that G's gradient passes through: else G would learn to draw changed ones (section 3.1).
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor

NUMBERS = 7  # random ones for each image
MOVED, CUT = 1 / 8, 1 / 2  # of the height and width: how far an image moves at most, and the side of what is cut out


def chances(rng: np.random.Generator, count: int) -> np.ndarray:
    """What `augment` takes for `count` images: float32 `[count, 7]`, uniform in [0, 1)."""
    return rng.random((count, NUMBERS), dtype=np.float32)


def augment(images: Tensor, chance: Tensor) -> Tensor:
    """Images `[N, C, H, H]` in [-1, 1], each changed in a way of its own; the gradient passes through.

    In this order, with the ranges of the authors' code: brightness, -½ to ½ is added; saturation, 0 to 2 times the
    distance from the pixel's grey; contrast, ½ to 1½ times that from the image's mean; a move of up to an eighth of the
    side, both ways; a square of half the side is cut out, some of which may lie outside. What comes in, and what is cut
    out, is 0, a middle grey.

    Args:
        chance: `chances` for as many images.
    """
    size = images.shape[-1]
    brightness, saturation, contrast, *places = (n.reshape([-1, 1, 1, 1]) for n in chance.split(NUMBERS, axis=1))
    x = images + (brightness - 0.5)
    grey = x.mean(axis=1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(axis=[1, 2, 3], keepdim=True)
    x = mean + (x - mean) * (contrast + 0.5)
    down, right, top, left = places
    x = moved(down, size) @ x @ moved(right, size).transpose([0, 1, 3, 2])
    return x * (1 - within(top, size) @ within(left, size).transpose([0, 1, 3, 2]))


def moved(chance: Tensor, size: int) -> Tensor:
    """The matrices `[N, 1, size, size]` that move the rows of an image up or down; `chance [N, 1, 1, 1]`."""
    most = int(size * MOVED)
    shift = (chance * (2 * most + 1)).floor() - most
    place = paddle.arange(size, dtype="float32")
    return (place.reshape([1, 1, size, 1]) + shift == place).astype("float32")


def within(chance: Tensor, size: int) -> Tensor:
    """Which rows the square covers, 1 or 0: `[N, 1, size, 1]`; `chance [N, 1, 1, 1]`."""
    side = int(size * CUT)
    first = (chance * (size + 1 - side % 2)).floor() - side // 2
    place = paddle.arange(size, dtype="float32").reshape([1, 1, size, 1])
    return ((place >= first) & (place < first + side)).astype("float32")
