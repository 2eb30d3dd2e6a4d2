"""What an update tells `losses.csv`."""

from __future__ import annotations

from paddle import Tensor
from paddle.nn.functional import sigmoid


def row(**values: Tensor) -> dict[str, Tensor]:
    """The means of these by their names, 0-D tensors that keep no graph behind them."""
    return {name: value.detach().mean() if value.ndim else value.detach() for name, value in values.items()}


def answers(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The columns for a discriminator, from its logits: how surely it takes real images and fakes for real."""
    return {"score_real": sigmoid(real), "score_fake": sigmoid(fake)}
