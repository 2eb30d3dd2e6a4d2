"""WGAN: a critic whose weights are clipped. `python zoo/wgan.py`; `--help` lists the flags.

The idea. The critic f says how real an image is, without a Sigmoid, and makes the mean over real images as much larger
than that over fakes as it can. Were f free it would make the difference infinite; if it may rise by no more than 1 for
each unit of distance between two images, the largest difference is the Wasserstein distance of the two sets, which
shrinks steadily as the fakes come nearer. To keep f from rising too fast, all its weights are cut back to [-c, c]
after each step: then f rises at most so and so fast, how fast nobody knows.

The formulas (Arjovsky et al. 2017, arXiv 1701.07875, equation 3, algorithm 1):

    critic   min  E f(G(z)) - E f(x),   then w ← clip(w, -c, c)
    G        min  -E f(G(z))

What differs from the paper: DCGAN's networks of the course; 32 images a move where algorithm 1 has 64; ten times its
step size, and two moves of the critic where it has five. With a step size that decays the Fréchet distance is 45 ± 3
after 1,872 updates (three seeds), 41 after 5,616 (`docs/search.md`, Z26 to Z28, Z38, Z51). As in the paper:
`--learning-rate 0.00005 --critic-steps 5`. From the authors' code: there the critic moves 100 times for each of the
first 25 updates of G, and at every 500th.

With the gradient penalty R1 (`--penalty 1 --clip 0.1`) it is 8.1 ± 0.4 after as many updates (three seeds, Z52, Z53).
Then it is not the clip that bounds the critic: 0.5% of the weights lie at its edge, and after an epoch c = 1000 is as
good. The penalty does what the clip was for.

What to look at. `distance` = E f(x) - E f(G(z)) falls at first, while the pictures improve. Later it tells little
(`commands.evaluate`): over eight epochs the rank correlation with the Fréchet distance is 0.21, that of a clock 0.57.
With `--linear-decay` it rose instead, perhaps because a critic of smaller steps comes nearer to its own best. With the
penalty it fell again, though not better than a clock: 1.0, 0.8 and 0.8 by three seeds, and a clock has 1.0.
Its unit is its own and no constant: of Gaussians ½, 1 and 2 apart it says 1.42, 1.30 and 1.14 times the distance
(c = 0.1, `docs/zoo_plots.py`). The authors of WGAN-GP hold that a clipped critic is too simple a function, since many
weights end at -c or c. Here 62% are there from the first clip on, as they begin with a standard deviation of 2c, and
35% after four epochs that decay (58% after twelve). `wgan_gp.py` does without the clip.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.ema import EMA
from common.game import Batch, Game, Yardstick
from common.init import weights_init
from common.judging.reference import Reference
from common.layers import Generator, score_layers
from common.penalty import lazily, steepness
from common.settings import Count, Range, Rate, Weight
from common.train import run
from zoo.shared.curves import loss_tells_quality
from zoo.shared.rows import row

import paddle
from paddle import Tensor, nn
from paddle.optimizer import RMSProp


@paddle.no_grad()
def clip_weights(critic: nn.Layer, limit: float) -> None:
    """Cut every trained weight back to [-limit, limit]; BatchNorm's statistics are none."""
    for parameter in critic.parameters():
        if not parameter.stop_gradient:
            parameter.clip_(-limit, limit)


def rms_prop(network: nn.Layer, learning_rate: float) -> RMSProp:
    """RMSProp as in the paper's code: PyTorch divides a step by √r + 1e-8, while Paddle's epsilon is in the root."""
    return RMSProp(learning_rate, rho=0.99, epsilon=1e-16, parameters=network.parameters())


Clip = Annotated[float, Range(1e-6, 1e6)]  # 0 would leave a critic that says nothing


class WGAN(Game):
    """A generator, a critic with clipped weights, and several moves of the critic for each of the generator.

    Args:
        learning_rate: RMSProp's step size, both networks
        critic_steps: moves of the critic for one of the generator, each on images of its own
        clip: c, the largest weight of the critic
        penalty: γ of the gradient penalty R1, γ/2 times the critic's squared slope at real images; 0 is off
    """

    scores = None  # the critic has no scale

    def __init__(
        self, learning_rate: Rate = 5e-4, critic_steps: Count = 2, clip: Clip = 0.01, penalty: Weight = 0.0
    ) -> None:
        self.generator, self.critic = Generator(), nn.Sequential(*score_layers())
        self.networks = {"generator": self.generator, "critic": self.critic}
        for network in self.networks.values():
            network.apply(weights_init)
        self.optimizers = {name: rms_prop(network, learning_rate) for name, network in self.networks.items()}
        self.ema = EMA(self.generator)
        self.batches, self.limit, self.penalty = critic_steps, clip, penalty

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Some moves of the critic, each on real images of its own, then one of G."""
        for part in batch.split(self.batches):
            with self.turn("critic"):
                real, fake = self.critic(part.images), self.critic(self.generator(part.draw(self.latent)))
                penalty = lazily(lambda x=part.images: steepness(self.critic, x), self.penalty, batch.step)
                loss_d = fake.mean() - real.mean()
                loss_d.backward()
            clip_weights(self.critic, self.limit)

        with self.turn("generator"):
            loss_g = -self.critic(self.generator(part.draw(self.latent))).mean()
            loss_g.backward()

        return row(loss_d=loss_d, loss_g=loss_g, distance=-loss_d, penalty=penalty)

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether the critic's loss tells how good the pictures are, and how many weights lie at the clip's edge."""
        paddle.seed(0)  # the same new critic each time: the floor
        new = WGAN(clip=self.limit).critic
        clip_weights(new, self.limit)
        meaning = "share of the critic's weights within 1% of ±c; floor: of a new critic, clipped once"
        edge = Yardstick(at_edge(self.critic, self.limit), at_edge(new, self.limit), meaning)
        return {"weights at the edge": edge, **loss_tells_quality(run_dir)}


def at_edge(critic: nn.Layer, limit: float) -> float:
    """The share of trained weights within 1% of ±`limit`."""
    weights = paddle.concat([p.flatten() for p in critic.parameters() if not p.stop_gradient])
    return float((weights.abs() > 0.99 * limit).astype("float32").mean())


build = WGAN

if __name__ == "__main__":
    sys.exit(run("wgan", build))
