"""MM and NS: the two losses of G in the paper of 2014. `python zoo/mm_ns.py --loss mm`; `--help` lists the flags.

The idea. D minimises the cross-entropy in both. The formula of the game, minimax (MM), lets G minimise what D
maximises, E log(1 - D(G(z))). But at the start D is sure of every fake, D(G(z)) ≈ 0, and there this curve is flat: G
gets no gradient just when it needs one. The same paper therefore trains G on -E log D(G(z)), the non-saturating loss
(NS): the same goal, but steep where D is sure that an image is fake.

The formulas (Goodfellow et al. 2014, arXiv 1406.2661, equation 1 and section 3), for one fake of raw score s, D =
σ(s), sp the softplus:

    MM   log(1 - D) = -sp(s)     |dL/ds| = D         0 where D is sure of the fake
    NS   -log D     = sp(-s)     |dL/ds| = 1 - D     1 where D is sure of the fake

What differs from the paper: DCGAN's networks, on raw scores, since log(1 - σ(s)) is lost in float32 beyond |s| = 17; a
penalty on D's slope and a larger step size, which bring the Fréchet distance from 24 to 2.6 (`docs/search.md`).
Without: `--penalty 0 --learning-rate 0.0002`.

What to look at. While the players are balanced, D ≈ ½, the two losses train alike; the penalty keeps them so.
`commands.evaluate` shows how much of the gradient MM would leave G at the end of a run, which is D's mean answer to
fakes: after a run by NS with the penalty 0.44, without 0.03. NS leaves 1 less this.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Yardstick
from common.gan import GAN
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator, score_layers
from common.losses import Loss, cross_entropy, non_saturating
from common.settings import Count, Decay, Rate, Weight
from common.train import run

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import sigmoid, softplus

minimax = Loss(cross_entropy, lambda fake: -softplus(fake).mean(), non_saturating.chance)  # E log(1 - D(G(z)))
LOSSES = {"mm": minimax, "ns": non_saturating}


class MMNS(GAN):
    """DCGAN's networks on raw scores, with either loss of G.

    Args:
        loss: mm, minimax, or ns, non-saturating
    """

    def __init__(
        self,
        loss: Literal["mm", "ns"] = "ns",
        learning_rate: Rate = 1e-3,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        penalty: Weight = 1.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        networks = Generator().apply(weights_init), nn.Sequential(*score_layers()).apply(weights_init)
        regularised = {"penalty": penalty, "penalty_every": penalty_every, "ema_decay": ema_decay}
        super().__init__(*networks, LOSSES[loss], learning_rate, beta1, beta2, **regularised)

    def shown(self, scores: Tensor) -> Tensor:
        """Probabilities of logits."""
        return sigmoid(scores)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """How much of G's gradient is left with MM where the run ended, which is D's answer to fakes; with NS it is 1
        less this."""
        fakes = self.sample(self.latent(np.random.default_rng(0), 500))
        left = float(sigmoid(self.discriminator(paddle.to_tensor(fakes)).detach()).mean())
        meaning = "mean of |dL/ds| over 500 fakes; floor: D is sure of all; 0.5 where it cannot tell them"
        return {"gradient left, mm": Yardstick(left, 0.0, meaning)}


build = MMNS

if __name__ == "__main__":
    sys.exit(run("mm_ns", build))
