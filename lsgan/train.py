"""Train LSGAN: `python lsgan/train.py`, from any folder; `--help` lists the flags."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository: `common` is found with nothing installed

from common.train import run


def build(**adam: float):
    """All that makes it LSGAN. Called by the loop once Paddle is set up and seeded, hence the imports."""
    from paddle import nn

    from common.gan import GAN
    from common.init import weights_init
    from lsgan.model import Discriminator, Generator

    criterion = nn.MSELoss()
    return GAN(Generator().apply(weights_init), Discriminator().apply(weights_init), criterion, **adam)


if __name__ == "__main__":
    sys.exit(run("lsgan", build))
