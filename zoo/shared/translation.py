"""What families that translate between two domains have in common: their pictures, and who reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from common.game import Batch, Game, Yardstick
from common.judging.judge import Judge
from common.judging.metrics import psnr
from common.judging.reference import Reference
from common.losses import least_squares
from zoo.shared.domains import Images, two_domains, unseen_of

import numpy as np
from paddle import nn

MEASURED = 1000  # unseen digits that are translated


class Translation(Game):
    """A game that makes pictures of A into ones of B, and back.

    Attributes:
        domains: the name of B, see `zoo/shared/domains.py`; A is the data set.
        there, back: the networks that make pictures of A into ones of B, and of B into ones of A.
    """

    batches = 2  # one for each domain
    chance = 2 * least_squares.chance  # a discriminator for each, too
    power = least_squares.power
    domains: str
    there: nn.Layer
    back: nn.Layer

    def to_b(self, images: Images) -> Images:
        """What pictures of A `[N, 1, 32, 32]` are in B, `[N, C, 32, 32]`."""
        return self.apply(self.there, images)

    def to_a(self, images: Images) -> Images:
        """What pictures of B are in A."""
        return self.apply(self.back, images)

    def reconstruct(self, images: Images) -> list[Images]:
        """Pictures of A, their translations, the way back; all in colour where B is."""
        there = self.to_b(images)
        return in_one_colour([images, there, self.to_a(there)])

    def show(self, batch: Batch) -> Images:
        """Eight pictures of A, their translations, the way back, and eight more; then so from B: `[96, C, 32, 32]`."""
        a, b = (images[:16].numpy() for images in two_domains(batch, self.domains))
        home = self.to_a(b)
        triples = self.reconstruct(a), in_one_colour([b, home, self.to_b(home)])
        rows = [images[start : start + 8] for triple in triples for start in (0, 8) for images in triple]
        return np.concatenate(rows)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether unseen digits stay what they are in the other domain."""
        read_a, read_b, right = two_judges(reference, self.domains)
        a = reference.unseen[::2][:MEASURED]
        digits_a = read_a(a)
        b, digits_b = (part[:MEASURED] for part in unseen_of(self.domains, a, digits_a))
        there, home = self.to_b(a), self.to_a(b)

        share = "share of unseen digits read as what they are; floor: untranslated; at least 0.9 wanted"
        own = f"the same by a judge of B, which gets {right:.3f} of B's own right"
        found = {
            "B to A keeps the digit": Yardstick(same(read_a(home), digits_b), same(read_a(b), digits_b), share),
            "A to B keeps the digit": Yardstick(same(read_b(there), digits_a), same(read_b(a), digits_a), own),
        }
        if self.domains not in ("digits", "colour"):  # where B has no one picture for each of A
            near = "PSNR of A's translations to their true ones, which no training saw; floor: untranslated"
            found["A to B is true"] = Yardstick(psnr(b, there), psnr(b, a), near)
        return found


def in_one_colour(pictures: list[Images]) -> list[Images]:
    """Pictures with as many channels as those of them that have most: grey ones have the same in each."""
    most = max(images.shape[1] for images in pictures)
    return [images.repeat(most // images.shape[1], axis=1) for images in pictures]


def in_grey(images: Images) -> Images:
    """The mean of the channels, which is all that the judges look at."""
    return images.mean(axis=1, keepdims=True)


def same(read: np.ndarray, digits: np.ndarray) -> float:
    """The share of pictures that were read as what they are."""
    return float((read == digits).mean())


Reader = Callable[[Images], np.ndarray]


def reader(judge: Judge, images: Images, digits: np.ndarray) -> Reader:
    """A judge for a domain that the repository's cannot read: its convolutions, which look anywhere at strokes, and on
    50 principal components of what they see a support vector machine that has learnt this domain."""
    from sklearn.decomposition import PCA  # takes 1.4 s to import
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    def seen(images: Images) -> np.ndarray:
        return Game().apply(judge.body[:-4], in_grey(images)).reshape(len(images), -1)

    machine = make_pipeline(PCA(50, random_state=0), SVC(C=10)).fit(seen(images), digits)
    return lambda others: machine.predict(seen(others))


def two_judges(reference: Reference, domains: str) -> tuple[Reader, Reader, float]:
    """The repository's judge for A; one for B, taught on half of the unseen images; how much it gets right of others.

    What the first reads in unseen images of A is taken for what is on them; it is 99.3% right.
    """

    def read(images: Images) -> np.ndarray:
        return reference.see(in_grey(images)).classes

    taught, others = reference.unseen[1::2], reference.unseen[::2]
    read_b = reader(reference.judge, *unseen_of(domains, taught, read(taught), "train"))
    images, digits = unseen_of(domains, others, read(others))
    return read, read_b, same(read_b(images), digits)
