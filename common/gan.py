"""The game of DCGAN and LSGAN."""

from __future__ import annotations

from typing import Annotated

from common.ema import EMA
from common.game import Batch, Game
from common.machine import processes
from common.penalty import steepness
from common.settings import Count, Decay, OptionalRate, Range, Rate, Weight

import paddle
from paddle import Tensor, nn
from paddle.optimizer import Adam


class GAN(Game):
    """A generator, a discriminator, a criterion and two Adam optimizers: one update of D, then one of G (Goodfellow et
    al. 2014, arXiv 1406.2661, algorithm 1 with k = 1, and the non-saturating generator loss of its section 3).

    Args:
        generator: `[N, 100, 1, 1]` to `[N, 1, 32, 32]` in [-1, 1].
        discriminator: `[N, 1, 32, 32]` to scores `[N, 1, 1, 1]`.
        criterion: (scores, targets of the same shape) to a scalar; targets are 1 for real, 0 for fake.
        learning_rate: Adam's step size, both networks
        beta1: Adam's first decay rate, both networks
        beta2: Adam's second decay rate, both networks
        learning_rate_d: Adam's step size for D, else --learning-rate (Heusel et al. 2017, arXiv 1706.08500)
        label_smoothing: D's target for real images is 1 less this (Salimans et al. 2016, arXiv 1606.03498, 3.4)
        penalty: γ, half of which weighs the squared slope of D at real images (arXiv 1801.04406); 0 is off
        penalty_every: steps between penalties, each weighted by as many (arXiv 1912.04958, section 3.1)
        ema_decay: weight of the past in the moving average of G; see `common/ema.py`
    """

    def __init__(
        self,
        generator: nn.Layer,
        discriminator: nn.Layer,
        criterion: nn.Layer,
        learning_rate: Rate = 2e-4,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        learning_rate_d: OptionalRate = None,
        label_smoothing: Annotated[float, Range(0, 0.5)] = 0.0,
        penalty: Weight = 0.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.criterion = criterion
        learning_rates = {"generator": learning_rate, "discriminator": learning_rate_d or learning_rate}
        self.optimizers = {
            name: Adam(rate, beta1, beta2, parameters=self.networks[name].parameters())
            for name, rate in learning_rates.items()
        }
        self.label_smoothing, self.penalty, self.penalty_every = label_smoothing, penalty, penalty_every
        self.ema = EMA(generator, ema_decay)
        self._targets: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def step(self, real: Tensor, noise_d: Tensor, noise_g: Tensor, penalised: bool = False) -> dict[str, Tensor]:
        """Update D on `real` against G(`noise_d`), then G on G(`noise_g`) through the updated D.

        Args:
            real: images `[N, 1, 32, 32]` in [-1, 1].
            noise_d, noise_g: latent vectors `[N, 100, 1, 1]` for D's and for G's half of the step.
            penalised: whether D's slope is punished in this step, which no column of `losses.csv` shows.

        Returns:
            0-D tensors, left on the device: `loss_d` = criterion(D(real), 1) + criterion(D(fake), 0) and the mean
            scores `score_real`, `score_fake` before D's update; `loss_g` = criterion(D(G(noise_g)), 1) after it, and
            `grad_g`, the norm of its gradient at G's last layer.
        """
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        ones, zeros, smooth = self._targets_for(real.shape[0])

        with self.turn("discriminator"):
            score_real, score_fake = discriminator(real), discriminator(generator(noise_d))
            loss_d = self.criterion(score_real, smooth) + self.criterion(score_fake, zeros)
            loss_d.backward()
            if penalised:
                (self.penalty_every * self.penalty / 2 * steepness(discriminator, real)).backward()

        with self.turn("generator"):
            loss_g = self.criterion(discriminator(generator(noise_g)), ones)
            loss_g.backward()
            # The layer that D's gradient reaches first; over all processes, since the turn averages at its end only.
            grad_g = processes.mean(generator.parameters()[-1].grad.detach()).norm()

        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            "grad_g": grad_g,
            "score_real": score_real.detach().mean(),
            "score_fake": score_fake.detach().mean(),
        }

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One `step` on the batch, with noise of its own for each half."""
        noise_d, noise_g = batch.draw(self.latent), batch.draw(self.latent)
        penalised = self.penalty > 0 and batch.step % self.penalty_every == 0
        return self.step(batch.images, noise_d, noise_g, penalised)

    def _targets_for(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Targets 1, 0 and D's for real images `[count, 1, 1, 1]`, made once for each batch size that occurs."""
        if count not in self._targets:
            values = 1.0, 0.0, 1 - self.label_smoothing
            self._targets[count] = tuple(paddle.full([count, 1, 1, 1], value) for value in values)
        return self._targets[count]
