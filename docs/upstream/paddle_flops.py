"""Paddle: `paddle.flops` counts a layer of a derived class as nothing, and a transposed convolution of stride 2 as four
times what it is; with NumPy 2.4 it fails for every network."""

import paddle
from paddle import nn


class Own(nn.Conv2D):
    """A Conv2D."""


plain, derived = (nn.Sequential(kind(3, 4, 3, padding=1, bias_attr=False)) for kind in (nn.Conv2D, Own))
transposed = nn.Sequential(nn.Conv2DTranspose(3, 4, 2, stride=2, bias_attr=False))
found = [paddle.flops(network, [1, 3, 8, 8]) for network in (plain, derived, transposed)]
assert found == [3 * 4 * 3 * 3 * 8 * 8] * 2 + [3 * 4 * 2 * 2 * 8 * 8], found
