"""InfoGAN: part of the noise is a code that can be read off the picture. `python zoo/infogan.py`; `--help` lists flags.

The idea. In DCGAN's 100 numbers nothing says "which digit" or "how slanted": G uses them as it likes. Here twelve of
them are a code, a category of ten and two numbers, and a third network Q looks at the picture and says what the code
was. G and Q want Q to be right, so the code must show in the picture, and the easiest way to show ten categories is
to draw ten digits. No label is ever seen.

The formulas (Chen et al. 2016, arXiv 1606.03657, equations 5 and 6), in logits s = D(x), with sp the softplus, c the
category and u the two numbers in z, and Q_c, Q_u what Q reads from G(z):

    I = -E log Q_c(c | G(z)) + 0.1 · E (Q_u(G(z)) - u)²        cross entropy and mean squared error
    D and Q   min  E sp(-s(x)) + E sp(s(G(z))) + I
    G         min  E sp(-s(G(z))) + I                          non-saturating

-I is, but for constants, the paper's lower bound on the mutual information of code and picture. Q is a second head on
D's layers. As in the authors' program (openai/InfoGAN) I is in the losses of both players, but Q's weights are D's to
move: G can only draw what Q understands better.

What differs from the paper: DCGAN's networks. The categories of a batch come in turn, not at random.

What to look at. The grid has a row for each category; from left to right the first number goes from -1 to 1, all else
is the same in all pictures. `category` falls from log 10 = 2.3 to nearly 0, `numbers` from 1/3, the variance of u.
`common.evaluate` asks Q for the category of digits of G and of real unseen ones. 4 and 9 often share a category.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.gan import AT_ONCE, Batch, Game, Yardstick
from common.init import weights_init
from common.layers import Generator, score_layers
from common.losses import non_saturating
from common.machine.activations import LeakyReLU
from common.machine.convolutions import Conv2D
from common.settings import Decay, Rate, Weight
from common.train import run

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import cross_entropy, mse_loss, sigmoid
from paddle.optimizer import Adam
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from common.judging.reference import Reference  # scikit-learn behind it takes 1.4 s to import

NOISE, CATEGORIES, NUMBERS = 62, 10, 2  # in a latent vector, in this order
MEASURED = 2000  # digits of G whose category Q reads


class Discriminator(nn.Layer):
    """D and Q: images to logits and to readings of the code."""

    def __init__(self) -> None:
        super().__init__()
        *trunk, score = score_layers()
        self.trunk, self.score = nn.Sequential(*trunk), score
        self.reader = nn.Sequential(
            Conv2D(256, 128, kernel_size=4, bias_attr=False),  # 4x4 -> 1x1
            nn.BatchNorm2D(128),
            LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(128, CATEGORIES + NUMBERS),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x [N, 1, 32, 32]` to D's logits `[N, 1, 1, 1]` and Q's reading `[N, 12]`: logits of the category, numbers."""
        seen = self.trunk(x)
        return self.score(seen), self.reader(seen)


class InfoGAN(Game):
    """A generator, and a discriminator that also reads the code.

    Args:
        learning_rate: Adam's step size for G
        learning_rate_d: Adam's step size for D and Q
        beta1: Adam's first decay rate, all networks
        beta2: Adam's second decay rate, all networks
        information: weight of I in both losses; with 0 it is DCGAN, and Q learns nothing
        continuous: weight of the two numbers in I
    """

    latent_dim = NOISE

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        learning_rate_d: Rate = 2e-4,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        information: Weight = 1.0,
        continuous: Weight = 0.1,
    ) -> None:
        self.generator = Generator(NOISE + CATEGORIES + NUMBERS).apply(weights_init)
        self.discriminator = Discriminator().apply(weights_init)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        rates = {"generator": learning_rate, "discriminator": learning_rate_d}
        self.optimizers = {
            name: Adam(rate, beta1, beta2, parameters=self.networks[name].parameters()) for name, rate in rates.items()
        }
        self.ema = EMA(self.generator)
        self.weight, self.share = information, continuous

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D, with Q, tells real from fake and reads the code of the fake; then G is to fool D and to be read by Q."""
        z_d, z_g = batch.draw(self.latent), batch.draw(self.latent)
        with self.turn("discriminator"):
            (real, _), (fake, read) = self.discriminator(batch.images), self.discriminator(self.generator(z_d))
            category, numbers = misread(read, z_d)
            loss_d = non_saturating.discriminator(real, fake) + self.weight * (category + self.share * numbers)
            loss_d.backward()
        with self.turn("generator"):
            fooled, read = self.discriminator(self.generator(z_g))
            category, numbers = misread(read, z_g)
            loss_g = non_saturating.generator(fooled) + self.weight * (category + self.share * numbers)
            loss_g.backward()
        values = {"loss_d": loss_d, "loss_g": loss_g, "category": category, "numbers": numbers}
        values |= {"score_real": sigmoid(real).mean(), "score_fake": sigmoid(fake).mean()}
        return {name: value.detach() for name, value in values.items()}

    def latent(self, rng: np.random.Generator, count: int, label: int | None = None) -> np.ndarray:
        """`[count, 74, 1, 1]`: noise, the category one-hot, two numbers; noise and numbers are uniform in [-1, 1).

        Args:
            label: the category; without one the categories come in turn.
        """
        drawn = rng.uniform(-1, 1, (count, NOISE + NUMBERS, 1, 1)).astype(np.float32)
        categories = np.arange(count) % CATEGORIES if label is None else np.full(count, label)
        ones = np.eye(CATEGORIES, dtype=np.float32)[categories][:, :, None, None]
        return np.concatenate([drawn[:, :NOISE], ones, drawn[:, NOISE:]], axis=1)

    def show(self, batch: Batch) -> np.ndarray:
        """A row for each category, `[80, 1, 32, 32]`; along it the first number goes from -1 to 1."""
        z = self.latent(batch.rng, 1).repeat(8 * CATEGORIES, axis=0)
        z[:, NOISE:-NUMBERS, 0, 0] = np.eye(CATEGORIES).repeat(8, axis=0)
        z[:, -NUMBERS, 0, 0] = np.tile(np.linspace(-1, 1, 8), CATEGORIES)
        return self.sample(z)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether Q reads the category that G drew, and whether the categories are the digits."""
        drawn = self.sample(self.latent(np.random.default_rng(0), MEASURED))
        right = float((categories_of(drawn, self.discriminator) == np.arange(MEASURED) % CATEGORIES).mean())
        unseen = reference.unseen[::2]  # not the first half: MNIST's is the easier one
        digits = reference.see(unseen).classes  # the labels are not at hand; the judge reads 99.3 % as they say
        paddle.seed(0)
        untrained = Discriminator().apply(weights_init)
        shares = [matched_share(categories_of(unseen, network), digits) for network in (self.discriminator, untrained)]
        own = f"share of {MEASURED:,} digits of G whose category Q reads; at least 0.99 wanted"
        real = (
            f"share of {len(unseen):,} unseen digits in the category matched to theirs; floor: Q untrained; 0.85 wanted"
        )
        return {
            "Q reads its code": Yardstick(right, 1 / CATEGORIES, own),
            "categories are digits": Yardstick(*shares, real),
        }


def misread(read: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """How far Q's reading `[N, 12]` is from the code in `z [N, 74, 1, 1]`: cross entropy of the category, mean squared
    error of the numbers."""
    code = z[:, NOISE:].flatten(1)
    category = cross_entropy(read[:, :CATEGORIES], code[:, :CATEGORIES], soft_label=True)
    return category, mse_loss(read[:, CATEGORIES:], code[:, CATEGORIES:])


@paddle.no_grad()
def categories_of(images: np.ndarray, discriminator: Discriminator) -> np.ndarray:
    """The category `[N]` that Q reads from each of the images `[N, 1, 32, 32]`."""
    discriminator.eval()
    parts = np.array_split(images, -(-len(images) // AT_ONCE))
    read = np.concatenate([discriminator(paddle.to_tensor(part))[1].numpy() for part in parts])
    discriminator.train()
    return read[:, :CATEGORIES].argmax(axis=1)


def matched_share(categories: np.ndarray, digits: np.ndarray) -> float:
    """The share of images `[N]` whose category is the one matched to their digit, one to one, as well as can be (the
    Hungarian method)."""
    counts = np.zeros((CATEGORIES, CATEGORIES), int)
    np.add.at(counts, (categories, digits), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(digits))


build = InfoGAN

if __name__ == "__main__":
    sys.exit(run("infogan", build))
