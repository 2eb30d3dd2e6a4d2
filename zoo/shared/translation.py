"""What families that translate between two domains have in common: their pictures, and how these are measured."""

from __future__ import annotations

from pathlib import Path

from common.game import Batch, Game, Yardstick
from common.judging.metrics import psnr
from common.judging.reference import Reference
from common.losses import least_squares
from zoo.shared.domains import Images, two_domains
from zoo.shared.grids import in_turn
from zoo.shared.readers import same, two_judges, unseen_pictures

import numpy as np
from paddle import nn


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
        return np.concatenate([in_turn(*triple) for triple in triples])

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether unseen digits stay what they are in the other domain."""
        read_a, read_b, right = two_judges(reference, self.domains)
        (a, digits_a), (b, digits_b) = unseen_pictures(reference, self.domains)
        there, home = self.to_b(a), self.to_a(b)

        share = "share of unseen digits read as what they are; floor: untranslated; more, and at least 0.9, wanted"
        own = f"the same by a judge of B, which gets {right:.3f} of B's own right"
        found = {
            "B to A keeps the digit": Yardstick(same(read_a(home), digits_b), same(read_a(b), digits_b), share),
            "A to B keeps the digit": Yardstick(same(read_b(there), digits_a), same(read_b(a), digits_a), own),
        }
        if self.domains not in ("digits", "colour"):  # where B has no one picture for each of A
            near = "PSNR of A's translations to their true ones, unseen in training; floor: untranslated, or B's mean"
            mean = np.broadcast_to(b.mean(axis=0), b.shape)
            found["A to B is true"] = Yardstick(psnr(b, there), max(psnr(b, a), psnr(b, mean)), near)
        return found


def in_one_colour(pictures: list[Images]) -> list[Images]:
    """Pictures with as many channels as those of them that have most: grey ones have the same in each."""
    most = max(images.shape[1] for images in pictures)
    return [images.repeat(most // images.shape[1], axis=1) for images in pictures]
