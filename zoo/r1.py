"""R1: DCGAN's layers, and what the field has learnt since: one penalty. `python zoo/r1.py`; `--help` lists the flags.

The idea. D goes on pushing at the real images even where G draws them well. So the players circle round the solution
and never come to rest. Here D is held flat where it matters, at the real images. Near the solution that is enough for
the two to come to rest (Mescheder et al. 2018, arXiv 1801.04406, theorem 4.1).

The formulas (equations 1 and 9 there; sp is the softplus, s(x) D's raw score):

    D   min  E sp(-s(x)) + E sp(s(G(z))) + γ/2 E ‖∇s(x)‖²      over real images x
    G   min  E sp(-s(G(z)))                                    non-saturating

The penalty is computed in every fourth step and weighs four times as much there: the same on average, and much quicker
(Karras et al. 2019, arXiv 1912.04958, section 3.1, "lazy regularization").

What differs from the paper: DCGAN's two networks in place of residual ones, Adam, γ = 1, a higher learning rate.
`--norm none` is a D without BatchNorm, with biases and He initialisation; ours was behind (`docs/search.md`).

What to look at. `score_real` and `score_fake` stay near each other, where DCGAN's run apart. `penalty` is 0 in the
steps between; its mean over four steps is what D pays besides `loss_d`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.gan import GAN
from common.init import weights_init
from common.layers import Generator, score_layers
from common.losses import non_saturating
from common.settings import Count, Decay, Rate, Weight
from common.train import run
from zoo.wgan_gp import critic_layers

from paddle import Tensor, nn
from paddle.nn.functional import sigmoid


class R1(GAN):
    """DCGAN's generator, and a D that is held flat at real images.

    Args:
        learning_rate: Adam's step size, both networks
        beta1: Adam's first decay rate, both networks
        beta2: Adam's second decay rate, both networks
        norm: batch, the course's D, or none, one without BatchNorm but with biases
        penalty: γ, half of which weighs the squared slope of D at real images
        penalty_every: steps between penalties, each weighted by as many
        ema_decay: weight of the past in the moving average of G
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        norm: Literal["batch", "none"] = "batch",
        penalty: Weight = 1.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        generator = Generator().apply(weights_init)
        discriminator = critic_layers() if norm == "none" else nn.Sequential(*score_layers()).apply(weights_init)
        regularised = {"penalty": penalty, "penalty_every": penalty_every, "ema_decay": ema_decay}
        super().__init__(generator, discriminator, non_saturating, learning_rate, beta1, beta2, **regularised)

    def shown(self, scores: Tensor) -> Tensor:
        """Probabilities of logits."""
        return sigmoid(scores)


build = R1

if __name__ == "__main__":
    sys.exit(run("r1", build))
