"""A game of numbers in place of images, whose end is known exactly: two Gaussians and a small D."""

from __future__ import annotations

from functools import lru_cache

from common.losses import Loss

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.optimizer import Adam


@lru_cache
def estimate(loss: Loss, mean: float = 1.0, steps: int = 500, count: int = 4096) -> float:
    """How far N(0, 1) is from N(`mean`, 1) in the eyes of a D of two hidden layers: the least that it can make of
    `loss.discriminator`, negated, on fresh numbers at the end."""
    paddle.seed(0)
    rng, rate = np.random.default_rng(0), 1e-2
    v = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    adam = Adam(rate, parameters=v.parameters())

    def score(count: int) -> Tensor:
        p, q = (rng.normal(m, 1, (count, 1)).astype(np.float32) for m in (0.0, mean))
        return loss.discriminator(v(paddle.to_tensor(p)), v(paddle.to_tensor(q)))

    for step in range(steps):
        adam.set_lr(rate * (1 - step / steps))
        score(count).backward()
        adam.step()
        adam.clear_grad()
    with paddle.no_grad():
        return -score(200_000).item()
