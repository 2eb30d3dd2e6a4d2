"""Paddle: `paddle.grad` for one of a PyLayer's inputs refuses the gradient of another one, which is not asked for."""

import paddle
from paddle.autograd import PyLayer


class Product(PyLayer):
    """xy."""

    @staticmethod
    def forward(ctx, x, y):
        """xy."""
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, grad):
        """y and x."""
        x, y = ctx.saved_tensor()
        return grad * y, grad * x


x, y = paddle.full([1], 2.0), paddle.full([1], 3.0)
x.stop_gradient = y.stop_gradient = False
(slope,) = paddle.grad(Product.apply(x, y), x)
assert slope.item() == 3
