"""Make a training sick and record it, for `test_health`: `python -m tests.sick dcgan batchnorm-off` and the like.

700 steps of 32 images of the real MNIST ($MNIST_DIR), one thread, written to `tests/data/sick-FAMILY-KIND.npz`: the
columns that the health watch reads, and the spread of 64 samples at every 100th step.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import data
from common.game import Batch
from common.gan import GAN
from common.losses import Loss
from common.machine import cpu
from common.rng import FIXED, LATENT, random_numbers
from common.run.families import builder
from common.run.health import pixel_std

import numpy as np
import paddle
from paddle import nn

STEPS, COLUMNS = 700, ("loss_d", "grad_g", "score_real", "score_fake")


def d_too_fast(gan: GAN) -> None:
    gan.optimizers["discriminator"].set_lr(50 * 2e-4)


def g_frozen(gan: GAN) -> None:
    gan.optimizers["generator"].set_lr(0.0)


def labels_swapped(gan: GAN) -> None:
    right = gan.loss
    to_zero = lambda fake: right.discriminator(fake, fake) - right.generator(fake)  # noqa: E731
    gan.loss = Loss(lambda real, fake: right.discriminator(fake, real), to_zero)


def batchnorm_off(gan: GAN) -> None:
    for network in gan.networks.values():
        for layer in network.sublayers():
            if isinstance(layer, nn.BatchNorm2D):
                layer.forward = lambda x: x


KINDS = {
    "d-too-fast": d_too_fast,
    "g-frozen": g_frozen,
    "labels-swapped": labels_swapped,
    "batchnorm-off": batchnorm_off,
}


def main(family: str, kind: str) -> None:
    cpu.set_threads(1)
    paddle.seed(0)
    gan = builder(family)()
    KINDS[kind](gan)
    images = data.load("mnist").images
    real, real_spread = paddle.to_tensor(images), pixel_std(images[:1000])
    fixed = gan.latent(random_numbers(0, FIXED), 64)
    rows, spreads = [], []
    for step in range(STEPS):
        rng = random_numbers(0, LATENT, step)
        chosen = rng.integers(0, len(images), 32)
        values = gan.update(Batch((real, None), chosen, rng, step))
        rows.append([values[name].item() for name in COLUMNS])
        if step % 100 == 0:
            spreads.append((step, pixel_std(gan.sample(fixed)) / real_spread))
            print(family, kind, step, dict(zip(COLUMNS, rows[-1])), spreads[-1][1], flush=True)
    columns = dict(zip(COLUMNS, np.array(rows, np.float32).T))
    path = Path(__file__).parent / "data" / f"sick-{family}-{kind}.npz"
    np.savez_compressed(path, **columns, spread=np.array(spreads, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
