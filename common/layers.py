"""The layers DCGAN and LSGAN share (Radford et al. 2015, arXiv 1511.06434, scaled to 32x32 as in the course).

The sizes in the comments are those of 32x32 pixels. Larger images have one more level for each doubling, in the one
line that adds none at 32x32.

The attribute names `gen` and `dis` and the place of every layer in its `Sequential` are the course script's, so
weights saved by the course script load here and ours load there.
"""

from __future__ import annotations

# Paddle's layers, quicker on a CPU.
from common.machine.activations import LeakyReLU, ReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose

from paddle import Tensor, nn

LATENT_DIM = 100
DEEP = {32: [256], 64: [256, 512], 128: [256, 512, 512]}  # channels of D's third level and of those after it


def score_layers(in_channels: int = 1, size: int = 32) -> list[nn.Layer]:
    """The convolutions of the discriminator: `[N, in_channels, size, size]` to one unbounded score an image,
    `[N, 1, 1, 1]`.

    No BatchNorm on the first layer, as in the paper: with it on all layers its authors saw samples oscillate
    (Radford et al. 2015, arXiv 1511.06434, section 3).

    Args:
        in_channels: of the images.
        size: their height and width, 32, 64 or 128.
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
        *levels_of_d(size),
        Conv2D(DEEP[size][-1], 1, kernel_size=4, stride=1, padding=0, bias_attr=False),  # 4x4 -> 1x1
    ]


class Generator(nn.Layer):
    """Latent vectors to images. 1,066,880 trainable parameters with the defaults.

    Args:
        latent_dim: the length of a latent vector.
        out_channels: of the images.
        size: their height and width, 32, 64 or 128.
        width: channels before the last layer, the course's 64; each layer before that has twice as many.
    """

    def __init__(self, latent_dim: int = LATENT_DIM, out_channels: int = 1, size: int = 32, width: int = 64) -> None:
        super().__init__()
        self.image = (out_channels, size, size)
        deep = [channels * width // 64 for channels in DEEP[size]]  # 256 at 32x32
        self.gen = nn.Sequential(
            Conv2DTranspose(latent_dim, deep[-1], kernel_size=4, stride=1, padding=0, bias_attr=False),  # 1x1 -> 4x4
            nn.BatchNorm2D(deep[-1]),
            ReLU(),
            *levels_of_g(deep),
            Conv2DTranspose(4 * width, 2 * width, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 4x4 -> 8x8
            nn.BatchNorm2D(2 * width),
            ReLU(),
            Conv2DTranspose(2 * width, width, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 8x8 -> 16x16
            nn.BatchNorm2D(width),
            ReLU(),
            Conv2DTranspose(width, out_channels, kernel_size=4, stride=2, padding=1, bias_attr=False),  # 16x16 -> 32x32
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """`z [N, latent_dim, 1, 1]`, standard normal, to images `[N, out_channels, size, size]` in [-1, 1]."""
        return self.gen(z)


def levels_of_d(size: int) -> list[nn.Layer]:
    """What D has between its third level and its last layer for images larger than 32x32: each level halves the maps
    and doubles their channels, to 512 at most."""
    found = []
    for outer, inner in zip(DEEP[size], DEEP[size][1:]):
        halve = Conv2D(outer, inner, kernel_size=4, stride=2, padding=1, bias_attr=False)
        found += [halve, nn.BatchNorm2D(inner), LeakyReLU(0.2)]
    return found


def levels_of_g(deep: list[int]) -> list[nn.Layer]:
    """The same of G, of so many channels, the other way round: each level doubles the maps."""
    found = []
    for outer, inner in reversed(list(zip(deep, deep[1:]))):
        double = Conv2DTranspose(inner, outer, kernel_size=4, stride=2, padding=1, bias_attr=False)
        found += [double, nn.BatchNorm2D(outer), ReLU()]
    return found
