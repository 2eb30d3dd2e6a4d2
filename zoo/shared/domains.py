"""Two domains from one set of digits, with no download: A, the digits as they are, and B, made of other digits.

Images are float32 `[N, C, 32, 32]` in [-1, 1]. A domain B is a function of grey images and of one random number in
[0, 1) for each of them, so that who has both has the same B again.
"""

from __future__ import annotations

import functools
from typing import Callable

from common import data
from common.game import Batch, on_device

import numpy as np
import scipy  # its parts load where they are used
from paddle import Tensor

Images = np.ndarray


def thickened(images: Images) -> Images:
    """Strokes one pixel wider on every side: the largest of the 3x3 neighbours."""
    return scipy.ndimage.grey_dilation(images, size=(1, 1, 3, 3), mode="constant", cval=-1)


def outlines(images: Images) -> Images:
    """The rim of each digit: the largest of the 3x3 neighbours less the pixel itself."""
    return thickened(images) - images - 1


def coloured(images: Images, chance: np.ndarray) -> Images:
    """Each digit in a full hue of its own, `[N, 3, 32, 32]`: 0 red, 1/3 green, 2/3 blue; black stays black."""
    away = np.abs((chance[:, None] - np.arange(3) / 3 + 0.5) % 1 - 0.5)  # from red, green, blue, round the circle
    light = np.clip(2 - 6 * away, 0, 1).astype(np.float32)
    return (images + 1) * light[:, :, None, None] - 1


@functools.lru_cache(maxsize=2)
def small_digits(part: str) -> tuple[Images, np.ndarray]:
    """scikit-learn's digits and their labels; a quarter is the part `test`, which no training here sees."""
    return data.load_labelled("digits", part)[:2]


def picked(images: Images, chance: np.ndarray) -> Images:
    """Other digits altogether: as many of scikit-learn's, 8x8 enlarged."""
    digits, _ = small_digits("train")
    return digits[(chance * len(digits)).astype(int)]


DOMAINS: dict[str, Callable[[Images, np.ndarray], Images]] = {
    "thick": lambda images, chance: thickened(images),
    "edge": lambda images, chance: outlines(images),
    "colour": coloured,
    "digits": picked,
    "invert": lambda images, chance: -images,
    "rotate": lambda images, chance: np.rot90(images, axes=(2, 3)).copy(),  # a quarter turn to the left
}


def one_each(rng: np.random.Generator, count: int) -> np.ndarray:
    """A number in [0, 1) for each of `count` images."""
    return rng.random(count, dtype=np.float32)


def two_domains(batch: Batch, name: str) -> tuple[Tensor, Tensor]:
    """Images of A, and of B made of others: the two halves of a batch, so that no pair is among them."""
    half, other = batch.split(2)
    return half.images, on_device(DOMAINS[name](other.images.numpy(), other.drawn(one_each)))


def unseen_of(name: str, images: Images, digits: np.ndarray, part: str = "test") -> tuple[Images, np.ndarray]:
    """What `images` are in domain B, and the digits that are on them."""
    if name == "digits":
        return small_digits(part)
    return DOMAINS[name](images, one_each(np.random.default_rng(0), len(images))), digits
