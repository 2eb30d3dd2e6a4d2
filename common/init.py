"""Weight initialisation of the DCGAN paper (Radford et al. 2015, arXiv 1511.06434, section 4)."""

from __future__ import annotations

import paddle
from paddle import nn

STD = 0.02  # the standard deviation, not the variance as some course notes say


@paddle.no_grad()
def weights_init(layer: nn.Layer) -> None:
    """Initialise one layer in place; use it as `net.apply(weights_init)`.

    Convolutions, plain and transposed: weight ~ N(0, 0.02²). BatchNorm: weight ~ N(1, 0.02²), bias 0.
    Other layers are left alone. The draws come from Paddle's global generator: `paddle.seed` makes them repeat.
    """
    if isinstance(layer, (nn.Conv2D, nn.Conv2DTranspose)):
        layer.weight.set_value(paddle.normal(0.0, STD, layer.weight.shape))
    elif isinstance(layer, (nn.BatchNorm2D, nn.SyncBatchNorm)):
        layer.weight.set_value(paddle.normal(1.0, STD, layer.weight.shape))
        layer.bias.set_value(paddle.zeros(layer.bias.shape))
