"""Paddle: a second `backward` through a PyLayer ends the process, where it should raise as it does for other layers."""

import contextlib

import paddle
from paddle.autograd import PyLayer


class Twice(PyLayer):
    """2x."""

    @staticmethod
    def forward(ctx, x):
        """2x."""
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        """2."""
        return 2 * grad


x = paddle.ones([1])
x.stop_gradient = False
y = Twice.apply(x)
y.backward()
with contextlib.suppress(SystemError):  # "You calculate backward twice for the same subgraph …"
    y.backward()  # segmentation fault
