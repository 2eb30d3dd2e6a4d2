"""Layers that several families have."""

from __future__ import annotations

from common.layers import DEEP
from common.machine.activations import LeakyReLU
from common.machine.convolutions import Conv2D

from paddle import Tensor, nn
from paddle.nn.functional import relu


def dense(*widths: int, norm: bool = False) -> list[nn.Layer]:
    """Linear layers of these widths with LeakyReLU(0.2) between them; where `norm`, BatchNorm before each of those, and
    no bias, which it would take away."""
    *hidden, last = zip(widths, widths[1:])
    found = []
    for inside, outside in hidden:
        linear = nn.Linear(inside, outside, bias_attr=False if norm else None)
        # Paddle's own activation: ours, quicker on maps, takes longer than these few numbers.
        found += [linear, *([nn.BatchNorm1D(outside)] if norm else []), nn.LeakyReLU(0.2)]
    return [*found, nn.Linear(*last)]


def convolution(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Layer]:
    """A convolution that keeps the size, or halves it with a stride of 2; BatchNorm."""
    conv = Conv2D(in_channels, out_channels, kernel_size=2 + stride, stride=stride, padding=1, bias_attr=False)
    return [conv, nn.BatchNorm2D(out_channels)]


class Residual(nn.Sequential):
    """relu(x + F(x)), so that doing nothing is easy (He et al. 2015, arXiv 1512.03385)."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        return relu(x + super().forward(x))


def critic_layers(in_channels: int = 1, size: int = 32) -> nn.Sequential:
    """DCGAN's discriminator without normalisation: `[N, in_channels, size, size]` to unbounded scores `[N, 1, 1, 1]`;
    as there, `size` is 32, 64 or 128, and larger images have more levels."""
    doublings = zip(DEEP[size], DEEP[size][1:])
    return nn.Sequential(
        *(Conv2D(in_channels, 64, kernel_size=4, stride=2, padding=1), LeakyReLU(0.2)),  # 32x32 -> 16x16
        *(Conv2D(64, 128, kernel_size=4, stride=2, padding=1), LeakyReLU(0.2)),  # 16x16 -> 8x8
        *(Conv2D(128, 256, kernel_size=4, stride=2, padding=1), LeakyReLU(0.2)),  # 8x8 -> 4x4
        *(
            layer
            for outer, inner in doublings
            for layer in (Conv2D(outer, inner, kernel_size=4, stride=2, padding=1), LeakyReLU(0.2))
        ),
        Conv2D(DEEP[size][-1], 1, kernel_size=4),  # 4x4 -> 1x1
    )


def patches(layers: int, channels: int) -> nn.Sequential:
    """PatchGAN (Isola et al. 2016, arXiv 1611.07004, section 3.2.2): pictures to a map of scores, one for each patch.

    Args:
        layers: those of stride 2; two of stride 1 follow. 1, 2 and 3 see 16, 34 and 70 pixels. No norm: over the
            picture it would let each verdict see all of it.
        channels: of the pictures; 32 after the first layer.
    """
    widths = [channels, *(32 * 2**i for i in range(layers + 1))]
    strides = [2] * layers + [1]
    body = [
        layer
        for inside, outside, stride in zip(widths, widths[1:], strides)
        for layer in (Conv2D(inside, outside, kernel_size=4, stride=stride, padding=1), LeakyReLU(0.2))
    ]
    return nn.Sequential(*body, Conv2D(widths[-1], 1, kernel_size=4, padding=1))
