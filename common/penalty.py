"""A penalty on how steep D is at real images (Mescheder et al. 2018, arXiv 1801.04406, equation 9, "R1")."""

from __future__ import annotations

from common.machine.channels import channel_mean, per_channel

import paddle
from paddle import Tensor, nn


def steepness(discriminator: nn.Layer, images: Tensor) -> Tensor:
    """E ‖∇s(x)‖² over `images [N, C, H, W]`, s being D's raw score; it can be differentiated by D's weights.

    Args:
        discriminator: a Sequential, or a layer whose `dis` is one, as the course's. A Sigmoid in it is left out: where
            it is flat, D has no slope to punish, however steep its raw score.
    """
    x = images.detach()
    x.stop_gradient = False
    scores = x
    for layer in getattr(discriminator, "dis", discriminator):
        if isinstance(layer, (nn.BatchNorm2D, nn.SyncBatchNorm)):
            scores = normalised(layer, scores)
        elif not isinstance(layer, nn.Sigmoid):
            scores = layer(scores)
    (slopes,) = paddle.grad(scores.sum(), x, create_graph=True)
    return slopes.square().sum(axis=[1, 2, 3]).mean()


def normalised(layer: nn.BatchNorm2D | nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """What `layer` makes of `x [N, C, H, W]`, in single steps: the second derivative of Paddle's BatchNorm takes forty
    times as long in training, and there is none in evaluation. Its running statistics stay as they are. A
    SyncBatchNorm's, too, are of the images of this process alone: no derivative leads through another process."""
    centred = x - per_channel(channel_mean(x) if layer.training else layer._mean, x.shape)
    variance = channel_mean(centred.square()) if layer.training else layer._variance
    scale = (variance + layer._epsilon).rsqrt() * layer.weight
    return centred * per_channel(scale, x.shape) + per_channel(layer.bias, x.shape)
