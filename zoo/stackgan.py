"""StackGAN: a rough small picture first, then a large one made from it. `python zoo/stackgan.py`; `--help` lists flags.

The idea. Two GANs share the work: stage I draws the digit that it is asked for with 16x16 pixels and gets the shape
right; stage II gets that picture and the label once more, and draws 32x32 pixels. It has no noise of its own: what to
draw is decided, and what is left is to mend faults and add detail.

The formulas (Zhang et al. 2016, arXiv 1612.03242, equations 3 to 6), y the label, D₁ and D₂ each stage's own, in
logits s, sp the softplus; x₁₆ is x with each 2x2 pixels averaged, p = G₁(z, y); ȳ a wrong label (in its text):

    stage I    D₁  min  E sp(-s(x₁₆, y)) + ½ [E sp(s(p, y)) + E sp(s(x₁₆, ȳ))]      G₁  min  E sp(-s(p, y))
    stage II   D₂  min  E sp(-s(x, y)) + ½ [E sp(s(G₂(p, y), y)) + E sp(s(x, ȳ))]   G₂  min  E sp(-s(G₂(p, y), y))

Stage I is trained first; then it is frozen, its BatchNorm too, and stage II is trained on what it draws.

What differs from the paper: a one-hot digit in place of a sentence's embedding and its augmentation; 16 and 32 pixels
in place of 64 and 256; DCGAN's networks, two residual blocks in G₂; the non-saturating loss of G, where the equations
have the game's own. And few epochs: after 800 updates of stage II the Fréchet distance of 2,000 samples is 4.5 to 5.8
(three seeds), after 1,750 it is 7.8, as each digit has fewer variants then. With a penalty on each D's slope at real
images and five times the step size it did not fall below 9 (8.8 of 10,000; one run each; `docs/search.md`, Z13, Z31,
Z51): `--penalty 1 --learning-rate 0.001`.

What to look at. The grid has a row for each digit: four times stage I, enlarged, and stage II beside it. `stage` in
`losses.csv` says whose losses these are; while it is 1, G₂ draws grey. `commands.evaluate` has the Fréchet distance of
stage I's pictures, enlarged by a rule (cubic interpolation, then more contrast), and of stage II's. Real digits made
16x16 lose little by that rule: it is not for detail that stage II is needed, it mends what stage I got wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.data import CLASSES
from common.ema import EMA
from common.game import Batch, Yardstick, adams
from common.init import weights_init
from common.judging.reference import Reference, some
from common.layers import LATENT_DIM, Generator, score_layers
from common.losses import non_saturating
from common.machine.activations import ReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose
from common.machine.processes import mean_over_processes
from common.penalty import lazily, steepness
from common.settings import Count, Rate, Weight
from common.train import run
from zoo.shared.digits import MEASURED
from zoo.shared.grids import in_turn
from zoo.shared.labels import Conditional, beside, hot, wrong_labels
from zoo.shared.layers import Residual, convolution
from zoo.shared.rows import answers, row

import numpy as np
import paddle
import scipy  # its parts load where they are used
from paddle import Tensor, nn
from paddle.nn.functional import avg_pool2d


class Stack(nn.Layer):
    """G₁, `first`, and G₂, `second`, with the encoder and the decoder around the label."""

    def __init__(self) -> None:
        super().__init__()
        begin = Generator(LATENT_DIM + CLASSES).gen[:6]  # 1x1 -> 8x8
        end = Conv2DTranspose(128, 1, kernel_size=4, stride=2, padding=1, bias_attr=False)  # 8x8 -> 16x16
        self.first = nn.Sequential(begin, end, nn.Tanh())

        encoder = nn.Sequential(*convolution(1, 64), ReLU(), *convolution(64, 128, stride=2), ReLU())  # 16x16 -> 8x8
        blocks = [Residual(*convolution(128, 128), ReLU(), *convolution(128, 128)) for _ in range(2)]
        end = Generator().gen[6:]  # 8x8 -> 32x32
        decoder = nn.Sequential(*convolution(128 + CLASSES, 128), ReLU(), *blocks, end)
        self.second = nn.LayerList([encoder, decoder])

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, 110, 1, 1]`, noise and label, to images `[N, 1, 32, 32]` in [-1, 1]."""
        encoder, decoder = self.second
        return decoder(beside(encoder(self.first(z)), z[:, LATENT_DIM:]))


class StackGAN(Conditional):
    """G₁ and G₂ in `generator`, a discriminator for each, and one stage after the other.

    Args:
        first_updates: updates of stage I; all that follow are stage II's
        learning_rate: Adam's step size, all networks
        penalty: γ of the gradient penalty R1, γ/2 times each D's squared slope at real images; 0 is off
    """

    chance = non_saturating.chance

    def __init__(self, first_updates: Count = 2000, learning_rate: Rate = 2e-4, penalty: Weight = 0.0) -> None:
        self.first_updates = self.judged_from = first_updates
        self.penalty = penalty
        self.generator = Stack()
        small = [*score_layers(1 + CLASSES)[:5], Conv2D(128, 1, kernel_size=4, bias_attr=False)]  # 16x16 -> 1x1
        large = score_layers(1 + CLASSES)
        discriminators = {"discriminator_1": nn.Sequential(*small), "discriminator_2": nn.Sequential(*large)}
        self.networks = {"generator": self.generator, **discriminators}
        for network in self.networks.values():
            network.apply(weights_init)
        stages = {"generator_1": self.generator.first, "generator_2": self.generator.second}
        self.optimizers = adams({**discriminators, **stages}, learning_rate, 0.5, 0.999)
        self.ema = EMA(self.generator)  # with `begin` at stage II it was worse (docs/search.md, Z45)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """D of the stage tells real from drawn; then its G is asked for the same labels again."""
        y = hot(batch.labels)
        if batch.step == self.first_updates:  # of several processes, each has statistics of its own until here
            for statistic in (p for p in self.generator.first.parameters() if p.stop_gradient):
                statistic.set_value(mean_over_processes(statistic))
        if batch.step < self.first_updates:
            stage, generator, x = 1, self.generator.first, avg_pool2d(batch.images, 2)
        else:
            stage, generator, x = 2, self.generator, batch.images
            self.generator.first.eval()  # BatchNorm's statistics are frozen, too
        discriminator = self.networks[f"discriminator_{stage}"]

        def drawn() -> Tensor:
            return beside(generator(self.ask(batch, y)), y)

        with self.turn(f"discriminator_{stage}"):
            real, fake = discriminator(beside(x, y)), discriminator(drawn())
            misfit = discriminator(beside(x, hot(wrong_labels(batch, self.classes))))
            loss_d = non_saturating.discriminator(real, paddle.concat([fake, misfit]))
            loss_d.backward()
            penalty = lazily(lambda: steepness([lambda x: beside(x, y), *discriminator], x), self.penalty, batch.step)

        with self.turn(f"generator_{stage}"):
            loss_g = non_saturating.generator(discriminator(drawn()))
            loss_g.backward()

        losses = {"loss_d": loss_d, "loss_g": loss_g, "penalty": penalty}
        return row(**losses, **answers(real, fake), stage=paddle.full([], float(stage)))

    def begin(self, z: np.ndarray) -> np.ndarray:
        """What stage I draws from latent vectors `[N, 110, 1, 1]`, enlarged: `[N, 1, 32, 32]`."""
        return enlarged(self.apply(self.generator.first, z))

    def show(self, batch: Batch) -> np.ndarray:
        """A row for each digit, `[8 * classes, 1, 32, 32]`: four times stage I and, from the same noise, stage II."""
        z = np.concatenate([self.latent(batch.rng, 4, digit) for digit in range(self.classes)])
        return in_turn(self.begin(z), self.sample(z), count=1)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether stage II draws better than a rule enlarges stage I, and the digit that it is asked for."""
        z, real = self.latent(np.random.default_rng(0), MEASURED), reference.unseen
        small = avg_pool2d(paddle.to_tensor(real[some(len(real), MEASURED)]), 2).numpy()
        small, first = smoothly_enlarged(small), smoothly_enlarged(self.apply(self.generator.first, z))
        best, one, two = (reference.distance(reference.see(x)) for x in (small, first, self.sample(z)))
        what = f"Fréchet distance of {MEASURED:,}"
        return {
            "stage I": Yardstick(one, best, f"{what} enlarged by a rule; of {len(small):,} real ones so: the floor"),
            "stage II": Yardstick(two, one, f"{what}; floor: stage I, enlarged by a rule; less is wanted"),
            **super().measure(reference, run_dir),
        }


def enlarged(pictures: np.ndarray) -> np.ndarray:
    """`[N, 1, 16, 16]` as `[N, 1, 32, 32]`, every pixel four times."""
    return pictures.repeat(2, axis=2).repeat(2, axis=3)


def smoothly_enlarged(pictures: np.ndarray) -> np.ndarray:
    """The same by cubic interpolation and half as much contrast again, which was best of several rules on real ones."""
    # One by one: over all axes at once it would interpolate between pictures, too, with 16 times the work.
    smooth = [scipy.ndimage.zoom(picture, 2, order=3, mode="nearest", grid_mode=True) for (picture,) in pictures]
    return np.clip(1.5 * np.stack(smooth)[:, None], -1, 1)


build = StackGAN

if __name__ == "__main__":
    sys.exit(run("stackgan", build))
