"""Paddle: no second derivative of the transposed convolution, of BatchNorm in evaluation, of MaxPool."""

import paddle
from paddle import nn

batchnorm = nn.BatchNorm2D(2)
batchnorm.eval()
missing = []
for layer in (nn.Conv2DTranspose(2, 2, 2), batchnorm, nn.MaxPool2D(2)):
    x = paddle.rand([2, 2, 4, 4])
    x.stop_gradient = False
    try:
        (slope,) = paddle.grad(layer(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
    except (RuntimeError, SystemError, ValueError):
        missing.append(type(layer).__name__)
assert not missing, missing
