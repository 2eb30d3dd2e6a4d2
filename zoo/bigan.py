"""BiGAN: an encoder beside G, and D judges pairs. `python zoo/bigan.py`; `--help` lists the flags.

The idea. G makes a picture of a latent vector, but nothing leads back. Here an encoder E does, and D sees pairs: a real
picture with its code, (x, E(x)), or a latent vector with its picture, (G(z), z). Only if both sorts of pairs look alike
can D not tell them apart, and then E undoes G. No loss compares x with G(E(x)): likeness comes from the game alone.

The formulas (Donahue et al. 2016, arXiv 1605.09782, equation 3), in logits s = D(x, z), with sp the softplus:

    D        min  E sp(-s(x, E(x))) + E sp(s(G(z), z))
    G and E  min  E sp(s(x, E(x))) + E sp(-s(G(z), z))        the same, the two sorts of pairs swapped; in one step

What differs from the paper: Paddle's initialisation; no weight decay; the learning rate stays; images in [-1, 1].

What to look at. The grid has a row of originals, below it their reconstructions, and so on: at best another picture of
the same digit. `common.evaluate` measures that, and whether the nearest neighbour by code is the same digit, beside the
codes of a *random* encoder: those know it nearly as well, here as in the paper, so that figure alone shows nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.data import to_size
from common.ema import EMA
from common.gan import Batch, Game, Yardstick, adams
from common.losses import non_saturating
from common.machine.activations import LeakyReLU, ReLU
from common.settings import Decay, Rate
from common.train import run

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import sigmoid

if TYPE_CHECKING:
    from common.judging.reference import Reference  # scikit-learn behind it takes 1.4 s to import

PIXELS, CODE, HIDDEN = 784, 50, 1024


def normed(inputs: int, activation: nn.Layer) -> list[nn.Layer]:
    """A hidden layer with BatchNorm."""
    return [nn.Linear(inputs, HIDDEN, bias_attr=False), nn.BatchNorm1D(HIDDEN), activation]


def first() -> list[nn.Layer]:
    """The first layer of D and E: BatchNorm would hide from D how bright each pixel is in real and fake batches."""
    return [nn.Flatten(), nn.Linear(PIXELS, HIDDEN), LeakyReLU(0.2)]


def generator_layers() -> nn.Layer:
    """Latent vectors `[N, 50, 1, 1]` to images `[N, 1, 28, 28]`."""
    hidden = [*normed(CODE, ReLU()), *normed(HIDDEN, ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(HIDDEN, PIXELS), nn.Tanh(), nn.Unflatten(1, [1, 28, 28]))


def encoder_layers() -> nn.Layer:
    """Images `[N, 1, 28, 28]` to codes `[N, 50, 1, 1]`, in the range of latent vectors."""
    hidden = [*first(), *normed(HIDDEN, LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, CODE), nn.Tanh(), nn.Unflatten(1, [CODE, 1, 1]))


class Discriminator(nn.Layer):
    """Pairs of an image and a code to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(*first())
        self.judge = nn.Sequential(*normed(HIDDEN + CODE, LeakyReLU(0.2)), nn.Linear(HIDDEN, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """`x [N, 1, 28, 28]` in [-1, 1] and `z [N, 50, 1, 1]` to logits `[N, 1]`."""
        return self.judge(paddle.concat([self.look(x), z.flatten(1)], axis=1))


class BiGAN(Game):
    """A generator and an encoder against a discriminator of pairs.

    Args:
        learning_rate: Adam's step size, all networks
        beta1: Adam's first decay rate, all networks
        beta2: Adam's second decay rate, all networks
    """

    image = (1, 28, 28)
    latent_dim = CODE

    def __init__(self, learning_rate: Rate = 2e-4, beta1: Decay = 0.5, beta2: Decay = 0.999) -> None:
        self.generator, self.encoder, self.discriminator = generator_layers(), encoder_layers(), Discriminator()
        players = {"both": nn.LayerList([self.generator, self.encoder]), "discriminator": self.discriminator}
        self.networks = {name: getattr(self, name) for name in ("generator", "encoder", "discriminator")}
        self.optimizers = adams(players, learning_rate, beta1, beta2)
        self.ema = EMA(self.generator)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D tells the two sorts of pairs apart; then G and E together make each look like the other."""
        x, z_d, z_g = batch.images, batch.draw(self.latent), batch.draw(self.latent)
        with self.turn("discriminator"):
            real, fake = self.discriminator(x, self.encoder(x)), self.discriminator(self.generator(z_d), z_d)
            loss_d = non_saturating.discriminator(real, fake)
            loss_d.backward()
        with self.turn("both"):
            encoded, drawn = self.discriminator(x, self.encoder(x)), self.discriminator(self.generator(z_g), z_g)
            loss_g = non_saturating.discriminator(drawn, encoded)  # swapped
            loss_g.backward()
        values = {"loss_d": loss_d, "loss_g": loss_g, "score_real": sigmoid(real), "score_fake": sigmoid(fake)}
        return {name: value.detach().mean() for name, value in values.items()}

    def latent(self, rng: np.random.Generator, count: int, label: int | None = None) -> np.ndarray:
        """`[count, 50, 1, 1]`, uniform in [-1, 1)."""
        return rng.uniform(-1, 1, (count, CODE, 1, 1)).astype(np.float32)

    def show(self, batch: Batch) -> np.ndarray:
        """A row of originals, below it their reconstructions, and so on: `[64, 1, 28, 28]`."""
        x = batch.images[:32].numpy()
        again = self.sample(encode(self.encoder, x))
        return np.stack([x.reshape(4, 8, 784), again.reshape(4, 8, 784)], axis=1).reshape(64, *self.image)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether reconstructions are like their originals, and what codes know, a random encoder's beside them."""
        x, digits = to_size(reference.unseen, 28), reference.see(reference.unseen).classes  # no labels: 99.3 % right
        again = self.sample(encode(self.encoder, x))
        same = float((reference.see(again).classes == digits).mean())
        paddle.seed(0)  # the same floor each time
        neighbours = [same_as_neighbour(encode(one, x), digits) for one in (self.encoder, encoder_layers())]
        near = "mean distance of x to G(E(x)) over that of another image; below the floor wanted, the authors have 0.62"
        read = "share of unseen images in whose reconstruction the judge reads the same digit; at least 0.6 wanted"
        code = "share of unseen images whose nearest neighbour by code is the same digit; floor: a random encoder"
        return {
            "G(E(x)) is near x": Yardstick(relative_distance(x, again), 1.0, near),
            "G(E(x)) is the same digit": Yardstick(same, 0.1, read),
            "codes know the digit": Yardstick(*neighbours, code),
        }


@paddle.no_grad()
def encode(encoder: nn.Layer, x: np.ndarray) -> np.ndarray:
    """Codes `[N, 50, 1, 1]` of images `[N, 1, 28, 28]`; BatchNorm uses its running statistics."""
    encoder.eval()
    codes = encoder(paddle.to_tensor(x)).numpy()
    encoder.train()
    return codes


def relative_distance(x: np.ndarray, again: np.ndarray) -> float:
    """The mean distance of `x` to `again`, image by image, over that of each image's neighbour in `x`."""
    own, other = (np.linalg.norm((a - again).reshape(len(x), -1), axis=1).mean() for a in (x, np.roll(x, 1, axis=0)))
    return float(own / other)


def same_as_neighbour(codes: np.ndarray, digits: np.ndarray) -> float:
    """The share of every second image whose nearest neighbour by code among the others is the same digit."""
    from sklearn.neighbors import KNeighborsClassifier  # takes 1.4 s to import

    flat = codes.reshape(len(codes), -1)
    nearest = KNeighborsClassifier(1, algorithm="brute").fit(flat[::2], digits[::2])
    return float(nearest.score(flat[1::2], digits[1::2]))


build = BiGAN

if __name__ == "__main__":
    sys.exit(run("bigan", build))
