"""BiGAN: an encoder beside G, and D judges pairs. `python zoo/bigan.py`; `--help` lists the flags.

The idea. G makes a picture of a latent vector, but nothing leads back. Here an encoder E does, and D sees pairs: a real
picture with its code, (x, E(x)), or a latent vector with its picture, (G(z), z). Only if both sorts of pairs look alike
can D not tell them apart, and then E undoes G. No loss compares x with G(E(x)): likeness comes from the game.

The formulas (Donahue et al. 2016, arXiv 1605.09782, equation 3), in logits s = D(x, z), with sp the softplus:

    D        min  mean sp(-s(x, E(x))) + mean sp(s(G(z), z))
    G and E  min  mean sp(s(x, E(x))) + mean sp(-s(G(z), z))       the same, the two sorts of pairs swapped; in one step

What differs from the paper: D has no BatchNorm, which hides how bright a batch is, and moves before G and E, not with
them; weights do not decay, nor does the rate without `--linear-decay`. Three changes make G(E(x)) the same digit as x
(`docs/search.md`): a penalty on D's slope at real pairs, five times the paper's step size, and E also learns to read z
from G(z), which moves E alone. (The paper's latent regressor does so in place of the game.) The game alone:
`--penalty 0 --regress 0 --learning-rate 0.0002`.

What to look at. The grid has rows of originals, below each their reconstructions: at best other pictures of the digits.
`commands.evaluate` measures that, and how well codes tell digits apart: a *random* encoder's do it about as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.game import Batch, Game, Yardstick, adams
from common.judging.reference import Reference
from common.losses import non_saturating
from common.penalty import lazily, steepness
from common.settings import Decay, Rate, Weight
from common.train import run
from zoo.shared.codes import known_by_neighbour
from zoo.shared.grids import in_turn
from zoo.shared.layers import dense
from zoo.shared.rows import answers, row

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import mse_loss

PIXELS, CODE, WIDTH = 784, 50, 1024


def pairs(x: Tensor, z: Tensor) -> Tensor:
    """What D judges: `x [N, 1, 28, 28]` and `z [N, 50, 1, 1]` in one row each, `[N, 834]`."""
    return paddle.concat([x.flatten(1), z.flatten(1)], axis=1)


class BiGAN(Game):
    """A generator and an encoder against a discriminator of pairs.

    Args:
        learning_rate: Adam's step size, all networks
        beta1: Adam's first decay rate, all networks
        penalty: γ of the gradient penalty R1, γ/2 times D's squared slope at real pairs; 0 is off
        regress: weight of E's error in reading z from G(z), which moves E alone; 0 is off
    """

    image = (1, 28, 28)
    latent_dim = CODE
    noise = "uniform"
    chance = non_saturating.chance

    def __init__(
        self, learning_rate: Rate = 1e-3, beta1: Decay = 0.5, penalty: Weight = 1.0, regress: Weight = 10.0
    ) -> None:
        drawn = [nn.Flatten(), *dense(CODE, WIDTH, WIDTH, PIXELS, norm=True), nn.Tanh(), nn.Unflatten(1, [1, 28, 28])]
        read = [nn.Flatten(), *dense(PIXELS, WIDTH, WIDTH, CODE, norm=True), nn.Tanh(), nn.Unflatten(1, [CODE, 1, 1])]
        self.generator, self.encoder = nn.Sequential(*drawn), nn.Sequential(*read)
        self.discriminator = nn.Sequential(*dense(PIXELS + CODE, WIDTH, WIDTH, 1))
        self.networks = {"generator": self.generator, "encoder": self.encoder, "discriminator": self.discriminator}
        self.ema, both = EMA(self.generator), nn.LayerList([self.generator, self.encoder])
        self.optimizers = adams({"both": both, "discriminator": self.discriminator}, learning_rate, beta1, 0.999)
        self.penalty, self.regress = penalty, regress

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D tells the two sorts of pairs apart; then G and E together make each look like the other."""
        x, z_d, z_g = batch.images, batch.draw(self.latent), batch.draw(self.latent)
        with self.turn("discriminator"):
            encoded, drawn = pairs(x, self.encoder(x)), pairs(self.generator(z_d), z_d)
            real, fake = self.discriminator(encoded), self.discriminator(drawn)
            loss_d = non_saturating.discriminator(real, fake)
            loss_d.backward()
            penalty = lazily(lambda: steepness(self.discriminator, encoded), self.penalty, batch.step)
        with self.turn("both"):
            images = self.generator(z_g)
            encoded, drawn = self.discriminator(pairs(x, self.encoder(x))), self.discriminator(pairs(images, z_g))
            loss_g = non_saturating.discriminator(drawn, encoded)  # swapped
            misread = paddle.zeros([])
            if self.regress:  # only then does E see fakes, and its BatchNorm with it
                misread = mse_loss(self.encoder(images.detach()), z_g)
            (loss_g + self.regress * misread).backward()
        return row(loss_d=loss_d, loss_g=loss_g, misread=misread, penalty=penalty, **answers(real, fake))

    def latent_of(self, images: np.ndarray) -> np.ndarray:
        """E(x), `[N, 50, 1, 1]`."""
        return self.apply(self.encoder, images)

    def reconstruct(self, images: np.ndarray) -> list[np.ndarray]:
        """x and G(E(x)), `[N, 1, 28, 28]`."""
        return [images, self.sample(self.latent_of(images))]

    def show(self, batch: Batch) -> np.ndarray:
        """A row of originals, below it their reconstructions, and so on: `[64, 1, 28, 28]`."""
        return in_turn(*self.reconstruct(batch.images[:32].numpy()))

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether reconstructions are like their originals, and what codes know, a random encoder's beside them."""
        x, digits = reference.unseen_at(28), reference.see(reference.unseen).classes  # no labels: 99.3% right
        paddle.seed(0)  # the same random encoder each time: the floor
        codes = [self.apply(game.encoder, x) for game in (self, BiGAN())]
        near = "mean distance of x to G(E(x)) over that of another image; below 1 wanted, the authors have 0.62"
        kind = "share of unseen digits whose nearest neighbour by code is of their kind"
        known = [known_by_neighbour(z[::2], digits[::2], z[1::2], digits[1::2]) for z in codes]
        return {
            "G(E(x)) is near x": Yardstick(*(relative_distance(x, self.sample(z)) for z in codes), near),
            "codes know the digit": Yardstick(*known, kind),
        }


def relative_distance(x: np.ndarray, again: np.ndarray) -> float:
    """The mean distance of `x` to `again`, image by image, over that of each image's neighbour in `x`."""
    own, other = (np.linalg.norm((a - again).reshape(len(x), -1), axis=1).mean() for a in (x, np.roll(x, 1, axis=0)))
    return float(own / other)


build = BiGAN

if __name__ == "__main__":
    sys.exit(run("bigan", build))
