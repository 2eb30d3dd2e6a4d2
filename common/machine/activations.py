"""Paddle's ReLU and LeakyReLU with a gradient by oneDNN.

Paddle's own gradients take eight (ReLU) and fifteen (LeakyReLU) times as long as the functions themselves, on one
thread whatever is set: together some 4 ms of a training step of 32 images, which takes 140 on one thread and 78 on two.

Values and gradients are Paddle's to the bit, but for the gradient of LeakyReLU at exactly 0, where it has none: Paddle
takes 1 for it, oneDNN (and PyTorch) the slope.
"""

from __future__ import annotations

from common.machine import onednn
from common.machine.onednn import Kept

import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer


class Through(PyLayer):
    """What passes where a gate is positive, and `slope` of it elsewhere: linear, so its gradient does the same."""

    @staticmethod
    def forward(ctx, x: Tensor, slope: float, gate: Kept | None) -> Tensor:
        """`x` through the gate; through itself if there is none, which is ReLU."""
        if gate is None:
            made = nn.functional.leaky_relu(x, slope) if slope else nn.functional.relu(x)
            gate = Kept(made.detach().contiguous())  # positive where `x` is, and the next layer keeps it anyway
        else:
            x, made = x.contiguous(), paddle.empty(x.shape, "float32")
            onednn.relu_gradient(gate.get(), slope, x, made)
        ctx.gate, ctx.slope = gate, slope
        return made

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """`grad` through the same gate."""
        return Through.apply(grad, ctx.slope, ctx.gate)


class ReLU(nn.ReLU):
    """`paddle.nn.ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` where it is positive, else 0."""
        return Through.apply(x, 0.0, None) if onednn.takes(x) else nn.ReLU.forward(self, x)


class LeakyReLU(nn.LeakyReLU):
    """`paddle.nn.LeakyReLU`."""

    def __init__(self, negative_slope: float = 0.01, name: str | None = None) -> None:
        super().__init__(negative_slope, name)
        self.slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """`x` where it is positive, else `slope * x`."""
        slope = self.slope
        return Through.apply(x, slope, None) if slope > 0 and onednn.takes(x) else nn.LeakyReLU.forward(self, x)
