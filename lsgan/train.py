"""Train LSGAN: `python lsgan/train.py`, from any folder; `--help` lists the flags."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # `common` is found with nothing installed

from common.gan import GAN
from common.init import weights_init
from common.train import run
from lsgan.model import Discriminator, Generator

from paddle import nn


def build(**settings: float) -> GAN:
    """All that makes it LSGAN; the settings are those of `GAN`."""
    criterion = nn.MSELoss()
    return GAN(Generator().apply(weights_init), Discriminator().apply(weights_init), criterion, **settings)


if __name__ == "__main__":
    sys.exit(run("lsgan", build))
