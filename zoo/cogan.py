"""CoGAN: two sorts of pictures from one noise, and no pair to learn from. `python zoo/cogan.py`; `--help` lists flags.

The idea. Two GANs, one for each domain, draw digits and edges of digits. On their own they would draw a 3 and the edge
of a 7 from one noise. Here both generators are one network but for the last layer, and both discriminators but for the
first: what is shared decides what is drawn, what each has of its own how it looks. So the noise that is a 3 in one
domain is a 3 in the other, though nobody ever showed that 3 and its edge together.

The formulas (Liu and Tuzel 2016, arXiv 1606.07536, section 3), s_A and s_B the logits of the two discriminators, G_A
and G_B the two generators on one noise z, sp the softplus:

    D_A, D_B   min  E sp(-s_A(a)) + E sp(s_A(G_A(z))) + E sp(-s_B(b)) + E sp(s_B(G_B(z)))
    G_A, G_B   min  E sp(-s_A(G_A(z))) + E sp(-s_B(G_B(z)))                                      non-saturating

What differs from the paper: DCGAN's networks; the images of the domains are the two halves of each batch; a penalty on
each D's slope at its real images and a larger step size, which bring the Fréchet distance from 25 to 2.0
(`docs/search.md`). The game alone: `--penalty 0 --learning-rate 0.0002`.

What to look at. In the grid, pairs side by side: A, B, A, B. `commands.evaluate` makes the B that belongs to each A, by
the rule that no training saw, and compares it with the B drawn. `commands.sample` and the Fréchet distance are of A.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Batch, Yardstick
from common.gan import GAN
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator, score_layers
from common.losses import non_saturating
from common.penalty import lazily, steepness
from common.settings import Decay, Rate, Weight
from common.train import run
from zoo.shared.domains import two_domains, unseen_of
from zoo.shared.grids import in_turn
from zoo.shared.readers import MEASURED, same, two_judges
from zoo.shared.rows import answers, row

import numpy as np
import paddle
from paddle import Tensor, nn


class Generators(nn.Layer):
    """Two generators: one network but for the last layers, `ends`."""

    def __init__(self) -> None:
        super().__init__()
        *shared, deconvolution, tanh = Generator().gen
        self.shared = nn.Sequential(*shared)
        self.ends = nn.LayerList([nn.Sequential(deconvolution, tanh), Generator().gen[-2:]])

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, 100, 1, 1]` to pictures of A, `[N, 1, 32, 32]`."""
        return self.pair(z)[0]

    def pair(self, z: Tensor) -> list[Tensor]:
        """Pictures of A and of B, from one noise."""
        drawn = self.shared(z)
        return [end(drawn) for end in self.ends]


class Discriminators(nn.Layer):
    """Two discriminators: one network but for the first convolutions, `begins`."""

    def __init__(self) -> None:
        super().__init__()
        first, *shared = score_layers()
        self.begins, self.shared = nn.LayerList([first, score_layers()[0]]), nn.Sequential(*shared)

    def forward(self, pictures: list[Tensor]) -> list[Tensor]:
        """Pictures of A and of B to the logits of each, `[N, 1, 1, 1]`."""
        return [self.shared(begin(x)) for begin, x in zip(self.begins, pictures)]

    def steepness(self, pictures: list[Tensor]) -> Tensor:
        """E ‖∇s_A(a)‖² + E ‖∇s_B(b)‖²."""
        return sum(steepness([begin, *self.shared], x) for begin, x in zip(self.begins, pictures))


class CoGAN(GAN):
    """A pair of generators against a pair of discriminators.

    Args:
        domains: what B is; A is the data set
    """

    batches = 2  # one for each domain

    def __init__(
        self,
        domains: Literal["edge", "thick", "invert", "rotate"] = "edge",
        learning_rate: Rate = 1e-3,
        beta1: Decay = 0.5,
        penalty: Weight = 1.0,
    ) -> None:
        networks = Generators().apply(weights_init), Discriminators().apply(weights_init)
        super().__init__(*networks, non_saturating, learning_rate, beta1, penalty=penalty)
        self.domains = domains

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Both discriminators on both domains; then both generators on one noise."""
        half, _ = batch.split(2)
        z_d, z_g = half.draw(self.latent), half.draw(self.latent)
        with self.turn("discriminator"):
            pictures = two_domains(batch, self.domains)
            real, fake = self.discriminator(pictures), self.discriminator(self.generator.pair(z_d))
            loss_d = sum(non_saturating.discriminator(*scores) for scores in zip(real, fake))
            loss_d.backward()
            penalty = lazily(lambda: self.discriminator.steepness(pictures), self.penalty, batch.step)
        with self.turn("generator"):
            loss_g = sum(non_saturating.generator(score) for score in self.discriminator(self.generator.pair(z_g)))
            loss_g.backward()
        scores = answers(paddle.concat(real), paddle.concat(fake))
        # As the scores, the mean over the domains: the health watch compares it with one discriminator's.
        return row(loss_d=loss_d / 2, loss_g=loss_g / 2, penalty=penalty / 2, **scores)

    def pairs(self, z: np.ndarray) -> list[np.ndarray]:
        """Pictures of A and of B from one noise, each `[N, 1, 32, 32]`."""
        return [self.apply(nn.Sequential(self.generator.shared, end), z) for end in self.generator.ends]

    def show(self, batch: Batch) -> np.ndarray:
        """A, B, A, B: 32 pairs side by side, `[64, 1, 32, 32]`."""
        return in_turn(*self.pairs(self.latent(batch.rng, 32)), count=1)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether what is drawn from one noise belongs together; the floors are a black picture and another's."""
        a, b = self.pairs(self.latent(np.random.default_rng(0), MEASURED))
        read_a, read_b, right = two_judges(reference, self.domains)
        wanted, digits = unseen_of(self.domains, a, read_a(a))
        black, other = np.full_like(b, -1), np.roll(b, 1, axis=0)
        (pixels, overlap), (few, _), (_, less) = (agreement(wanted, images) for images in (b, black, other))
        alike, floor, ceiling = (same(read_b(images), digits) for images in (b, other, wanted))
        ceiling = max(ceiling, 1 / len(a))  # a generator that draws nothing has none
        union = "white in both over white in either; floor: another's B; all black has 0"
        meaning = f"judges of A and of B, who gets {right:.3f} of B's own right, read the same; floor: another's B"
        of = f"the same over {ceiling:.3f}, what the judge of B reads alike in the B that belongs to A; 0.95 wanted"
        return {
            "pixels agree": Yardstick(pixels, few, "share of pixels as A's picture says, black or white; floor: black"),
            "strokes overlap": Yardstick(overlap, less, union),
            "read alike": Yardstick(alike, floor, meaning),
            "read alike, of what can be": Yardstick(alike / ceiling, floor / ceiling, of),
        }


def agreement(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The share of pixels that are white in both pictures or in none; those white in both over those white in any."""
    a, b = a > 0, b > 0
    return float((a == b).mean()), float((a & b).sum() / max((a | b).sum(), 1))


build = CoGAN

if __name__ == "__main__":
    sys.exit(run("cogan", build))
