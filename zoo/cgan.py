"""CGAN: both players are told the label. `python zoo/cgan.py`; `--help` lists the flags.

The idea. DCGAN draws whichever digit the noise happens to mean. Here both players get the label y: G beside the noise,
as the digit it is asked for; D beside the image, and it is asked whether this is a real image *of that digit*. A fake
3 that was to be a 7 is as wrong as a blurred 7, so G has to obey.

The formulas (Mirza and Osindero 2014, arXiv 1411.1784, equation 2), in logits s = D(x, y), with sp the softplus:

    D   min  E sp(-s(x, y)) + E sp(s(G(z, y), y))        -log D and -log(1 - D)
    G   min  E sp(-s(G(z, y), y))                        non-saturating

`--parts three`: D also learns that a real image with a wrong label ȳ does not fit (Reed et al. 2016, arXiv 1605.05396,
algorithm 1); the second term becomes ½ [E sp(s(G(z, y), y)) + E sp(s(x, ȳ))]. `--heads two`: one head of D asks "does
it fit?", the other, without the label, "is it real?"; the terms of right and of wrong pairs are averaged.

What differs from the papers: DCGAN's networks. The label is one-hot: for G 10 more numbers beside the 100 of the noise,
for D 10 more channels beside the image, all 0 but one. The fakes have the labels of the real batch. A penalty on D's
slope by the image, at real ones, and a larger step size: after 8 to 12 epochs the Fréchet distance is 0.50 to 0.72,
by four runs (`docs/search.md`, Z37, Z47, Z48 and Z50); with 1.5 times the channels in G it is 0.46, and the recall is
close to that of real images (Z58: `--width 96 --epochs 12 --linear-decay`). With γ = 1, the best for DCGAN, D soon
answers about ½ to every image (Z36). Without a penalty: `--penalty 0 --learning-rate 0.0002`.

What to look at. The grid has a row for each digit. `commands.evaluate` lets the judge read 2,000 digits that were asked
for. One of your choice: `python -m commands.sample work/cgan --digit 7 --out seven.png`. `score_…` is the first head's
answer about the fit. Which variant learns the label first, `docs/cgan_variants.py` measures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.data import CLASSES
from common.game import Batch
from common.gan import GAN
from common.init import weights_init
from common.layers import DEEP, Generator, score_layers
from common.losses import non_saturating
from common.machine.activations import LeakyReLU
from common.machine.convolutions import Conv2D
from common.penalty import lazily, steepness
from common.settings import Channels, Decay, Range, Rate, Size, Weight
from common.train import run
from zoo.shared.labels import Conditional, beside, hot, wrong_labels
from zoo.shared.rows import answers, row

import paddle
from paddle import Tensor, nn
from paddle.nn.functional import softplus


class Discriminator(nn.Layer):
    """Images and labels to logits of "a real image of this digit"; or, with two heads, of "this digit" and, whatever
    the label, of "a real image"."""

    def __init__(self, heads: str, size: int, channels: int) -> None:
        super().__init__()
        self.heads = heads
        if heads == "one":
            self.dis = nn.Sequential(*score_layers(channels + CLASSES, size))
            return
        *trunk, last = score_layers(channels, size)
        self.trunk, self.real = nn.Sequential(*trunk), last
        self.fits = nn.Sequential(
            Conv2D(DEEP[size][-1] + CLASSES, 256, kernel_size=1, bias_attr=False),
            nn.BatchNorm2D(256),
            LeakyReLU(0.2),
            Conv2D(256, 1, kernel_size=4, bias_attr=False),  # 4x4 -> 1x1
        )

    def forward(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """`x [N, channels, size, size]` in [-1, 1] and one-hot `y [N, 10, 1, 1]` to logits `[N, 1, 1, 1]`s."""
        if self.heads == "one":
            return [self.dis(beside(x, y))]
        features = self.trunk(x)
        return [self.fits(beside(features, y)), self.real(features)]

    def steepness(self, x: Tensor, y: Tensor) -> Tensor:
        """E ‖∇s(x, y)‖² by the image, summed over the heads."""
        label = lambda x: beside(x, y)  # noqa: E731
        if self.heads == "one":
            return steepness([label, *self.dis], x)
        return steepness([*self.trunk, label, *self.fits], x) + steepness([*self.trunk, self.real], x)


class CGAN(Conditional, GAN):
    """A generator and a discriminator that both know the label.

    Args:
        parts: what D is shown: two, real images and fakes with their labels; three, also real ones with a wrong label
        heads: of D: one that answers all, or two, one for "does it fit the label?" and one for "is it real?"
        width: channels before G's last layer; each layer before that has twice as many
        size: height and width of the images
        channels: of the images: 1 grey, 3 colour; 3 is the default of --dataset cifar10 and folder
    """

    def __init__(
        self,
        parts: Literal["two", "three"] = "two",
        heads: Literal["one", "two"] = "one",
        learning_rate: Rate = 5e-4,
        beta1: Decay = 0.5,
        beta2: Decay = 0.999,
        penalty: Weight = 0.1,
        width: Annotated[int, Range(1, 1025)] = 64,
        size: Size = 32,
        channels: Channels = 1,
    ) -> None:
        generator = Generator(self.latent_dim + CLASSES, channels, size, width).apply(weights_init)
        discriminator, loss = Discriminator(heads, size, channels).apply(weights_init), non_saturating
        super().__init__(generator, discriminator, loss, learning_rate, beta1, beta2, penalty=penalty)
        self.three = parts == "three"

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D tells real images with their labels from fakes with theirs; then G is asked for the same labels again."""
        y = hot(batch.labels)

        with self.turn("discriminator"):
            fake = self.generator(self.ask(batch, y))
            real, wrong = self.discriminator(batch.images, y), self.discriminator(fake, y)
            if self.three:  # these are real: only the fit is wrong
                wrong = [*wrong, self.discriminator(batch.images, hot(wrong_labels(batch, self.classes)))[0]]
            loss_d = softplus(-paddle.concat(real)).mean() + softplus(paddle.concat(wrong)).mean()
            loss_d.backward()
            penalty = lazily(lambda: self.discriminator.steepness(batch.images, y), self.penalty, batch.step)

        with self.turn("generator"):
            fake = self.generator(self.ask(batch, y))
            loss_g = sum(non_saturating.generator(s) for s in self.discriminator(fake, y))
            loss_g.backward()

        return row(loss_d=loss_d, loss_g=loss_g, penalty=penalty, **answers(real[0], wrong[0]))


build = CGAN

if __name__ == "__main__":
    sys.exit(run("cgan", build))
