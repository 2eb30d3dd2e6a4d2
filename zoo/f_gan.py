"""f-GAN: a GAN for each divergence. `python zoo/f_gan.py --divergence kl`; `--help` lists the flags.

The idea. DCGAN's D measures, at its best, a Jensen-Shannon divergence between real images and fakes. Any f-divergence

    D_f(P‖Q) = ∫ q(x) f(p(x) / q(x)) dx,   f convex, f(1) = 0

can take its place: with f*(t) = max_u (ut - f(u)), D_f(P‖Q) ≥ E_P T(x) - E_Q f*(T(x)) for every function T, equal for
the best one. So D is a T that makes the right side as large as it can, and G makes it small.

The formulas (Nowozin et al. 2016, arXiv 1606.00709, equations 4 and 6, table 2), v the raw score, T = g(v), where g
keeps T where f* is defined:

    D   min  -(E g(v(x)) - E f*(g(v(G(z)))))
    G   min  -E f*(g(v(G(z))))               the notes' loss, by --saturating
    G   min  -E g(v(G(z)))                   the default (section 3.2)

The first of G's losses is flat where D is sure of the fakes: for KL it is -e^(v-1). The paper therefore trains G on the
second, which has the same goal, as in `mm_ns.py`. For reverse KL it is the other way round: the first is 1 - v, never
flat, the second e^-v, far too steep; there `--saturating` is the better one.

What differs from the paper: DCGAN's networks; the exponentials of KL, reverse KL and Hellinger are cut off at e³⁰; a
penalty on D's slope and a larger step size, which bring the Fréchet distance with KL from 27 to 2.4
(`docs/search.md`). Without: `--penalty 0 --learning-rate 0.0002`.

What to look at. -loss_d is the estimate of the divergence: the less the better, but a D held flat estimates too little.
`docs/zoo_plots.py` shows it where the exact value is known: two Gaussians in one dimension.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Callable, Literal, NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.gan import GAN
from common.init import weights_init
from common.layers import Generator, score_layers
from common.losses import Loss
from common.settings import Count, Decay, Rate, Weight
from common.train import run

import numpy as np
from paddle import Tensor, nn
from paddle.nn.functional import softplus

LOG2 = float(np.log(2))
LIMIT = 30.0  # of what is exponentiated


def exp(v: Tensor) -> Tensor:
    """e^v, cut off before float32 overflows and the gradients with it."""
    return v.clip(max=LIMIT).exp()


class Divergence(NamedTuple):
    """One f: g(v), f*(g(v)), and the divergence of N(0, 1) from N(1, 1)."""

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    exact: float


DIVERGENCES = {
    "kl": Divergence(lambda v: v, lambda v: exp(v - 1), 0.5),
    "reverse-kl": Divergence(lambda v: -exp(-v), lambda v: v - 1, 0.5),
    "pearson": Divergence(lambda v: v, lambda v: v.square() / 4 + v, float(np.e) - 1),
    "hellinger": Divergence(lambda v: 1 - exp(-v), lambda v: exp(v) - 1, 2 - 2 * float(np.exp(-1 / 8))),
    "js": Divergence(lambda v: LOG2 - softplus(-v), lambda v: softplus(v) - LOG2, 0.2228),
    "gan": Divergence(lambda v: -softplus(-v), softplus, 0.2228 - 2 * LOG2),
}


@lru_cache
def loss_of(name: str, saturating: bool = False) -> Loss:
    """The pair of losses of a divergence."""
    activation, conjugate, _ = DIVERGENCES[name]
    followed = conjugate if saturating else activation
    return Loss(
        lambda real, fake: conjugate(fake).mean() - activation(real).mean(),
        lambda fake: -followed(fake).mean(),
    )


class FGAN(GAN):
    """DCGAN's networks on raw scores, with the losses of any of six divergences.

    Args:
        divergence: which f
        saturating: train G on the formula of the game
    """

    scores = None  # what D answers for real and for fake images depends on f

    def __init__(
        self,
        divergence: Literal["kl", "reverse-kl", "pearson", "hellinger", "js", "gan"] = "kl",
        saturating: bool = False,
        learning_rate: Rate = 5e-4,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        penalty: Weight = 1.0,
        penalty_every: Count = 4,
        ema_decay: Decay = 0.999,
    ) -> None:
        self.divergence = divergence
        networks = Generator().apply(weights_init), nn.Sequential(*score_layers()).apply(weights_init)
        regularised = {"penalty": penalty, "penalty_every": penalty_every, "ema_decay": ema_decay}
        super().__init__(*networks, loss_of(divergence, saturating), learning_rate, beta1, beta2, **regularised)

    def shown(self, scores: Tensor) -> Tensor:
        """T, whose mean over real images is the first term of the estimate."""
        return DIVERGENCES[self.divergence].activation(scores)


build = FGAN

if __name__ == "__main__":
    sys.exit(run("f_gan", build))
