"""The layers DCGAN and LSGAN share (Radford et al. 2015, arXiv 1511.06434, scaled to 32x32 as in the course).

The attribute names `gen` and `dis` and the place of every layer in its `Sequential` are the course script's, so
weights saved by the course script load here and ours load there.
"""

from __future__ import annotations

from paddle import Tensor, nn

from common.conv import Conv2D, Conv2DTranspose

LATENT_DIM = 100


def score_layers() -> list[nn.Layer]:
    """The convolutions of the discriminator: `[N, 1, 32, 32]` to one unbounded score an image, `[N, 1, 1, 1]`.

    No BatchNorm on the first layer, as in the paper: it would hide from D how real and fake differ in brightness.
    """
    return [
        Conv2D(1, 64, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 32x32 -> 16x16
        nn.LeakyReLU(0.2),
        Conv2D(64, 128, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 16x16 -> 8x8
        nn.BatchNorm2D(128),
        nn.LeakyReLU(0.2),
        Conv2D(128, 256, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 8x8 -> 4x4
        nn.BatchNorm2D(256),
        nn.LeakyReLU(0.2),
        Conv2D(256, 1, kernel_size=4, stride=1, padding=0, bias_attr=False),  # 4x4 -> 1x1
    ]


class Generator(nn.Layer):
    """Latent vectors to images. 1,066,880 trainable parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.gen = nn.Sequential(
            Conv2DTranspose(LATENT_DIM, 256, kernel_size=4, stride=1, padding=0, bias_attr=False),  # 1x1 -> 4x4
            nn.BatchNorm2D(256),
            nn.ReLU(),
            Conv2DTranspose(256, 128, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 4x4 -> 8x8
            nn.BatchNorm2D(128),
            nn.ReLU(),
            Conv2DTranspose(128, 64, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 8x8 -> 16x16
            nn.BatchNorm2D(64),
            nn.ReLU(),
            Conv2DTranspose(64, 1, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 16x16 -> 32x32
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, 100, 1, 1]`, standard normal, to images `[N, 1, 32, 32]` in [-1, 1]."""
        return self.gen(z)
