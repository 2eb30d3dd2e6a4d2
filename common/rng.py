"""The random numbers of a run.

Every one, but those of the first weights, is a function of the seed, its stream and its place there, not of what was
drawn before it: a run can stop and go on anywhere, and what one part of the program draws cannot shift what another
part sees. That holds for Paddle's own generator, too, from which layers draw: it is seeded for every step.
"""

from __future__ import annotations

import numpy as np
import paddle

# The streams: the order of an epoch's images; a step's latent vectors; those of the sample grid, the same each time;
# those from which the averaged generator's BatchNorm statistics are measured; what layers draw, such as Dropout's.
SHUFFLE, LATENT, FIXED, STATISTICS, LAYERS = range(5)


def random_numbers(seed: int, stream: int, place: int = 0) -> np.random.Generator:
    """The random numbers of one place in one stream; the same on every machine."""
    return np.random.default_rng([seed, stream, place])


def seed_layers(seed: int, step: int) -> None:
    """Seed Paddle's own generator for a step, in each of several processes otherwise: each has other images."""
    paddle.seed(int(random_numbers(seed, LAYERS, step).integers(2**31)) + paddle.distributed.get_rank())
