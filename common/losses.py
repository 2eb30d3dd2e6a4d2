"""Losses as pairs of functions of D's scores. A family that differs from DCGAN in its loss alone says which pair."""

from __future__ import annotations

from typing import Callable, NamedTuple

import paddle
from paddle import Tensor
from paddle.nn.functional import softplus


class Loss(NamedTuple):
    """What the two players minimise. Scores are `[N, ...]`, of any sign and size; results are means over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # of the scores of real and of fake images
    generator: Callable[[Tensor], Tensor]  # of the scores of fake images


def to_targets(criterion: Callable[[Tensor, Tensor], Tensor], target: float = 1.0) -> Loss:
    """The pair of a criterion of (scores, targets), such as `nn.BCELoss()`: D pulls its scores of real images to
    `target` and those of fakes to 0, G those of fakes to 1. Goodfellow et al. 2014, arXiv 1406.2661, section 3; Mao et
    al. 2016, arXiv 1611.04076, equation 2."""

    def pull(scores: Tensor, to: float) -> Tensor:
        return criterion(scores, paddle.full_like(scores, to))

    return Loss(lambda real, fake: pull(real, target) + pull(fake, 0.0), lambda fake: pull(fake, 1.0))


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))) with D = σ(s): BCE of logits. Goodfellow et al. 2014, arXiv 1406.2661, eq. 1."""
    return softplus(-real).mean() + softplus(fake).mean()


def squares(real: Tensor, fake: Tensor) -> Tensor:
    """½ E (s(x) - 1)² + ½ E s(G(z))². Mao et al. 2016, arXiv 1611.04076, equation 9."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


non_saturating = Loss(cross_entropy, lambda fake: softplus(-fake).mean())  # -E log D(G(z)); arXiv 1406.2661, section 3
least_squares = Loss(squares, lambda fake: (fake - 1).square().mean() / 2)
