"""Ten categories that a network reads off pictures, without labels, and how well they are the digits."""

from __future__ import annotations

import copy

from common.data import CLASSES
from common.game import AT_ONCE, Batch, Game, on_device

import numpy as np
import paddle
import scipy  # its parts load where they are used
from paddle import Tensor, nn
from paddle.nn.functional import affine_grid, grid_sample


def from_any_on(game: Game, rng: np.random.Generator, count: int) -> np.ndarray:
    """Latent vectors of a game whose `latent` draws the categories in turn, from a random one on: so that in batches of
    any size each is as frequent."""
    skipped = int(rng.integers(CLASSES))
    return game.latent(rng, count + skipped)[skipped:]


def shears(rng: np.random.Generator, count: int, slope: float) -> np.ndarray:
    """Matrices `[count, 2, 3]` for `affine_grid`: each moves a row by up to `slope`, to either side, times its distance
    from the middle."""
    matrices = np.eye(2, 3, dtype=np.float32)[None].repeat(count, axis=0)
    matrices[:, 0, 1] = slope * rng.uniform(-1, 1, count)
    return matrices


def sheared(x: Tensor, batch: Batch, slope: float) -> Tensor:
    """Images `[N, C, H, W]`, each sheared at random by up to `slope`; what comes in from the sides is the border's."""
    matrices = batch.draw(lambda rng, count: shears(rng, count, slope))
    return grid_sample(x, affine_grid(matrices, x.shape), padding_mode="border")


@paddle.no_grad()
def likeliest(reader: nn.Layer, images: np.ndarray) -> np.ndarray:
    """The category `[N]` that `reader` finds the likeliest for each image. BatchNorm takes the statistics of these
    images, in a copy: the running ones are mostly the fakes', and real images would look strange."""
    reader = copy.deepcopy(reader)
    reader.train()
    parts = np.array_split(images, -(-len(images) // AT_ONCE))  # even ones: of a few images the statistics are poor
    return np.concatenate([reader(on_device(part))[:, :CLASSES].argmax(axis=1).numpy() for part in parts])


def matched_share(categories: np.ndarray, digits: np.ndarray) -> float:
    """The share of images whose category is the one matched to their digit; the best matching (Hungarian method)."""
    counts = np.eye(10)[categories].T @ np.eye(10)[digits]
    return float(counts[scipy.optimize.linear_sum_assignment(counts, maximize=True)].sum() / len(digits))
