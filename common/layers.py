"""The layers DCGAN and LSGAN share (Radford et al. 2015, arXiv 1511.06434, scaled to 32x32 as in the course).

The attribute names `gen` and `dis` and the place of every layer in its `Sequential` are the course script's, so
weights saved by the course script load here and ours load there.
"""

from __future__ import annotations

# Paddle's layers, quicker on a CPU.
from common.machine.activations import LeakyReLU, ReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose

from paddle import Tensor, nn

LATENT_DIM = 100


def score_layers(in_channels: int = 1) -> list[nn.Layer]:
    """The convolutions of the discriminator: `[N, in_channels, 32, 32]` to one unbounded score an image,
    `[N, 1, 1, 1]`.

    No BatchNorm on the first layer, as in the paper: it would hide from D how real and fake differ in brightness.
    """
    return [
        Conv2D(in_channels, 64, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 32x32 -> 16x16
        LeakyReLU(0.2),
        Conv2D(64, 128, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 16x16 -> 8x8
        nn.BatchNorm2D(128),
        LeakyReLU(0.2),
        Conv2D(128, 256, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 8x8 -> 4x4
        nn.BatchNorm2D(256),
        LeakyReLU(0.2),
        Conv2D(256, 1, kernel_size=4, stride=1, padding=0, bias_attr=False),  # 4x4 -> 1x1
    ]


class Generator(nn.Layer):
    """Latent vectors to images. 1,066,880 trainable parameters with the defaults.

    Args:
        latent_dim: the length of a latent vector.
        out_channels: of the images.
    """

    def __init__(self, latent_dim: int = LATENT_DIM, out_channels: int = 1) -> None:
        super().__init__()
        self.gen = nn.Sequential(
            Conv2DTranspose(latent_dim, 256, kernel_size=4, stride=1, padding=0, bias_attr=False),  # 1x1 -> 4x4
            nn.BatchNorm2D(256),
            ReLU(),
            Conv2DTranspose(256, 128, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 4x4 -> 8x8
            nn.BatchNorm2D(128),
            ReLU(),
            Conv2DTranspose(128, 64, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 8x8 -> 16x16
            nn.BatchNorm2D(64),
            ReLU(),
            Conv2DTranspose(64, out_channels, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 16x16 -> 32x32
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, latent_dim, 1, 1]`, standard normal, to images `[N, out_channels, 32, 32]` in [-1, 1]."""
        return self.gen(z)
