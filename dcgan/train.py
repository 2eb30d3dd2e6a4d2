"""Train DCGAN: `python dcgan/train.py`, from any folder; `--help` lists the flags."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository: `common` is found with nothing installed

from common.train import run


def build(**adam: float):
    """All that makes it DCGAN. Called by the loop once Paddle is set up and seeded, hence the imports."""
    from paddle import nn

    from common.gan import GAN
    from common.init import weights_init
    from dcgan.model import Discriminator, Generator

    criterion = nn.BCELoss()
    return GAN(Generator().apply(weights_init), Discriminator().apply(weights_init), criterion, **adam)


if __name__ == "__main__":
    sys.exit(run("dcgan", build))
