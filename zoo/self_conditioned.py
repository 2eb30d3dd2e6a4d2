"""Self-conditioned GAN: CGAN, with labels that it finds itself. `python zoo/self_conditioned.py`; `--help` lists flags.

The idea. CGAN draws better than DCGAN, since D judges a digit among its like; but somebody has to label the images.
Here the computer sorts them. Stage I is an InfoGAN: ten categories in G₁'s noise, which Q reads off the picture, become
the ten digits. Then Q puts each real image into a category, and stage II is CGAN with these categories as labels.

The formulas (Liu et al. 2020, arXiv 2006.10728, section 3, with InfoGAN's Q in place of clusters), in logits s, sp the
softplus; c is a category, t shears a picture at random:

    stage I    M = -E log Q(c | t(G₁(z, c)))                                    what Q misreads
               D₁ and Q  min  E sp(-s(x)) + E sp(s(G₁(z, c))) + M               G₁  min  E sp(-s(G₁(z, c))) + M
    between    c(x) = argmax Q(c | x)                                           once, for every real image
    stage II   D₂  min  E sp(-s(x, c(x))) + E sp(s(G₂(z, c), c))                G₂  min  E sp(-s(G₂(z, c), c))

What differs from the paper: it clusters what D sees (k-means) and does so again and again while it trains; here the
categories are found once and stay. Stage I is `infogan.py` without the two numbers, stage II `cgan.py`, each with the
step size and the penalty on D's slope that were best there. After twelve epochs the Fréchet distance is
0.90 ± 0.17 (three seeds); DCGAN's, without labels, too, is 1.44 at best (`docs/search.md`, Z45, Z53 and run 30).

What to look at. The grid has a row for each category; while `stage` in `losses.csv` is 1, G₂ draws grey. `category` is
M, 0 in stage II. `commands.evaluate` says how well the categories are the digits, and whether G₂ draws what its
category stands for.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.data import CLASSES
from common.ema import EMA
from common.game import AT_ONCE, Batch, Yardstick, adams, on_device
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import LATENT_DIM, Generator, score_layers
from common.losses import non_saturating
from common.penalty import lazily, steepness
from common.settings import Count, Rate, Weight
from common.train import run
from zoo.shared.categories import from_any_on, likeliest, matched_share, sheared
from zoo.shared.digits import MEASURED
from zoo.shared.labels import Conditional, beside, hot
from zoo.shared.layers import dense
from zoo.shared.rows import answers, row

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import cross_entropy

# Of stage I, as in `infogan.py`: 0.1 of normal noise is as loud as its 0.17 of uniform noise.
FIRST = {"learning_rate": 1e-3, "penalty": 1.0, "noise_scale": 0.1, "shear": 0.5}


class Finder(nn.Layer):
    """D₁ and Q on the same layers."""

    def __init__(self) -> None:
        super().__init__()
        *trunk, last = score_layers()
        self.trunk = nn.Sequential(*trunk).apply(weights_init)
        last.apply(weights_init)
        self.reader = nn.Sequential(nn.Flatten(), *dense(256 * 4 * 4, 128, CLASSES, norm=True))
        self.real = last
        # How frequent each category is among the real images, once they are sorted; saved with the weights.
        shares = paddle.full([CLASSES], 1 / CLASSES)
        shares.name = "shares"  # in the file, where Paddle would write a number that it counts up
        self.register_buffer("shares", shares)

    def forward(self, x: Tensor) -> Tensor:
        """`x [N, 1, 32, 32]` in [-1, 1] to logits of "real", `[N, 1, 1, 1]`."""
        return self.real(self.trunk(x))

    def read(self, x: Tensor) -> Tensor:
        """The same to logits of the category, `[N, 10]`."""
        return self.reader(self.trunk(x))


class SelfConditioned(Conditional):
    """Networks for either stage, and one stage after the other.

    Args:
        first_updates: updates of stage I; all that follow are stage II's
        learning_rate: Adam's step size in stage II
        penalty: γ of stage II's gradient penalty R1, γ/2 times D's squared slope at real images; 0 is off
    """

    labelled = False
    condition = "code"
    chance = non_saturating.chance

    def __init__(self, first_updates: Count = 7500, learning_rate: Rate = 5e-4, penalty: Weight = 0.1) -> None:
        self.first_updates = self.judged_from = first_updates
        self.penalty = penalty
        self.first, self.finder = Generator(LATENT_DIM + CLASSES).apply(weights_init), Finder()
        self.generator = Generator(LATENT_DIM + CLASSES).apply(weights_init)
        self.discriminator = nn.Sequential(*score_layers(1 + CLASSES)).apply(weights_init)
        first = {"generator_1": self.first, "discriminator_1": self.finder}
        second = {"generator": self.generator, "discriminator": self.discriminator}
        self.networks = first | second
        self.optimizers = adams(first, FIRST["learning_rate"], 0.5, 0.999) | adams(second, learning_rate, 0.5, 0.999)
        self.ema = EMA(self.generator, begin=first_updates)
        self.found: Tensor | None = None  # the category of each real image, once stage II begins

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D of the stage, then G of the stage."""
        return self.find(batch) if batch.step < self.first_updates else self.use(batch)

    def find(self, batch: Batch) -> dict[str, Tensor]:
        """Stage I: D₁, with Q, tells real from fake and reads the category; then G₁ is to fool D₁ and to be read."""
        with self.turn("discriminator_1"):
            x, category = self.drawn(batch)
            real, fake = self.finder(batch.images), self.finder(x)
            loss_d = non_saturating.discriminator(real, fake)
            (loss_d + category).backward()
            slope = lambda: steepness([*self.finder.trunk, self.finder.real], batch.images)  # noqa: E731
            penalty = lazily(slope, FIRST["penalty"], batch.step)
        with self.turn("generator_1"):
            x, category = self.drawn(batch)
            loss_g = non_saturating.generator(self.finder(x))
            (loss_g + category).backward()
        return told(1, loss_d, loss_g, category, penalty, real, fake)

    def drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Pictures of G₁, and the cross entropy of the categories that Q reads off them, sheared at random."""
        z = batch.draw(lambda *drawn: from_any_on(self, *drawn))
        noise, c = z[:, :LATENT_DIM], z[:, LATENT_DIM:]
        x = self.first(paddle.concat([FIRST["noise_scale"] * noise, c], axis=1))
        read = self.finder.read(sheared(x, batch, FIRST["shear"]))
        return x, cross_entropy(read, c.flatten(1), soft_label=True)

    def use(self, batch: Batch) -> dict[str, Tensor]:
        """Stage II: D₂ tells real images with their categories from fakes with the same; then G₂ is asked again."""
        if self.found is None:
            self.found = self.sort(batch)
        y = hot(Batch((batch.data[0], self.found), batch.chosen, batch.rng, batch.step, batch.share).labels)
        with self.turn("discriminator"):
            fake = self.discriminator(beside(self.generator(self.ask(batch, y)), y))
            real = self.discriminator(beside(batch.images, y))
            loss_d = non_saturating.discriminator(real, fake)
            loss_d.backward()
            slope = lambda: steepness([lambda x: beside(x, y), *self.discriminator], batch.images)  # noqa: E731
            penalty = lazily(slope, self.penalty, batch.step)
        with self.turn("generator"):
            loss_g = non_saturating.generator(self.discriminator(beside(self.generator(self.ask(batch, y)), y)))
            loss_g.backward()
        return told(2, loss_d, loss_g, paddle.zeros([]), penalty, real, fake)

    def sort(self, batch: Batch) -> Tensor:
        """The category of each training image, `[M]`. Q no longer learns: after `--resume` they are the same."""
        order = np.random.default_rng(0).permutation(len(batch.data[0]))  # data may come class by class
        found = np.empty(len(order), np.int64)
        for chosen in np.array_split(order, -(-len(order) // AT_ONCE)):
            images = Batch(batch.data, chosen, batch.rng, share=lambda count: slice(count)).images
            found[chosen] = self.categories(images.numpy())
        shares = (np.bincount(found, minlength=CLASSES) / len(found)).astype(np.float32)
        self.finder.shares.set_value(shares)
        self.label_shares = tuple(shares.tolist())
        return on_device(found)

    def population(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """As `latent`, with categories as frequent as Q has found them."""
        self.label_shares = self.label_shares or tuple(self.finder.shares.tolist())  # what is published has no finder
        return super().population(rng, count)

    def categories(self, images: np.ndarray) -> np.ndarray:
        """The category `[N]` that Q reads from each image."""
        return likeliest(nn.Sequential(self.finder.trunk, self.finder.reader), images)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether the categories are the digits, among real images and among those of G₂."""
        real = reference.unseen[::2]
        digits = reference.see(real).classes  # in place of the labels, which it reads 99.3% right
        paddle.seed(0)  # the same floor each time
        shares = [matched_share(game.categories(real), digits) for game in (self, SelfConditioned())]
        drawn = reference.see(self.sample(self.latent(np.random.default_rng(0), MEASURED))).classes
        known = "share of unseen digits that Q puts into the category of their kind; floor: untrained; 0.85 wanted"
        own = f"share of {MEASURED:,} images that the judge reads as the digit of their category"
        return {
            "categories are digits": Yardstick(*shares, known),
            "obeys the category": Yardstick(matched_share(np.arange(MEASURED) % CLASSES, drawn), 0.1, own),
        }


def told(
    stage: int, loss_d: Tensor, loss_g: Tensor, category: Tensor, penalty: Tensor, real: Tensor, fake: Tensor
) -> dict[str, Tensor]:
    """A row of `losses.csv`."""
    losses = {"loss_d": loss_d, "loss_g": loss_g, "category": category, "penalty": penalty}
    return row(**losses, **answers(real, fake), stage=paddle.full([], float(stage)))


build = SelfConditioned

if __name__ == "__main__":
    sys.exit(run("self_conditioned", build))
