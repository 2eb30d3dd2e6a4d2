"""Train LSGAN: `python lsgan/train.py`, from any folder; `--help` lists the flags."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # `common` is found with nothing installed

from common.gan import GAN
from common.init import weights_init
from common.settings import Channels, Size
from common.train import run
from lsgan.model import Discriminator, Generator

from paddle import nn


def build(size: Size = 32, channels: Channels = 1, **settings: float) -> GAN:
    """All that makes it LSGAN; the other settings are those of `GAN`.

    Args:
        size: height and width of the images
        channels: of the images: 1 grey, 3 colour; 3 is the default of --dataset cifar10 and folder
    """
    criterion = nn.MSELoss()
    generator = Generator(size=size, out_channels=channels).apply(weights_init)
    discriminator = Discriminator(size, channels).apply(weights_init)
    return GAN(generator, discriminator, criterion, **settings)


if __name__ == "__main__":
    sys.exit(run("lsgan", build))
