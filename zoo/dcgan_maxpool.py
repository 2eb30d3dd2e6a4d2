"""The notes' other DCGAN: 28x28, max-pooling, dense layers. `python zoo/dcgan_maxpool.py`; `--help` lists the flags.

The idea. The third lesson takes convolutions into the GAN as one takes them into a classifier: D pools, both networks
have dense layers, and G applies ReLU before BatchNorm. DCGAN's paper has strides in place of pooling and no hidden
dense layers (section 3), and its code ReLU after BatchNorm. Trained with the same loss it shows what those rules are
worth.

The formulas, s for D's raw score, σ the sigmoid:

    lsgan   D   min  ½ E (s(x) - 1)² + ½ E s(G(z))²          G   min  ½ E (s(G(z)) - 1)²
    bce     D   min  -E log σ(s(x)) - E log(1 - σ(s(G(z))))  G   min  -E log σ(s(G(z)))

(Mao et al. 2016, arXiv 1611.04076, equation 9; Goodfellow et al. 2014, arXiv 1406.2661.) z ~ U(-1, 1)⁹⁶.

What differs from the notes: D's update and G's each draw noise of their own, where the notes use one z for both;
Paddle's initialisation, D's first weights larger than PyTorch's. And two changes bring the Fréchet distance from 45 to
2.0 (`docs/search.md`): a penalty on D's slope at real images, for which max-pooling is taken in single steps
(`common/penalty.py`), and with it a larger step size. The notes, which name no step size, have neither:
`--penalty 0 --learning-rate 0.0003`.

What to look at. The notes' own game draws each digit well (its precision and recall were better than DCGAN's), but not
all as often. `commands.evaluate` shows the share of the rarest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Yardstick
from common.gan import GAN
from common.judging.reference import Reference
from common.losses import least_squares, non_saturating
from common.machine.activations import LeakyReLU, ReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose
from common.settings import Count, Decay, Rate, Weight
from common.train import run
from zoo.shared.digits import rarest_digit

from paddle import Tensor, nn
from paddle.nn.functional import sigmoid

NOISE = 96


def generator_layers() -> nn.Layer:
    """`[N, 96, 1, 1]` to images `[N, 1, 28, 28]` in [-1, 1]."""
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(NOISE, 1024), ReLU(), nn.BatchNorm1D(1024)),
        *(nn.Linear(1024, 7 * 7 * 128), ReLU(), nn.BatchNorm1D(7 * 7 * 128)),
        nn.Unflatten(1, [128, 7, 7]),
        *(Conv2DTranspose(128, 64, 4, stride=2, padding=1), ReLU(), nn.BatchNorm2D(64)),  # 7x7 -> 14x14
        *(Conv2DTranspose(64, 1, 4, stride=2, padding=1), nn.Tanh()),  # 14x14 -> 28x28
    )


def discriminator_layers() -> nn.Layer:
    """`[N, 1, 28, 28]` to raw scores `[N, 1]`."""
    return nn.Sequential(
        *(Conv2D(1, 32, 5), LeakyReLU(0.01), nn.MaxPool2D(2, 2)),  # 28x28 -> 24x24 -> 12x12
        *(Conv2D(32, 64, 5), LeakyReLU(0.01), nn.MaxPool2D(2, 2)),  # 12x12 -> 8x8 -> 4x4
        nn.Flatten(),
        *(nn.Linear(1024, 1024), LeakyReLU(0.01), nn.Linear(1024, 1)),
    )


class DCGANMaxPool(GAN):
    """The notes' networks with either of their losses.

    Args:
        loss: lsgan, squares with their ½, or bce, cross-entropy of the raw scores
    """

    image = (1, 28, 28)
    latent_dim = NOISE
    noise = "uniform"

    def __init__(
        self,
        loss: Literal["lsgan", "bce"] = "lsgan",
        learning_rate: Rate = 1e-3,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        penalty: Weight = 5.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        self.squares = loss == "lsgan"
        pair = least_squares if self.squares else non_saturating
        networks, rates = (generator_layers(), discriminator_layers()), (learning_rate, beta1, beta2)
        regularised = {"penalty": penalty, "penalty_every": penalty_every, "ema_decay": ema_decay}
        super().__init__(*networks, pair, *rates, **regularised)

    def shown(self, scores: Tensor) -> Tensor:
        """The raw scores of squares, probabilities of logits."""
        return scores if self.squares else sigmoid(scores)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether all digits are drawn."""
        return rarest_digit(self, reference)


build = DCGANMaxPool

if __name__ == "__main__":
    sys.exit(run("dcgan_maxpool", build))
