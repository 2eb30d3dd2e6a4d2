"""VAE-GAN: an autoencoder that D teaches what looks alike. `python zoo/vae_gan.py`; `--help` lists the flags.

The idea. An autoencoder maps an image x to a code z, and the code to an image x̃. The code is a bottleneck: what it
cannot hold is averaged over all that could be, for the mean has the least squared error of pixels: blur. D looks at
strokes, not at pixels: its middle layer D_l measures the error here, and its score drives the blur out. `--model
ae` and `--model vae` are the same layers without D, to compare with.

The formulas (Larsen et al. 2015, arXiv 1512.09300, section 2 and algorithm 1), s = D's logit, sp the softplus,
z = μ(x) + σ(x)·ε the code of x, x̃ = G(z), n ~ N(0, 1) noise; Σ over all numbers of an image, the mean over the batch:

    KL = -½ Σ (1 + log σ² - μ² - σ²)            how far the codes of x are from N(0, 1), from which one draws
    ae         min  ½ Σ (x - x̃)²                σ = 0: only μ is used
    vae        min  KL + ½ Σ (x - x̃)²           Kingma and Welling 2013, arXiv 1312.6114, equation 10
    vae-gan    encoder  min  KL + w R,   R = ½ Σ (D_l(x) - D_l(x̃))²
               decoder  min  γ R + (sp(-s(x̃)) + sp(-s(G(n)))) / 2
               D        min  sp(-s(x)) + (sp(s(x̃)) + sp(s(G(n)))) / 2

The balance. R sums 8,192 numbers and is some thousand times D's verdict. γ says how much it counts: with 0 G ignores
the codes, with a large one the blur stays. KL sums 100 numbers. With w = 1, as in the paper, R outweighs it: codes end
far from N(0, 1), and noise falls between them; w says how near they have to come.

What differs from the paper: DCGAN's networks, D_l after the second of four convolutions; Adam in place of RMSProp; D
moves first, then the encoder, then the decoder, where algorithm 1 moves them together; the non-saturating loss for the
decoder; the mean over both kinds of fakes, where the paper adds them up; w; a penalty on D's slope at real images. D
sees x, x̃ and G(n) as a batch each: as one, as in the authors' code, BatchNorm lets D win at once. Theirs also lets the
player rest who is too far ahead. Without w and the penalty: `--weight 1 --penalty 0 --learning-rate 0.0002`.

What to look at. Three pairs of rows: digits above their reconstructions; then two rows drawn from noise, which `ae`
was never taught. `commands.evaluate` measures reconstructions of unseen digits, and how far samples are from real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.game import Batch, Game, adams
from common.init import weights_init
from common.layers import LATENT_DIM, Generator, score_layers
from common.losses import non_saturating
from common.machine.convolutions import Conv2D
from common.penalty import lazily, steepness
from common.settings import Rate, Weight
from common.train import run
from zoo.shared.grids import in_turn
from zoo.shared.rows import answers, row

import numpy as np
import paddle
from paddle import Tensor, nn


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)), summed over a code, the mean over the batch."""
    return -(1 + log_variance - mean.square() - log_variance.exp()).sum() / 2 / mean.shape[0]


def error(a: Tensor, b: Tensor) -> Tensor:
    """½ Σ (a - b)², summed over an image, the mean over the batch."""
    return (a - b).square().sum() / 2 / a.shape[0]


class VAEGAN(Game):
    """An encoder, a decoder named `generator` since noise can be drawn from it, and, for `vae-gan`, D.

    Args:
        model: what is trained on the same layers: autoencoder, variational autoencoder, or that with D
        weight: w, of the reconstruction against the divergence in the encoder's loss; vae-gan only
        gamma: γ, of the reconstruction against D's verdict in the decoder's loss; vae-gan only
        learning_rate: Adam's step size, all networks
        penalty: γ of the gradient penalty R1, γ/2 times D's squared slope at real images; 0 is off
    """

    def __init__(
        self,
        model: Literal["ae", "vae", "vae-gan"] = "vae-gan",
        weight: Weight = 0.08,
        gamma: Weight = 1e-3,
        learning_rate: Rate = 5e-4,
        penalty: Weight = 1.0,
    ) -> None:
        self.model, self.weight, self.gamma, self.penalty = model, weight, gamma, penalty
        code = Conv2D(256, 2 * LATENT_DIM, kernel_size=4)  # 4x4 -> 1x1: μ and log σ²
        self.encoder = nn.Sequential(*score_layers()[:-1], code).apply(weights_init)
        self.generator = Generator().apply(weights_init)
        self.networks = {"encoder": self.encoder, "generator": self.generator}
        if model == "vae-gan":
            layers, self.chance = score_layers(), non_saturating.chance
            self.middle, self.end = (nn.Sequential(*part).apply(weights_init) for part in (layers[:5], layers[5:]))
            self.networks["discriminator"] = nn.Sequential(("middle", self.middle), ("end", self.end))
            players = self.networks
        else:
            self.scores, players = None, {"autoencoder": nn.LayerList([self.encoder, self.generator])}
        self.optimizers = adams(players, learning_rate, 0.5, 0.999)
        # The average's BatchNorm is measured on noise, which is not what the codes of `ae` look like.
        self.ema = None if model == "ae" else EMA(self.generator)

    def encode(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[N, 100, 1, 1]` of images, and their divergence from N(0, 1); 0 for `ae`, whose codes are exact."""
        mean, log_variance = self.encoder(x).chunk(2, axis=1)
        if self.model == "ae":
            return mean, paddle.zeros([])
        return mean + (log_variance / 2).exp() * noise, divergence(mean, log_variance)

    def decode(self, code: Tensor, noise: Tensor) -> list[Tensor]:
        """x̃ and G(n), one batch to the decoder: BatchNorm's running statistics are then those of its batches."""
        return self.generator(paddle.concat([code, noise])).chunk(2)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of images D's middle layer D_l, `[N, 128, 8, 8]`, and its logits, `[N, 1, 1, 1]`."""
        features = self.middle(x)
        return features, self.end(features)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D, then the encoder, then the decoder; without D the last two move as one."""
        x, noise, drawn = batch.images, batch.draw(self.latent), batch.draw(self.latent)
        if self.model != "vae-gan":
            with self.turn("autoencoder"):
                code, kl = self.encode(x, noise)
                wrong = error(self.generator(code), x)
                (wrong + kl).backward()
            return row(loss_a=wrong + kl, wrong=wrong, divergence=kl)

        with self.turn("discriminator"):
            code, _ = self.encode(x, noise)
            real, *fakes = (self.look(one)[1] for one in (x, *self.decode(code, drawn)))
            fake = paddle.concat(fakes)
            loss_d = non_saturating.discriminator(real, fake)
            loss_d.backward()
            penalty = lazily(lambda: steepness([*self.middle, *self.end], x), self.penalty, batch.step)

        with self.turn("encoder"):
            code, kl = self.encode(x, noise)
            wanted, _ = self.look(x)  # D has moved, so this holds for the decoder's turn too
            loss_e = kl + self.weight * error(self.look(self.decode(code, drawn)[0])[0], wanted)
            loss_e.backward()

        with self.turn("generator"):
            copies, made = self.decode(code.detach(), drawn)
            (features, verdict), (_, other_verdict) = self.look(copies), self.look(made)
            wrong = error(features, wanted)
            loss_g = self.gamma * wrong + non_saturating.generator(paddle.concat([verdict, other_verdict]))
            loss_g.backward()

        losses = {"loss_d": loss_d, "loss_e": loss_e, "loss_g": loss_g, "wrong": wrong, "divergence": kl}
        return row(**losses, penalty=penalty, **answers(real, fake))

    def latent_of(self, images: np.ndarray) -> np.ndarray:
        """The mean codes, `[N, 100, 1, 1]`."""
        return self.apply(self.encoder, images)[:, :LATENT_DIM]

    def reconstruct(self, images: np.ndarray) -> list[np.ndarray]:
        """Images `[N, 1, 32, 32]`, and what the decoder makes of their mean codes."""
        return [images, self.sample(self.latent_of(images))]

    def show(self, batch: Batch) -> np.ndarray:
        """Three rows of digits, each above a row of their reconstructions; then two rows drawn from noise."""
        copied = in_turn(*self.reconstruct(batch.images[:24].numpy()))
        return np.concatenate([copied, super().show(batch)[:16]])


build = VAEGAN

if __name__ == "__main__":
    sys.exit(run("vae_gan", build))
