"""Who reads the digits in pictures of two domains."""

from __future__ import annotations

from typing import Callable

from common.game import Game
from common.judging.judge import Judge
from common.judging.reference import Reference, some
from zoo.shared.domains import Images, unseen_of

import numpy as np

MEASURED = 1000  # unseen digits that are translated, or pairs that are drawn
Reader = Callable[[Images], np.ndarray]


def unseen_pictures(reference: Reference, domains: str) -> tuple[tuple[Images, np.ndarray], ...]:
    """Pictures of A that no training saw, and what they are in B; each with the digits that are on them. These are what
    the judge reads in A, in place of labels: it is 99.3% right."""
    a = reference.unseen[::2]
    a = a[some(len(a), MEASURED)]
    digits = reference.see(a).classes
    b, others = unseen_of(domains, a, digits)
    return (a, digits), (b[:MEASURED], others[:MEASURED])


def in_grey(images: Images) -> Images:
    """The mean of the channels, which is all that the judges look at."""
    return images.mean(axis=1, keepdims=True)


def same(read: np.ndarray, digits: np.ndarray) -> float:
    """The share of pictures that were read as what they are."""
    return float((read == digits).mean())


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
