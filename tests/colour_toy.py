"""DCGAN's game in colour with the real loop, for tests: `python tests/colour_toy.py` takes the flags of train.py."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.gan import GAN
from common.init import weights_init
from common.layers import Generator, score_layers
from common.train import run

from paddle import nn


class ColourGAN(GAN):
    """LSGAN's game, three channels."""

    image = (3, 32, 32)


def build(**settings: float) -> ColourGAN:
    generator, discriminator = Generator(out_channels=3), nn.Sequential(*score_layers(in_channels=3))
    return ColourGAN(generator.apply(weights_init), discriminator.apply(weights_init), nn.MSELoss(), **settings)


if __name__ == "__main__":
    sys.exit(run("colour_toy", build))
