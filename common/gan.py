"""The game itself: one update of the discriminator, one of the generator (Goodfellow et al. 2014, arXiv 1406.2661,
algorithm 1 with k = 1, and the non-saturating generator loss of its section 3)."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.optimizer import Adam

from common.ema import EMA
from common.layers import LATENT_DIM


def on_device(array: np.ndarray) -> Tensor:
    """A copy of `array` as a tensor. Paddle 3.3's `to_tensor` keeps some 110 bytes of every call, which a long run of
    several calls a step would feel."""
    tensor = paddle.empty(array.shape, dtype=str(array.dtype))
    tensor.set_value(array)
    return tensor


class GAN:
    """A generator, a discriminator, a criterion and two Adam optimizers.

    The loop knows only `networks`, `optimizers`, `ema`, `update`, `distribute`, `latent` and `sample`; a family that
    needs more than a criterion of its own brings another class with these seven.

    Args:
        generator: `[N, 100, 1, 1]` to `[N, 1, 32, 32]` in [-1, 1].
        discriminator: `[N, 1, 32, 32]` to scores `[N, 1, 1, 1]`.
        criterion: (scores, targets of the same shape) to a scalar; targets are 1 for real, 0 for fake.
        learning_rate, beta1, beta2: Adam's, for both networks; the defaults are the DCGAN paper's.
        learning_rate_d: Adam's for D, where it is another (Heusel et al. 2017, arXiv 1706.08500).
        label_smoothing: D's target for real images is 1 less this (Salimans et al. 2016, arXiv 1606.03498, 3.4).
    """

    def __init__(
        self,
        generator: nn.Layer,
        discriminator: nn.Layer,
        criterion: nn.Layer,
        learning_rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        learning_rate_d: float | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.criterion = criterion
        learning_rates = {"generator": learning_rate, "discriminator": learning_rate_d or learning_rate}
        self.optimizers = {
            name: Adam(rate, beta1, beta2, parameters=self.networks[name].parameters())
            for name, rate in learning_rates.items()
        }
        self.label_smoothing = label_smoothing
        self.ema = EMA(generator)
        self._trained = self.networks  # the same networks; in several processes each in what averages its gradients
        self._targets: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def step(self, real: Tensor, noise_d: Tensor, noise_g: Tensor) -> dict[str, Tensor]:
        """Update D on `real` against G(`noise_d`), then G on G(`noise_g`) through the updated D.

        Args:
            real: images `[N, 1, 32, 32]` in [-1, 1].
            noise_d, noise_g: latent vectors `[N, 100, 1, 1]` for D's and for G's half of the step.

        Returns:
            0-D tensors, left on the device: `loss_d` = criterion(D(real), 1) + criterion(D(fake), 0) and the mean
            scores `score_real`, `score_fake` before D's update; `loss_g` = criterion(D(G(noise_g)), 1) after it, and
            `grad_g`, the norm of its gradient at G's last layer.
        """
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        trained_generator, trained_discriminator = self._trained["generator"], self._trained["discriminator"]
        ones, zeros, smooth = self._targets_for(real.shape[0])

        with paddle.no_grad():  # D's loss must not reach G: without a graph there is nothing to detach
            fake = generator(noise_d)
        score_real, score_fake = trained_discriminator(real), trained_discriminator(fake)
        loss_d = self.criterion(score_real, smooth) + self.criterion(score_fake, zeros)
        loss_d.backward()
        self._apply("discriminator")

        # D only passes the gradient on to G here. Its own weights' gradients would be thrown away: do not compute them.
        parameters = [p for p in discriminator.parameters() if not p.stop_gradient]
        for parameter in parameters:
            parameter.stop_gradient = True
        loss_g = self.criterion(discriminator(trained_generator(noise_g)), ones)
        loss_g.backward()
        grad_g = generator.parameters()[-1].grad.detach().norm()  # of the layer that D's gradient reaches first
        for parameter in parameters:
            parameter.stop_gradient = False
        self._apply("generator")

        return {
            "loss_d": loss_d.detach(),
            "loss_g": loss_g.detach(),
            "grad_g": grad_g,
            "score_real": score_real.detach().mean(),
            "score_fake": score_fake.detach().mean(),
        }

    def update(
        self, real: Tensor, rng: np.random.Generator, updates: int, part: slice = slice(None)
    ) -> dict[str, Tensor]:
        """One `step` on `real` with noise from `rng`, and one update of the average; `updates` are done before.

        `part` is what of the batch, images and noise alike, this process takes; the others take the rest.
        """
        noise_d, noise_g = (self.latent(rng, real.shape[0]) for _ in range(2))
        values = self.step(real[part], noise_d[part], noise_g[part])
        self.ema.update(updates)
        return values

    def distribute(self, sync_batchnorm: bool = False) -> None:
        """Average every gradient over all processes from here on. BatchNorm's statistics stay those of this process's
        part of a batch, unless `sync_batchnorm` (GPU only) takes them over all parts."""
        if sync_batchnorm:
            for network in self.networks.values():
                nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self._trained = {name: paddle.DataParallel(network) for name, network in self.networks.items()}

    def latent(self, rng: np.random.Generator, count: int) -> Tensor:
        """What `sample` turns into `count` images: here standard normal vectors `[count, 100, 1, 1]`."""
        return on_device(rng.standard_normal((count, LATENT_DIM, 1, 1), dtype=np.float32))

    @paddle.no_grad()
    def sample(self, z: Tensor, ema: bool = False) -> np.ndarray:
        """Images `[N, 1, 32, 32]`, float32 in [-1, 1], of the generator or of its moving average.

        BatchNorm uses its running statistics: an image depends on its own latent vector only, and drawing leaves no
        trace in the training.
        """
        generator = self.ema.network if ema else self.networks["generator"]
        was_training = generator.training
        generator.eval()
        images = generator(z).numpy()
        if was_training:
            generator.train()
        return images

    def _apply(self, name: str) -> None:
        self.optimizers[name].step()
        self.optimizers[name].clear_grad()

    def _targets_for(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Targets 1, 0 and D's for real images `[count, 1, 1, 1]`, made once for each batch size that occurs."""
        if count not in self._targets:
            values = 1.0, 0.0, 1 - self.label_smoothing
            self._targets[count] = tuple(paddle.full([count, 1, 1, 1], value) for value in values)
        return self._targets[count]
