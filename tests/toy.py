"""A tiny GAN with the real loop, for tests that need many steps: `python tests/toy.py` takes the flags of train.py."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.gan import GAN
from common.init import weights_init
from common.train import run

from paddle import nn


def build(**settings: float) -> GAN:
    generator = nn.Sequential(
        nn.Conv2DTranspose(100, 4, 8, bias_attr=False), nn.BatchNorm2D(4), nn.ReLU(),
        nn.Conv2DTranspose(4, 1, 4, 4, bias_attr=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2D(1, 4, 4, 4, bias_attr=False),
        nn.BatchNorm2D(4),
        nn.LeakyReLU(0.2),
        nn.Conv2D(4, 1, 8, bias_attr=False),
    )
    return GAN(generator.apply(weights_init), discriminator.apply(weights_init), nn.MSELoss(), **settings)


if __name__ == "__main__":
    sys.exit(run("lsgan", build))
