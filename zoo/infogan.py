"""InfoGAN: part of the noise can be read off the picture. `python zoo/infogan.py`; `--help` lists the flags.

The idea. Nothing says which of DCGAN's numbers means "which digit". Here twelve are a code, a category of ten and two
numbers, and a network Q reads it off the picture. G wants Q to be right, so the code must show, and the easiest way to
show ten categories is to draw ten digits. No label is ever seen.

The formulas (Chen et al. 2016, arXiv 1606.03657, equations 5 and 6), in logits s = D(x), with sp the softplus; c is the
category in z and u its two numbers, Q_c and Q_u what Q reads from G(z):

    M         = -E log Q_c(c) + 0.1 · E (Q_u - u)²            what Q misreads
    D and Q   min  E sp(-s(x)) + E sp(s(G(z))) + M
    G         min  E sp(-s(G(z))) + M                         non-saturating

The less is misread, the more the picture must tell about the code: their mutual information has a lower bound.

What differs from the paper: DCGAN's networks; a batch's categories come in turn; the numbers weigh a tenth of what they
do in openai/InfoGAN, ½ Σ (Q_u - u)². As there, Q stands on D's layers and moves in D's turn only. And three changes, by
which 88 to 92% of unseen digits come into the category of their kind (five seeds, four epochs): 60% without them, 76 to
82% without the last (six epochs; `docs/search.md`, Z32 and Z34).

- All but the category is quiet, of standard deviation 0.1 as in ClusterGAN (Mukherjee et al. 2018, arXiv 1809.03627).
  The paper's noise has twenty times the energy of the category, and along its two numbers a 4 became a 9.
- A penalty on D's slope, with D as quick as G.
- Q reads the category off pictures sheared at random, the numbers off the pictures as they are. Else two categories
  shared 4 and 9: one had the slanted ones, one the upright. Now a category cannot mean the slant, and a number can.
  Elastic-InfoGAN (Ojha et al. 2020, arXiv 1910.01112) changes real images for this.

Without: `--noise-scale 1 --shear 0 --penalty 0 --learning-rate-d 0.0002`.

What to look at. The grid has a row for each category; along it the first number grows from -1 to 1. `category` falls
from log 10 = 2.3, `numbers` from 1/3. `commands.evaluate` asks Q about G's digits and real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Batch, Yardstick, adams
from common.gan import GAN
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator, score_layers
from common.losses import non_saturating
from common.penalty import lazily, steepness
from common.settings import Decay, Rate, Weight
from common.train import run
from zoo.shared.categories import from_any_on, likeliest, matched_share, sheared
from zoo.shared.digits import MEASURED
from zoo.shared.labels import one_hots
from zoo.shared.layers import dense
from zoo.shared.rows import answers, row

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import cross_entropy, mse_loss

NOISE, CATEGORIES, NUMBERS = 62, 10, 2  # in a latent vector, in this order


class Quiet(Generator):
    """DCGAN's generator of noise and a code, to which all but the category is `scale` times as loud."""

    def __init__(self, scale: float) -> None:
        super().__init__(NOISE + CATEGORIES + NUMBERS)
        self.scale = scale

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, 74, 1, 1]` to images `[N, 1, 32, 32]` in [-1, 1]."""
        noise, category, numbers = z[:, :NOISE], z[:, NOISE:-NUMBERS], z[:, -NUMBERS:]
        return super().forward(paddle.concat([self.scale * noise, category, self.scale * numbers], axis=1))


def misread(read: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Of Q's readings `[N, 12]`: cross entropy of the category and mean squared error of the numbers in z."""
    c, u = z[:, NOISE:-NUMBERS].flatten(1), z[:, -NUMBERS:].flatten(1)
    return cross_entropy(read[:, :CATEGORIES], c, soft_label=True), mse_loss(read[:, CATEGORIES:], u)


class InfoGAN(GAN):
    """A generator, and a discriminator that also reads the code.

    Args:
        learning_rate: Adam's step size for G
        learning_rate_d: Adam's step size for D and Q
        noise_scale: what G multiplies the noise and the two numbers by; 1 as in the paper
        shear: Q reads the category off pictures sheared at random, by up to this slope; 0 as in the paper
    """

    latent_dim = NOISE
    noise = "uniform"
    condition = "code"

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        learning_rate_d: Rate = 1e-3,
        beta1: Decay = 0.5,
        noise_scale: Weight = 0.17,
        shear: Weight = 0.5,
        penalty: Weight = 1.0,
    ) -> None:
        self.shear = shear
        generator = Quiet(noise_scale).apply(weights_init)
        discriminator = nn.Sequential(*score_layers()).apply(weights_init)
        super().__init__(generator, discriminator, non_saturating, learning_rate, beta1, penalty=penalty)
        reads = dense(256 * 4 * 4, 128, CATEGORIES + NUMBERS, norm=True)
        self.reader = self.networks["reader"] = nn.Sequential(nn.Flatten(), *reads)
        lookers = nn.LayerList([discriminator, self.reader])
        self.optimizers |= adams({"discriminator": lookers}, learning_rate_d, beta1, 0.999)

    def look(self, x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of images `[N, 1, 32, 32]` D's logits `[N, 1, 1, 1]` and Q's reading `[N, 12]`: logits of c, then u."""
        seen = self.discriminator[:-1](x)
        read = self.reader(seen)
        if self.shear:
            category = self.reader(self.discriminator[:-1](sheared(x, batch, self.shear)))[:, :CATEGORIES]
            read = paddle.concat([category, read[:, CATEGORIES:]], axis=1)
        return self.discriminator[-1](seen), read

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D, with Q, tells real from fake and reads the code; then G is to fool D and to be read by Q."""
        z_d, z_g = (batch.draw(lambda *drawn: from_any_on(self, *drawn)) for _ in range(2))
        with self.turn("discriminator"):
            real, (fake, read) = self.discriminator(batch.images), self.look(self.generator(z_d), batch)
            category, numbers = misread(read, z_d)
            loss_d = non_saturating.discriminator(real, fake)
            (loss_d + category + 0.1 * numbers).backward()
            penalty = lazily(lambda: steepness(self.discriminator, batch.images), self.penalty, batch.step)
        with self.turn("generator"):
            fooled, read = self.look(self.generator(z_g), batch)
            category, numbers = misread(read, z_g)
            loss_g = non_saturating.generator(fooled)
            (loss_g + category + 0.1 * numbers).backward()
        codes = {"category": category, "numbers": numbers}
        return row(loss_d=loss_d, loss_g=loss_g, **codes, penalty=penalty, **answers(real, fake))

    def latent(self, rng: np.random.Generator, count: int, label: int | None = None) -> np.ndarray:
        """`[count, 74, 1, 1]`: noise, `label` or the categories in turn, one-hot, and numbers; all else in [-1, 1)."""
        drawn = rng.uniform(-1, 1, (count, NOISE + NUMBERS, 1, 1)).astype(np.float32)
        return np.concatenate([drawn[:, :NOISE], one_hots(count, label), drawn[:, NOISE:]], axis=1)

    def show(self, batch: Batch) -> np.ndarray:
        """A row for each category, `[80, 1, 32, 32]`; along it the first number goes from -1 to 1."""
        z = self.latent(batch.rng, 1).repeat(8 * CATEGORIES, axis=0)
        z[:, NOISE:-1, 0, 0] = np.c_[np.eye(CATEGORIES).repeat(8, axis=0), np.tile(np.linspace(-1, 1, 8), CATEGORIES)]
        return self.sample(z)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether Q reads the category that G drew, and whether the categories are the digits."""
        drawn, real = self.sample(self.latent(np.random.default_rng(0), MEASURED)), reference.unseen[::2]
        right = float((self.categories(drawn) == np.arange(MEASURED) % CATEGORIES).mean())
        digits = reference.see(real).classes  # in place of the labels, which it reads 99.3% right
        paddle.seed(0)  # the same floor each time
        shares = [matched_share(game.categories(real), digits) for game in (self, InfoGAN())]
        own = f"share of {MEASURED:,} digits of G whose category Q reads; at least 0.99 wanted"
        known = "share of unseen digits that Q puts into the category of their kind; floor: untrained; 0.85 wanted"
        return {"Q reads its code": Yardstick(right, 0.1, own), "categories are digits": Yardstick(*shares, known)}

    def categories(self, images: np.ndarray) -> np.ndarray:
        """The category `[N]` that Q reads from each image."""
        return likeliest(nn.Sequential(self.discriminator[:-1], self.reader), images)


build = InfoGAN

if __name__ == "__main__":
    sys.exit(run("infogan", build))
