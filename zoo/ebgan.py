"""EBGAN: D is an autoencoder, and its error is the energy. `python zoo/ebgan.py`; `--help` lists the flags.

The idea. D need not answer "real" or "fake". Here it is an autoencoder: it squeezes an image through a narrow code and
draws it again, and the error is the image's energy. D learns to draw real images well, energy near 0, and fakes badly,
up to a margin m beyond which it does not care; G learns to make images that D draws well. An autoencoder learns much
from real images alone, so D may be trained first.

The formulas (Zhao et al. 2016, arXiv 1609.03126, sections 2.1, 2.3 and 2.4), E(x) = mean (Dec(Enc(x)) - x)²:

    D   min  E(x) + max(0, m - E(G(z)))
    G   min  E(G(z)) + 0.1 · PT,   PT = mean over i ≠ j of cos²(Enc(G(zᵢ)), Enc(G(zⱼ)))

The repelling term PT keeps the fakes of a batch from having one code. m is in the unit of E. A larger one lets D win:
with m = 1 fakes stay grey patterns at the margin.

What differs from the paper: E is a mean of squares, theirs the norm ‖Dec(Enc(x)) - x‖; DCGAN's networks, its
discriminator's layers as the encoder, with a code of 32 numbers.

What to look at. `energy_real` falls, `energy_fake` is pushed up by D and pulled down by G. `commands.evaluate` asks
whether the energy knows digits: has an unseen one less of it than its mirror image? Ink, strokes and edges are the same
in both. An 8 may well be its own mirror image, so 1 is out of reach. The floor is the error of the best linear
autoencoder with as narrow a code (principal components).
"""

from __future__ import annotations

import copy
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.game import Batch, Game, Yardstick, adams
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator, score_layers
from common.machine.convolutions import Conv2D
from common.settings import Decay, Range, Rate, Weight
from common.train import run
from zoo.shared.rows import row

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import normalize, relu

CODE = 32  # numbers that an image has to go through


class Autoencoder(nn.Layer):
    """Images to codes and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*score_layers()[:-1], Conv2D(256, CODE, kernel_size=4))  # 4x4 -> 1x1
        self.decoder = Generator(latent_dim=CODE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x [N, 1, 32, 32]` to energies `[N]` and codes `[N, 32]`."""
        code = self.encoder(x)
        energy = (self.decoder(code) - x).square().mean(axis=[1, 2, 3])
        return energy, code.reshape([-1, CODE])


def repelling(codes: Tensor) -> Tensor:
    """The mean squared cosine between the codes `[N, 32]` of different images; 0 for a single one."""
    count = codes.shape[0]
    if count == 1:
        return paddle.zeros([])
    unit = normalize(codes, axis=1)
    cosines = paddle.matmul(unit, unit, transpose_y=True)
    return (cosines.square().sum() - count) / (count * (count - 1))  # less the diagonal, which is 1


class EBGAN(Game):
    """A generator and an autoencoder.

    Args:
        learning_rate: Adam's step size, both networks
        beta1: Adam's first decay rate, both networks
        margin: m, the energy beyond which D does not push fakes
        repel: weight of the repelling term
        alone: updates in which D learns from real images alone, before the game begins
    """

    scores = None  # energies have no scale

    def __init__(
        self,
        learning_rate: Rate = 2e-4,
        beta1: Decay = 0.5,
        margin: Weight = 0.1,
        repel: Weight = 0.1,
        alone: Annotated[int, Range(0, 1_000_000)] = 0,
    ) -> None:
        self.generator, self.discriminator = Generator().apply(weights_init), Autoencoder().apply(weights_init)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = adams(self.networks, learning_rate, beta1, 0.999)
        self.ema = EMA(self.generator, begin=alone)
        self.margin, self.weight = margin, repel
        self.alone = self.judged_from = alone

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D pushes the energy of real images down and that of fakes up to the margin; G pulls its own down."""
        noise_d, noise_g = batch.draw(self.latent), batch.draw(self.latent)
        begun, of_fakes = batch.step >= self.alone, self.of_fakes
        with self.turn("discriminator"):
            (real, _), (fake, _) = self.discriminator(batch.images), of_fakes(self.generator(noise_d))
            loss_d = real.mean() + begun * relu(self.margin - fake).mean()
            loss_d.backward()
        with self.turn("generator") if begun else paddle.no_grad():  # zeros would use up Adam's correction
            energy, codes = of_fakes(self.generator(noise_g))
            loss_g = energy.mean() + self.weight * repelling(codes)
            if begun:
                loss_g.backward()
        return row(loss_d=loss_d, loss_g=loss_g, energy_real=real, energy_fake=fake)

    @cached_property
    def of_fakes(self) -> Autoencoder:
        """D with the same weights, and BatchNorm statistics of its own: those of `discriminator` stay those of real
        images, or it would draw these worse than it can."""
        weights = {id(weight): weight for weight in self.discriminator.parameters() if not weight.stop_gradient}
        return copy.deepcopy(self.discriminator, weights)

    def reconstruct(self, images: np.ndarray) -> list[np.ndarray]:
        """Images `[N, 1, 32, 32]`, and what D draws of them."""
        return [images, self.apply(self.discriminator.decoder, self.apply(self.discriminator.encoder, images))]

    def energies(self, images: np.ndarray) -> np.ndarray:
        """E of each image, `[N]`."""
        return np.square(np.subtract(*self.reconstruct(images))).mean(axis=(1, 2, 3))

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether the energy knows digits from their mirror images."""
        digits = reference.unseen[::2]
        shares = [
            float((energy(digits) < energy(digits[..., ::-1].copy())).mean())
            for energy in (self.energies, linear(reference.unseen[1::2]))
        ]
        meaning = f"share of {len(digits):,} unseen digits that have less energy than their mirror images"
        floor = f"floor: the best linear autoencoder's, {CODE} numbers, too; 0.95 wanted"
        return {"digits, not mirror images": Yardstick(*shares, f"{meaning}; {floor}")}


def linear(known: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The energy of the best linear autoencoder of images `known [N, 1, 32, 32]`, with codes as long as here."""
    from sklearn.decomposition import PCA  # takes 1.4 s to import

    found = PCA(CODE, random_state=0).fit(known.reshape(len(known), -1))

    def energies(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1)
        return np.square(found.inverse_transform(found.transform(flat)) - flat).mean(axis=1)

    return energies


build = EBGAN

if __name__ == "__main__":
    sys.exit(run("ebgan", build))
