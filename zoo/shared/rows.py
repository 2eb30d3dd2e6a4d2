"""What an update tells `losses.csv`."""

from __future__ import annotations

from paddle import Tensor


def row(**values: Tensor) -> dict[str, Tensor]:
    """The means of these by their names, 0-D tensors that keep no graph behind them."""
    return {name: value.detach().mean() if value.ndim else value.detach() for name, value in values.items()}


def mean_scores(real: list[Tensor], fake: list[Tensor]) -> dict[str, Tensor]:
    """The columns for two discriminators, from the scores of each: means over both."""
    sides = {"score_real": real, "score_fake": fake}
    return {name: sum(score.mean() for score in scores) / 2 for name, scores in sides.items()}
