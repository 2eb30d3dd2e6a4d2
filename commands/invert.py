"""The latent vector whose image is nearest to a given one: what a generator can draw, and what it cannot."""

from __future__ import annotations

from typing import NamedTuple

from common.game import Game, evaluating, on_device

import numpy as np
import paddle
from paddle.optimizer import Adam

STARTS, STEPS, RATE = 20, 200, 0.1
FARTHER = 2.0  # than √D, the length of most normal vectors: hardly one in a hundred is as long


class Nearest(NamedTuple):
    """What came out: an image `[C, H, W]` in [-1, 1], its latent vector `[D, 1, 1]`, and mean squared errors: its own,
    and that of an image drawn at random."""

    image: np.ndarray
    latent: np.ndarray
    error: float
    error_at_random: float


def invert(
    game: Game, image: np.ndarray, label: int | None = None, seed: int = 0, count: int = STARTS, steps: int = STEPS
) -> Nearest:
    """Look for `image [C, H, W]` among what `game` draws: Adam on the noise, from several starts at once, and from what
    the family's encoder says, if there is one (Lipton and Tripathi 2017, arXiv 1702.04782).

    The noise stays where noise of the training may lie: uniform one in [-1, 1], a normal vector not much longer than
    most are. Else far-off vectors, which no training ever saw, would draw nearly anything.

    Args:
        label: the digit or code to draw it as, for a family that has such a `condition`; all of them by default.
        seed: of the starts.
        count: of the starts; at least ten for a family that knows labels, unless one is given.
        steps: from each.
    """
    network = game.networks["generator"]
    starts = game.latent(np.random.default_rng(seed), count, label)
    encoded = game.latent_of(image[None])
    starts = starts if encoded is None else np.concatenate([starts, encoded])
    noise = paddle.create_parameter(
        [len(starts), game.latent_dim, 1, 1],
        "float32",
        default_initializer=paddle.nn.initializer.Assign(starts[:, : game.latent_dim]),
    )
    rest, target = on_device(np.ascontiguousarray(starts[:, game.latent_dim :])), on_device(image[None])

    def latent() -> paddle.Tensor:
        return paddle.concat([noise, rest], axis=1) if rest.shape[1] else noise

    def errors() -> paddle.Tensor:
        return (network(latent()) - target).square().mean(axis=[1, 2, 3])

    optimizer = Adam(RATE, parameters=[noise])
    trained = [p for p in network.parameters() if not p.stop_gradient]
    for parameter in trained:
        parameter.stop_gradient = True
    try:
        with evaluating(network):
            at_random = float(errors()[:count].mean())
            for _ in range(steps):
                errors().sum().backward()
                optimizer.step()
                optimizer.clear_grad()
                with paddle.no_grad():
                    paddle.assign(held(noise, game.noise), output=noise)
            with paddle.no_grad():
                found = errors().numpy()
                best = int(found.argmin())
                return Nearest(network(latent()).numpy()[best], latent().numpy()[best], float(found[best]), at_random)
    finally:
        for parameter in trained:
            parameter.stop_gradient = False


def held(noise: paddle.Tensor, kind: str) -> paddle.Tensor:
    """Noise `[N, D, 1, 1]` brought back to where it may be drawn from."""
    if kind == "uniform":
        return noise.clip(-1, 1)
    lengths = noise.square().sum(axis=1, keepdim=True).sqrt()
    return noise * (noise.shape[1] ** 0.5 + FARTHER) / lengths.clip(min=noise.shape[1] ** 0.5 + FARTHER)
