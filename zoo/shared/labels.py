"""Labels beside noise and beside pictures, for families that draw what they are asked for."""

from __future__ import annotations

from pathlib import Path

from common.data import CLASSES
from common.game import Batch, Game, Yardstick
from common.judging.reference import Reference
from zoo.shared.digits import MEASURED

import numpy as np
import paddle
from paddle import Tensor
from paddle.nn.functional import one_hot


def hot(labels: Tensor) -> Tensor:
    """`[N]` to one-hot `[N, 10, 1, 1]`."""
    return one_hot(labels, CLASSES).unsqueeze([2, 3])


def wrong_labels(batch: Batch, classes: int) -> Tensor:
    """A label for each image that is not its own, of the first `classes`, `[N]`."""
    return (batch.labels + batch.draw(lambda rng, count: rng.integers(1, classes, count))) % classes


def one_hots(count: int, label: int | None, classes: int = CLASSES) -> np.ndarray:
    """`label` `count` times, or without one the first `classes` in turn, one-hot: `[count, 10, 1, 1]`."""
    labels = np.arange(count) % classes if label is None else np.full(count, label)
    return np.eye(CLASSES, dtype=np.float32)[labels][:, :, None, None]


def beside(x: Tensor, y: Tensor) -> Tensor:
    """`x [N, C, H, W]` with ten more channels, all 0 but that of the label; `y [N, 10, 1, 1]` is one-hot."""
    maps = y.expand([-1, -1, *x.shape[2:]])
    maps.stop_gradient = False  # or Paddle has no second derivative of `concat`
    return paddle.concat([x, maps], axis=1)


class Conditional(Game):
    """A game whose G draws the digit that it is asked for: a latent vector is noise, then a label one-hot."""

    labelled = True
    condition = "digit"

    def latent(self, rng: np.random.Generator, count: int, label: int | None = None) -> np.ndarray:
        """`[count, 110, 1, 1]`: noise, then the label one-hot; without a label the digits in turn."""
        return np.concatenate([super().latent(rng, count), one_hots(count, label, self.classes)], axis=1)

    def population(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """As `latent`, with labels as frequent as in the data, where that is known."""
        z = self.latent(rng, count)
        if self.label_shares:
            shares = np.asarray(self.label_shares, np.float64)
            labels = rng.choice(len(shares), count, p=shares / shares.sum())
            z[:, -CLASSES:] = np.eye(CLASSES, dtype=np.float32)[labels][:, :, None, None]
        return z

    def ask(self, batch: Batch, y: Tensor) -> Tensor:
        """Latent vectors with noise for this batch that ask for its labels, one-hot `y`: `[N, 110, 1, 1]`."""
        return paddle.concat([batch.draw(super().latent), y], axis=1)

    def show(self, batch: Batch) -> np.ndarray:
        """A row for each digit, `[8 * classes, C, H, W]`."""
        return self.sample(np.concatenate([self.latent(batch.rng, 8, digit) for digit in range(self.classes)]))

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether G draws the digit that it is asked for."""
        seen = reference.see(self.sample(self.latent(np.random.default_rng(0), MEASURED)))
        right = float((seen.classes == np.arange(MEASURED) % self.classes).mean())
        real = "; of real ones 0.993" if reference.dataset == "mnist" else ""
        meaning = f"share of {MEASURED:,} images that the judge reads as what was asked for{real}"
        return {"obeys the label": Yardstick(right, 1 / self.classes, meaning)}
