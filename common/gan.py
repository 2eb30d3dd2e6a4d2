"""The game of DCGAN, LSGAN and every family that differs from them in its networks or its loss alone."""

from __future__ import annotations

from typing import Annotated, Callable

from common.augment import augment as augmented
from common.augment import chances
from common.ema import EMA
from common.game import Batch, Game
from common.losses import Loss, to_targets
from common.machine import processes
from common.penalty import lazily, steepness
from common.settings import Count, Decay, OptionalRate, Range, Rate, Weight

from paddle import Tensor, nn
from paddle.optimizer import Adam


class GAN(Game):
    """A generator, a discriminator, a loss and two Adam optimizers: one update of D, then one of G (Goodfellow et
    al. 2014, arXiv 1406.2661, algorithm 1 with k = 1).

    Args:
        generator: latent vectors, `[N, 100, 1, 1]`, to images, `[N, C, H, W]` in [-1, 1], whose shape its `image` says.
        discriminator: images to scores, `[N, 1, 1, 1]`.
        criterion: (scores, targets of the same shape) to a scalar; targets are 1 for real, 0 for fake, and 1 for G's
            fakes, the non-saturating loss. Or a pair of losses.
        learning_rate: Adam's step size, both networks
        beta1: Adam's first decay rate, both networks
        beta2: Adam's second decay rate, both networks
        learning_rate_d: Adam's step size for D, else --learning-rate (Heusel et al. 2017, arXiv 1706.08500)
        label_smoothing: D's target for real images is 1 less this (Salimans et al. 2016, arXiv 1606.03498, 3.4); of a
            criterion only
        penalty: γ of the gradient penalty R1, γ/2 times D's squared slope at real images (arXiv 1801.04406); 0 is off
        penalty_every: steps between penalties, each weighted by as many (arXiv 1912.04958, section 3.1)
        ema_decay: weight of the past in the moving average of G; see `common/ema.py`
        augment: change what D sees at random, real and fake alike, for few images; see `common/augment.py`
    """

    def __init__(
        self,
        generator: nn.Layer,
        discriminator: nn.Layer,
        criterion: nn.Layer | Loss,
        learning_rate: Rate = 2e-4,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        learning_rate_d: OptionalRate = None,
        label_smoothing: Annotated[float, Range(0, 0.5)] = 0.0,
        penalty: Weight = 0.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
        augment: bool = False,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.image = getattr(generator, "image", self.image)
        self.loss = criterion if isinstance(criterion, Loss) else to_targets(criterion, 1 - label_smoothing)
        learning_rates = {"generator": learning_rate, "discriminator": learning_rate_d or learning_rate}
        self.optimizers = {
            name: Adam(rate, beta1, beta2, parameters=self.networks[name].parameters())
            for name, rate in learning_rates.items()
        }
        self.penalty, self.penalty_every = penalty, penalty_every
        self.chance, self.power = self.loss.chance, self.loss.power
        self.ema, self.augment = EMA(generator, ema_decay), augment

    def shown(self, scores: Tensor) -> Tensor:
        """What `losses.csv` shows of D's scores; a family makes probabilities of logits here."""
        return scores

    def penalties(self, batch: Batch, real: Tensor, fakes: Tensor) -> dict[str, Tensor]:
        """What D minimises besides the loss of its scores: 0-D tensors by name, the same names in every step, on each
        of which `backward` has been called. Here R1, in one step of `penalty_every`; nothing where `penalty` is 0.

        Args:
            batch: what this update is made of.
            real, fakes: the batch's images and G's, as D sees them, `[N, C, H, W]`.
        """
        if self.penalty == 0:
            return {}
        slope = lambda: steepness(self.discriminator, real)  # noqa: E731
        return {"penalty": lazily(slope, self.penalty, batch.step, self.penalty_every)}

    def step(
        self,
        real: Tensor,
        noise_d: Tensor,
        noise_g: Tensor,
        besides: Callable[[Tensor, Tensor], dict[str, Tensor]] = lambda real, fakes: {},
        seen: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> dict[str, Tensor]:
        """Update D on `real` against G(`noise_d`), then G on G(`noise_g`) through the updated D.

        Args:
            real: images `[N, C, H, W]` in [-1, 1].
            noise_d, noise_g: latent vectors `[N, 100, 1, 1]` for D's and for G's half of the step.
            besides: what D minimises besides, from the real images and the fakes; see `penalties`.
            seen: what D sees of images, whoever moves; see `augment`.

        Returns:
            0-D tensors, left on the device: `loss_d`, the loss of the scores, and `loss_g`; each penalty; `grad_g`, the
            norm of the gradient of G's last weights; the mean scores `score_real`, `score_fake` before D's update.
        """
        generator, discriminator = self.generator, self.discriminator
        with self.turn("discriminator"):
            real, fakes = seen(real), seen(generator(noise_d))
            score_real, score_fake = discriminator(real), discriminator(fakes)
            loss_d = self.loss.discriminator(score_real, score_fake)
            loss_d.backward()
            penalties = besides(real, fakes)

        with self.turn("generator"):
            loss_g = self.loss.generator(discriminator(seen(generator(noise_g))))
            loss_g.backward()
            # The layer that D's gradient reaches first; over all processes, since the turn averages at its end only.
            last = [p for p in generator.parameters() if len(p.shape) > 1 and not p.stop_gradient][-1]
            grad_g = processes.mean_over_processes(last.grad.detach()).norm()

        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            **penalties,
            "grad_g": grad_g,
            "score_real": self.shown(score_real.detach()).mean(),
            "score_fake": self.shown(score_fake.detach()).mean(),
        }

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One `step` on the batch, with noise of its own for each half."""
        noise_d, noise_g = batch.draw(self.latent), batch.draw(self.latent)
        besides = lambda real, fakes: self.penalties(batch, real, fakes)  # noqa: E731
        if not self.augment:
            return self.step(batch.images, noise_d, noise_g, besides)
        seen = lambda images: augmented(images, batch.draw(chances))  # noqa: E731
        return self.step(batch.images, noise_d, noise_g, besides, seen)
