"""The penalty of WGAN-GP on a critic's slope between real images and fakes."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import relu


def gradient_penalty(
    critic: nn.Layer, real: Tensor, fake: Tensor, alpha: Tensor, slope: float = 1.0, one_sided: bool = False
) -> Tensor:
    """E (‖∇f(x̂)‖ - `slope`)² between pairs of images; `alpha [N, 1, 1, 1]` says where on its line each x̂ lies.
    `one_sided` counts only slopes above it."""
    between = alpha * real + (1 - alpha) * fake
    between.stop_gradient = False
    (slopes,) = paddle.grad(critic(between).sum(), between, create_graph=True)  # without the graph its gradient is 0
    norms = (slopes.square().sum(axis=list(range(1, slopes.ndim))) + 1e-12).sqrt()  # the root's slope at 0 is infinite
    excess = norms - slope
    return (relu(excess) if one_sided else excess).square().mean()


def uniform(rng: np.random.Generator, count: int) -> np.ndarray:
    """α for each image: `[count, 1, 1, 1]` in [0, 1)."""
    return rng.random((count, 1, 1, 1), dtype=np.float32)
