"""CycleGAN: two sorts of pictures, no pairs, a way there and back. `python zoo/cyclegan.py`; `--help` lists the flags.

The idea. G makes pictures of a domain A into ones of a domain B, and nobody has a pair to learn from. D_B knows what B
looks like, but any picture of B would please it, whatever went in. So F leads back to A, and what went in has to come
out: then the picture on the way must have kept what was in the first.

The formulas (Zhu et al. 2017, arXiv 1703.10593, equations 1 to 3, with the squares of its section 4), s_A and s_B the
scores of the two discriminators, a pictures of A, which is the data set, b of B, which is made of others (`--domains`):

    D_A, D_B   min  ½ E (s_A(a) - 1)² + ½ E s_A(F(b))² + ½ E (s_B(b) - 1)² + ½ E s_B(G(a))²
    G, F       min  E (s_B(G(a)) - 1)² + E (s_A(F(b)) - 1)² + 10 (E |F(G(a)) - a| + E |G(F(b)) - b|)
                    + identity · (E |G(b) - b| + E |F(a) - a|)           off by default; section 5.2 of the paper

What they do not say: which b belongs to an a. If G made every 3 an 8 and every 8 a 3, and F undid it, no term would be
higher, as long as there are as many of both. Which solution is found depends on what is easy for G:
`docs/permuted-classes.md`.

What differs from the paper: BatchNorm in place of InstanceNorm, which would take from a digit how thick it is; two
residual blocks; no store of 50 old fakes; batches of 32 and a constant step size, where theirs are of 1 and it falls. D
judges whole pictures, theirs each patch of 70x70 pixels; with `--patch 1` ours judges each of 16x16 (PatchGAN, Isola
et al. 2016, arXiv 1611.07004, section 3.2.2).

What to look at. Rows: pictures of A, what G makes of them, the way back, twice; then the same from B. For unseen ones:
`python -m commands.sample work/cyclegan --reconstruct --out back.png`. `commands.evaluate` has a judge read them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import UserError
from common.game import Batch, adams
from common.init import weights_init
from common.language import _
from common.layers import score_layers
from common.losses import least_squares
from common.machine.activations import ReLU
from common.machine.convolutions import Conv2DTranspose
from common.settings import Decay, Rate, Weight
from common.train import run
from zoo.shared.domains import two_domains
from zoo.shared.layers import Residual, convolution, patches
from zoo.shared.likeness import LIKENESS
from zoo.shared.rows import row
from zoo.shared.translation import Translation

import paddle
from paddle import Tensor, nn

WIDTH = 32  # channels after the first layer


def translator(in_channels: int, out_channels: int) -> nn.Sequential:
    """Pictures of one domain to the other: two layers down, 32x32 to 8x8, two residual blocks, two layers up."""
    inside = 2 * WIDTH
    return nn.Sequential(
        *[*convolution(in_channels, WIDTH, stride=2), ReLU(), *convolution(WIDTH, inside, stride=2), ReLU()],
        *[Residual(*convolution(inside, inside), ReLU(), *convolution(inside, inside)) for _ in range(2)],
        *[Conv2DTranspose(inside, WIDTH, 4, stride=2, padding=1, bias_attr=False), nn.BatchNorm2D(WIDTH), ReLU()],
        *[Conv2DTranspose(WIDTH, out_channels, 4, stride=2, padding=1), nn.Tanh()],
    )


class CycleGAN(Translation):
    """Two generators, which move as one, against two discriminators, which move as one.

    Args:
        domains: what B is; A is the data set
        patch: layers of stride 2 of a D that judges patches; 0: a D that judges whole pictures
        likeness: how the way back is compared with the picture it began with: l1 or l2
        cycle: weight of that comparison
        identity: weight of "G leaves alone what is in B already, F what is in A"; not for colour
        learning_rate: Adam's step size, all networks
        beta1: Adam's first decay rate, all networks
    """

    def __init__(
        self,
        domains: Literal["thick", "edge", "colour", "digits", "invert", "rotate"] = "edge",
        patch: Literal["0", "1", "2", "3"] = "0",
        likeness: Literal["l1", "l2"] = "l1",
        cycle: Weight = 10.0,
        identity: Weight = 0.0,
        learning_rate: Rate = 2e-4,
        beta1: Decay = 0.5,
    ) -> None:
        if identity and domains == "colour":
            raise UserError(_("--identity: G takes grey pictures, those of the domain colour have three channels"))
        self.domains, self.unlike = domains, LIKENESS[likeness]
        self.weight, self.identity = cycle, identity
        of_a, of_b = 1, 3 if domains == "colour" else 1  # channels
        self.g, self.f = translator(of_a, of_b), translator(of_b, of_a)
        self.there, self.back = self.g, self.f
        self.d_a, self.d_b = (
            patches(int(patch), channels) if int(patch) else nn.Sequential(*score_layers(channels))
            for channels in (of_a, of_b)
        )
        self.networks = {"g": self.g, "f": self.f, "discriminator_a": self.d_a, "discriminator_b": self.d_b}
        for network in self.networks.values():
            network.apply(weights_init)
        players = {"generators": [self.g, self.f], "discriminators": [self.d_a, self.d_b]}
        sides = {player: nn.LayerList(networks) for player, networks in players.items()}
        self.optimizers = adams(sides, learning_rate, beta1, 0.999)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Both generators, with the fakes of this update; then both discriminators, with the same ones."""
        a, b = two_domains(batch, self.domains)
        with self.turn("generators"):
            fake_b, fake_a = self.g(a), self.f(b)
            # Twice ½ (s - 1)²: against the paper's squares the cycle has the weight 10.
            fooled = [2 * least_squares.generator(score) for score in (self.d_b(fake_b), self.d_a(fake_a))]
            cycle = self.unlike(self.f(fake_b), a) + self.unlike(self.g(fake_a), b)
            same = self.unlike(self.g(b), b) + self.unlike(self.f(a), a) if self.identity else paddle.zeros([])
            loss_g = sum(fooled) + self.weight * cycle + self.identity * same
            loss_g.backward()
        with self.turn("discriminators"):
            real, fake = [self.d_a(a), self.d_b(b)], [self.d_a(fake_a.detach()), self.d_b(fake_b.detach())]
            loss_d = sum(least_squares.discriminator(*scores) for scores in zip(real, fake))
            loss_d.backward()
        scores = {"score_real": paddle.concat(real), "score_fake": paddle.concat(fake)}  # `row` takes their means
        return row(loss_d=loss_d, loss_g=loss_g, cycle=cycle, identity=same, **scores)


build = CycleGAN

if __name__ == "__main__":
    sys.exit(run("cyclegan", build))
