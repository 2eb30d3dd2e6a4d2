"""LSGAN's two networks (Mao et al. 2016, arXiv 1611.04076): DCGAN's, with D left unbounded."""

from __future__ import annotations

from common.layers import Generator, score_layers

from paddle import Tensor, nn

__all__ = ["Discriminator", "Generator"]


class Discriminator(nn.Layer):
    """Images to an unbounded score, 1 for real and 0 for fake. 661,248 trainable parameters with the defaults.

    Args:
        size: height and width of the images: 32, 64 or 128.
        channels: of the images.
    """

    def __init__(self, size: int = 32, channels: int = 1) -> None:
        super().__init__()
        self.dis = nn.Sequential(
            *score_layers(channels, size),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x [N, channels, size, size]` in [-1, 1] to scores `[N, 1, 1, 1]` around 0 to 1."""
        return self.dis(x)
