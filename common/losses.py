"""Losses as pairs of functions of D's scores. A family that differs from DCGAN in its loss alone says which pair."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import paddle
from paddle import Tensor
from paddle.nn.functional import softplus

LOG2 = math.log(2)  # the cross-entropy of an answer of ½, whatever the target


class Loss(NamedTuple):
    """What the two players minimise. Scores are `[N, ...]`, of any sign and size; results are means over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # of the scores of real and of fake images
    generator: Callable[[Tensor], Tensor]  # of the scores of fake images
    chance: float | None = None  # D's loss where it answers ½ to everything; None where ½ is no answer of its
    power: int = 1  # of a score that is far off, in D's loss: 2 for squares, 1 for the cross-entropy of a logit

    def halved(self) -> Loss:
        """The same pair, D's loss halved."""
        chance = None if self.chance is None else self.chance / 2
        return Loss(lambda real, fake: self.discriminator(real, fake) / 2, self.generator, chance, self.power)


def to_targets(criterion: Callable[[Tensor, Tensor], Tensor], target: float = 1.0) -> Loss:
    """The pair of a criterion of (scores, targets) to which ½ is undecided, such as `nn.BCELoss()`: D pulls its
    scores of real images to `target` and those of fakes to 0, G those of fakes to 1. Goodfellow et al. 2014, arXiv
    1406.2661, section 3; Mao et al. 2016, arXiv 1611.04076, equation 2."""

    def pull(scores: Tensor, to: float) -> Tensor:
        targets = paddle.full_like(scores, to)
        # Paddle's BCE raises at NaN, on a GPU beyond repair. The loop sees it in the scores, and ends the run in order.
        return criterion(paddle.where(paddle.isnan(scores), targets, scores), targets)

    undecided, wrong = paddle.full([1, 1, 1, 1], 0.5), paddle.zeros([1, 1, 1, 1])
    chance = (pull(undecided, target) + pull(undecided, 0.0)).item()
    power = 2 if pull(wrong, 1.0) == 4 * pull(undecided, 1.0) else 1  # twice as far off: four times as much
    return Loss(lambda real, fake: pull(real, target) + pull(fake, 0.0), lambda fake: pull(fake, 1.0), chance, power)


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))) with D = σ(s): BCE of logits. Goodfellow et al. 2014, arXiv 1406.2661, eq. 1."""
    return softplus(-real).mean() + softplus(fake).mean()


def squares(real: Tensor, fake: Tensor) -> Tensor:
    """½ E (s(x) - 1)² + ½ E s(G(z))². Mao et al. 2016, arXiv 1611.04076, equation 9."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


non_saturating = Loss(cross_entropy, lambda fake: softplus(-fake).mean(), 2 * LOG2)  # -E log D(G(z)); ibid., section 3
least_squares = Loss(squares, lambda fake: (fake - 1).square().mean() / 2, 1 / 4, power=2)
