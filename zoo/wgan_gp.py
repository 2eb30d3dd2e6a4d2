"""WGAN-GP: the critic's slope is held at 1 by a penalty. `python zoo/wgan_gp.py`; `--help` lists the flags.

The idea. The critic f gives every image a number, without a Sigmoid, and tries to make the mean over real images as
much larger than the mean over fakes as it can. If f may rise by no more than 1 for each unit of distance between two
images (1-Lipschitz), the largest difference is the Wasserstein distance of the two sets: the least work that moves the
one onto the other. It shrinks steadily as the fakes come nearer, so that G always has a direction to go.

The formulas (Gulrajani et al. 2017, arXiv 1704.00028, equation 3 and algorithm 1):

    critic   min  E f(G(z)) - E f(x) + λ E (‖∇f(x̂)‖ - 1)²,   x̂ = αx + (1 - α)G(z),  α ~ U(0, 1) for each image
    G        min  -E f(G(z))

The best f has slope 1 nearly everywhere between the two sets, hence a penalty there, and to both sides of 1.

The critic has no BatchNorm, as in the paper: with it one image's slope would depend on the others
(`docs/seven-faults.md`, fault 6).

What differs from the paper: DCGAN's networks, with biases and He's initialisation in the critic; 32 images a move where
the authors' code for MNIST has 50; five times the paper's step size: as good after 2 epochs as the paper's after 8
(`docs/search.md`). The paper's: `--learning-rate 0.0001`.

What to look at. `distance` = E f(x) - E f(G(z)) falls as the pictures improve. So would a clock that runs down: over
nine epochs the rank correlation with the Fréchet distance is 0.93 for either; that of the changes from epoch to epoch
is 0.69 (`commands.evaluate`). `penalty` should stay small. `loss_g` alone means nothing: f has no zero.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.game import Batch, Game, Yardstick, adams
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator
from common.settings import Channels, Count, Decay, Rate, Size, Weight
from common.train import run
from zoo.shared.curves import loss_tells_quality
from zoo.shared.layers import critic_layers
from zoo.shared.rows import row
from zoo.shared.slopes import gradient_penalty, uniform

from paddle import Tensor


class WGANGP(Game):
    """A generator, a critic, and several moves of the critic for each of the generator.

    Args:
        learning_rate: Adam's step size, both networks
        beta1: Adam's first decay rate; 0 in the paper: the critic's slope changes too fast for a memory
        beta2: Adam's second decay rate
        critic_steps: moves of the critic for one of the generator, each on images of its own
        penalty: λ, the weight of the gradient penalty
        one_sided: punish slopes above 1 only, max(0, ‖∇f‖ - 1)²; the course notes have it without the square
        size: height and width of the images
        channels: of the images: 1 grey, 3 colour; 3 is the default of --dataset cifar10 and folder
    """

    scores = None  # the critic has no scale

    def __init__(
        self,
        learning_rate: Rate = 5e-4,
        beta1: Decay = 0.0,
        beta2: Decay = 0.9,
        critic_steps: Count = 5,
        penalty: Weight = 10.0,
        one_sided: bool = False,
        size: Size = 32,
        channels: Channels = 1,
    ) -> None:
        self.generator = Generator(size=size, out_channels=channels).apply(weights_init)
        self.critic, self.image = critic_layers(channels, size), self.generator.image
        self.networks = {"generator": self.generator, "critic": self.critic}
        self.optimizers = adams(self.networks, learning_rate, beta1, beta2)
        self.ema = EMA(self.generator)
        self.batches, self.weight, self.one_sided = critic_steps, penalty, one_sided

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Some moves of the critic, each on real images of its own, then one of G."""
        for part in batch.split(self.batches):
            with self.turn("critic"):
                real, fake = part.images, self.generator(part.draw(self.latent))
                loss_d = self.critic(fake).mean() - self.critic(real).mean()
                slope = gradient_penalty(self.critic, real, fake, part.draw(uniform), one_sided=self.one_sided)
                penalty = self.weight * slope
                (loss_d + penalty).backward()

        with self.turn("generator"):
            loss_g = -self.critic(self.generator(part.draw(self.latent))).mean()
            loss_g.backward()

        return row(loss_d=loss_d, loss_g=loss_g, distance=-loss_d, penalty=penalty)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether the critic's loss tells how good the pictures are."""
        return loss_tells_quality(run_dir)


build = WGANGP

if __name__ == "__main__":
    sys.exit(run("wgan_gp", build))
