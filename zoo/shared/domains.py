"""Two domains from one set of digits, with no download: A, the digits as they are, and B, made of other digits.

Images are float32 `[N, C, 32, 32]` in [-1, 1]. A domain B is a function of grey images and of one random number in
[0, 1) for each of them, so that who has both has the same B again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Callable

from common import data
from common.game import Batch, Yardstick, on_device
from zoo.ebgan import outlines

import numpy as np
from paddle import Tensor
from scipy.ndimage import grey_dilation

if TYPE_CHECKING:
    from common.judging.reference import Reference  # scikit-learn behind it takes 1.4 s to import

Images = np.ndarray
Translate = Callable[[Images], Images]


def thickened(images: Images) -> Images:
    """Strokes one pixel wider on every side: the largest of the 3x3 neighbours."""
    return grey_dilation(images, size=(1, 1, 3, 3), mode="constant", cval=-1)


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
    return half.images, on_device(DOMAINS[name](other.images.numpy(), other.draw(one_each).numpy()))


def unseen_of(name: str, images: Images, digits: np.ndarray, part: str = "test") -> tuple[Images, np.ndarray]:
    """What `images` are in domain B, and the digits that are on them."""
    if name == "digits":
        return small_digits(part)
    return DOMAINS[name](images, one_each(np.random.default_rng(0), len(images))), digits


def reader(images: Images, digits: np.ndarray) -> Callable[[Images], np.ndarray]:
    """A judge for a domain that the repository's cannot read: 50 principal components and a support vector machine."""
    from sklearn.decomposition import PCA  # takes 1.4 s to import
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    machine = make_pipeline(PCA(50, random_state=0), SVC(C=10)).fit(images.reshape(len(images), -1), digits)
    return lambda others: machine.predict(others.reshape(len(others), -1))


def two_judges(reference: Reference, name: str) -> tuple[Translate, Translate, float]:
    """The repository's judge for A; one for B, taught on half of the unseen images; how much it gets right of others.

    What the first reads in unseen images of A is taken for what is on them; it is 99.3 % right.
    """
    read = lambda images: reference.see(images).classes  # noqa: E731
    taught = reference.unseen[1::2]
    read_b = reader(*unseen_of(name, taught, read(taught), "train"))
    others = reference.unseen[::2]
    images, digits = unseen_of(name, others, read(others))
    return read, read_b, float((read_b(images) == digits).mean())


def yardsticks(reference: Reference, name: str, forth: Translate, back: Translate, count: int) -> dict[str, Yardstick]:
    """How well `count` unseen digits are translated to B by `forth` and to A by `back`."""
    from common.judging.metrics import psnr  # scikit-learn in that file takes 1.4 s to import

    read_a, read_b, right = two_judges(reference, name)
    a = reference.unseen[::2][:count]
    digits_a = read_a(a)
    b, digits_b = (part[:count] for part in unseen_of(name, a, digits_a))
    there, home = forth(a), back(b)
    again, mean = back(there), np.broadcast_to(a.mean(axis=0), a.shape)

    def same(read: Translate, images: Images, digits: np.ndarray) -> float:
        return float((read(images) == digits).mean())

    grey = b.mean(axis=1, keepdims=True)  # what doing nothing shows a judge of the other domain
    as_b = a.repeat(b.shape[1], axis=1)
    kept = "share of unseen digits read alike before and after; floor: untranslated; at least 0.9 wanted"
    own = f"the same by a judge of B, which gets {right:.3f} of B's own right"
    both = "PSNR of A to B to A in decibels; floor: the mean digit; 20 wanted"
    found = {
        "B to A keeps the digit": Yardstick(same(read_a, home, digits_b), same(read_a, grey, digits_b), kept),
        "A to B keeps the digit": Yardstick(same(read_b, there, digits_a), same(read_b, as_b, digits_a), own),
        "there and back": Yardstick(psnr(a, again), psnr(a, mean), both),
    }
    if name not in ("digits", "colour"):  # there B has no one image for each of A
        near = "PSNR of the translation to what B is made by, which no training saw; floor: untranslated"
        found["A to B is B's own"] = Yardstick(psnr(b, there), psnr(b, as_b), near)
    return found
