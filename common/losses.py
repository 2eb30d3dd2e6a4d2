"""Losses as pairs of functions of D's raw scores, and the game of two players that needs nothing else.

A family that differs from DCGAN in its loss alone says which pair; one that also differs in its networks gives those.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

from common.ema import EMA
from common.game import Batch, Game, adams

from paddle import Tensor, nn
from paddle.nn.functional import sigmoid, softplus


class Loss(NamedTuple):
    """What the two players minimise. Scores are `[N, ...]`, of any sign and size; results are means over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # of the scores of real and of fake images
    generator: Callable[[Tensor], Tensor]  # of the scores of fake images


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))) with D = σ(s): BCE of logits. Goodfellow et al. 2014, arXiv 1406.2661, eq. 1."""
    return softplus(-real).mean() + softplus(fake).mean()


def squares(real: Tensor, fake: Tensor) -> Tensor:
    """½ E (s(x) - 1)² + ½ E s(G(z))². Mao et al. 2016, arXiv 1611.04076, equation 9."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


def difference(real: Tensor, fake: Tensor) -> Tensor:
    """E s(G(z)) - E s(x). Arjovsky et al. 2017, arXiv 1701.07875, equation 3."""
    return fake.mean() - real.mean()


minimax = Loss(cross_entropy, lambda fake: -softplus(fake).mean())  # E log(1 - D(G(z))), which saturates
non_saturating = Loss(cross_entropy, lambda fake: softplus(-fake).mean())  # -E log D(G(z)); arXiv 1406.2661, section 3
least_squares = Loss(squares, lambda fake: (fake - 1).square().mean() / 2)
wasserstein = Loss(difference, lambda fake: -fake.mean())


class TwoPlayers(Game):
    """One update of D, then one of G, each on noise of its own.

    Args:
        generator: latent vectors to images.
        discriminator: images to raw scores.
        loss: the pair.
        learning_rate, beta1, beta2: Adam's, both networks.
        shown: what turns raw scores into those of `losses.csv`; `sigmoid` makes probabilities of logits.
    """

    def __init__(
        self,
        generator: nn.Layer,
        discriminator: nn.Layer,
        loss: Loss,
        learning_rate: float,
        beta1: float,
        beta2: float,
        shown: Callable[[Tensor], Tensor] = sigmoid,
    ) -> None:
        self.generator, self.discriminator, self.loss, self.shown = generator, discriminator, loss, shown
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.optimizers = adams(self.networks, learning_rate, beta1, beta2)
        self.ema = EMA(generator)

    def penalties(self, batch: Batch, fakes: Tensor) -> dict[str, Tensor]:
        """What D minimises besides the loss of its scores: 0-D tensors by name, columns of `losses.csv` too."""
        return {}

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One update of each player; the scores are those before D's."""
        noise_d, noise_g = batch.draw(self.latent), batch.draw(self.latent)
        with self.turn("discriminator"):
            fakes = self.generator(noise_d)
            real, fake = self.discriminator(batch.images), self.discriminator(fakes)
            penalties = self.penalties(batch, fakes)
            loss_d = sum(penalties.values(), self.loss.discriminator(real, fake))
            loss_d.backward()
        with self.turn("generator"):
            loss_g = self.loss.generator(self.discriminator(self.generator(noise_g)))
            loss_g.backward()
        scores = {"score_real": self.shown(real.detach()).mean(), "score_fake": self.shown(fake.detach()).mean()}
        shown = {name: penalty.detach() for name, penalty in penalties.items()}
        return {"loss_d": loss_d.detach(), "loss_g": loss_g.detach(), **shown, **scores}
