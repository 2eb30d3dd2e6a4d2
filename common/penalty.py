"""A penalty on how steep D is at real images (Mescheder et al. 2018, arXiv 1801.04406, equation 9, "R1")."""

from __future__ import annotations

from typing import Callable

from common.errors import UserError
from common.language import _
from common.machine.channels import channel_mean, per_channel

import paddle
from paddle import Tensor, nn
from paddle.nn.functional import relu


def steepness(discriminator: nn.Layer | list[Callable[[Tensor], Tensor]], images: Tensor) -> Tensor:
    """E ‖∇s(x)‖² over `images [N, ...]`, s being D's raw score; it can be differentiated by D's weights.

    Where D has BatchNorm, a score depends on the whole batch, and ∇ is that of the sum of the batch's scores: not the
    slope of one image's score as the equation means it. It works all the same (`docs/search.md`).

    Args:
        discriminator: a Sequential or a list of layers and functions, or a layer whose `dis` is one, as the course's. A
            Sigmoid in it is left out: where it is flat, D has no slope to punish, however steep its raw score.
    """
    x = images.detach()
    x.stop_gradient = False
    scores = x
    layers = getattr(discriminator, "dis", discriminator)
    if not isinstance(layers, (list, nn.Sequential, nn.LayerList)):  # Paddle 2.6's have no `__iter__`
        kind = type(discriminator).__name__
        said = _("{kind} is no Sequential and has none named dis; make it one, or leave the flag out", kind=kind)
        raise UserError(f"--penalty: {said}")
    for layer in layers:
        if isinstance(layer, (nn.BatchNorm2D, nn.SyncBatchNorm)):
            scores = normalised(layer, scores)
        elif isinstance(layer, nn.MaxPool2D):
            if (layer.ksize, layer.stride or 2, layer.padding) != (2, 2, 0):
                raise ValueError("the penalty knows one kind of max-pooling: nn.MaxPool2D(2)")
            scores = pooled(scores)
        elif isinstance(layer, nn.Flatten):
            scores = scores.reshape([len(scores), -1])  # the same; Paddle's flatten has no second derivative
        elif not isinstance(layer, nn.Sigmoid):
            scores = layer(scores)
    (slopes,) = paddle.grad(scores.sum(), x, create_graph=True)
    return slopes.square().sum(axis=list(range(1, slopes.ndim))).mean()


def lazily(slope: Callable[[], Tensor], weight: float, step: int, every: int = 4) -> Tensor:
    """γ/2 times a squared slope, computed in one step of `every` and as many times heavier there; 0 in the others
    (Karras et al. 2019, arXiv 1912.04958, section 3.1). `backward` has been called on it.

    Args:
        slope: what is to be small, such as `steepness` of D and of this step's images.
        weight: γ; 0 is off.
    """
    if weight == 0 or step % every:
        return paddle.zeros([])
    penalty = every * weight / 2 * slope()
    penalty.backward()
    return penalty.detach()


def normalised(layer: nn.BatchNorm2D | nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """What `layer` makes of `x [N, C, H, W]`, in single steps: the second derivative of Paddle's BatchNorm takes forty
    times as long in training, and there is none in evaluation. Its running statistics stay as they are. A
    SyncBatchNorm's, too, are of the images of this process alone: no derivative leads through another process."""
    centred = x - per_channel(channel_mean(x) if layer.training else layer._mean, x.shape)
    variance = channel_mean(centred.square()) if layer.training else layer._variance
    scale = (variance + layer._epsilon).rsqrt() * layer.weight
    return centred * per_channel(scale, x.shape) + per_channel(layer.bias, x.shape)


def pooled(x: Tensor) -> Tensor:
    """The largest number of each 2x2 square of `x [N, C, H, W]`, H and W even, `[N, C, H/2, W/2]`: what `MaxPool2D(2)`
    makes of it, which has no second derivative in Paddle."""
    images, channels, height, width = x.shape
    pairs = x.reshape([images, channels, height // 2, 2, width])
    rows = larger(pairs[:, :, :, 0], pairs[:, :, :, 1]).reshape([images, channels, height // 2, width // 2, 2])
    return larger(rows[:, :, :, :, 0], rows[:, :, :, :, 1])


def larger(a: Tensor, b: Tensor) -> Tensor:
    """The larger of each two numbers, from what has second derivatives on both Paddles."""
    return b + relu(a - b)
