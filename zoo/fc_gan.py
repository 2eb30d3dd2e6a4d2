"""The fully connected GAN of the course's first lesson. `python zoo/fc_gan.py`; `--help` lists the flags.

The idea. The first GANs of digits had no convolutions: an image is a row of 784 numbers, and both networks are plain
layers of weights. G makes 784 numbers out of 100 random ones, D makes one number out of 784. It is small, quick and
easy to follow, and it shows why DCGAN was needed: nothing tells it that neighbouring pixels belong together.

The formulas of the notes, o for D's answer and t for the target, 1 for real and 0 for fake:

    BCE(o, t) = -1/n Σ (t log o + (1 - t) log(1 - o))
    D   min  (BCE(D(x), 1) + BCE(D(G(z)), 0)) / 2
    G   min  BCE(D(G(z)), 1)

(Goodfellow et al. 2014, arXiv 1406.2661, equation 1, with the non-saturating loss of section 3.) Without a flag D ends
in a Sigmoid and the loss is `BCELoss`; with `--with-logits` D ends in the raw score and the Sigmoid is inside the
loss, which is exact where o would round to 0 or 1. The gradients are the same as long as it does not.

What differs from the paper: LeakyReLU in place of maxout and dropout, as in the notes, and Adam. The ½ changes nothing
but the weight of a penalty: Adam divides by the size of the gradient. Three changes make it draw (`docs/search.md`):
BatchNorm in G, a penalty on D's slope at real images (`common/penalty.py`), and five times DCGAN's step size. The
notes' own game, by Paddle's initialisation and DCGAN's step size, as they name none: `--norm none --penalty 0
--learning-rate 0.0002`.

What to look at. The pictures have specks, since each pixel is drawn on its own. `commands.evaluate` shows the share of
the rarest digit: without the changes this network draws the same few digits again and again.
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
from common.losses import non_saturating, to_targets
from common.settings import Count, Decay, Rate, Weight
from common.train import run
from zoo.shared.digits import rarest_digit
from zoo.shared.layers import dense

from paddle import Tensor, nn
from paddle.nn.functional import sigmoid


class FCGAN(GAN):
    """784 pixels and plain layers.

    Args:
        with_logits: leave D's raw score to the loss, as BCEWithLogitsLoss does, in place of a Sigmoid and BCELoss
        norm: batch, with BatchNorm in G, or none
    """

    image = (1, 28, 28)

    def __init__(
        self,
        with_logits: bool = False,
        norm: Literal["batch", "none"] = "batch",
        learning_rate: Rate = 1e-3,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        penalty: Weight = 1.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        pixels = dense(self.latent_dim, 128, 256, 512, 784, norm=norm == "batch")
        generator = nn.Sequential(nn.Flatten(), *pixels, nn.Tanh(), nn.Unflatten(1, [1, 28, 28]))
        verdict = [] if with_logits else [nn.Sigmoid()]
        discriminator = nn.Sequential(nn.Flatten(), *dense(784, 512, 256, 1), *verdict)
        loss = non_saturating if with_logits else to_targets(nn.BCELoss())
        regularised = {"penalty": penalty, "penalty_every": penalty_every, "ema_decay": ema_decay}
        super().__init__(generator, discriminator, loss.halved(), learning_rate, beta1, beta2, **regularised)
        self.with_logits = with_logits

    def shown(self, scores: Tensor) -> Tensor:
        """Probabilities."""
        return sigmoid(scores) if self.with_logits else scores

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether all digits are drawn."""
        return rarest_digit(self, reference)


build = FCGAN

if __name__ == "__main__":
    sys.exit(run("fc_gan", build))
