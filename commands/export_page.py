"""A network as the page of `commands.export` wants it: a chain of layers, their numbers in base64."""

from __future__ import annotations

import base64
from typing import Any

from common.errors import UserError
from common.game import on_device
from common.machine.convolutions import Conv2D, Conv2DTranspose

import numpy as np
import paddle
from paddle import nn

DIRECTIONS = 5
BATCHNORMS = nn.BatchNorm1D, nn.BatchNorm2D


def leaves(network: nn.Layer) -> list[nn.Layer]:
    """The layers of a network without those that only hold others, and without what does nothing when drawing."""
    layers = [layer for layer in network.sublayers(include_self=True) if not layer.sublayers()]
    return [layer for layer in layers if not isinstance(layer, nn.Dropout)]


@paddle.no_grad()
def replay(layers: list[nn.Layer], latent: np.ndarray, precision: str) -> np.ndarray:
    """What `latent [N, D, 1, 1]` becomes by one layer after the other, weights rounded as in the page."""
    x = on_device(latent)
    for layer in layers:
        if not isinstance(layer, BATCHNORMS) and getattr(layer, "weight", None) is not None:
            layer.weight.set_value(rounded(layer.weight.numpy(), precision).astype(np.float32))
        try:
            x = layer(x)
        except ValueError as error:  # the next layer does not follow on this one
            raise UserError("--format html: this generator is no chain of layers; onnx takes it") from error
    return x.numpy()


def principal(weight: np.ndarray, dim: int) -> list[list[float]]:
    """The unit vectors `[5, dim]` along which normal noise changes the output of a layer `weight [D, …]` most: the
    principal directions of that output, which is linear in the noise."""
    rows = weight[:dim].reshape(dim, -1).astype(np.float64)
    vectors = np.linalg.eigh(rows @ rows.T)[1][:, ::-1].T[:DIRECTIONS]
    signs = np.sign(vectors[np.arange(DIRECTIONS), np.abs(vectors).argmax(axis=1)])
    return (vectors * signs[:, None]).round(5).tolist()


def described(layer: nn.Layer, precision: str) -> dict[str, Any]:
    """A layer as the page wants it, its weights in base64 with the inputs last and the channels after the window.

    Raises:
        UserError: the page has no such layer.
    """
    weight = layer.weight.numpy() if getattr(layer, "weight", None) is not None else None
    bias = packed(layer.bias.numpy(), "float32") if getattr(layer, "bias", None) is not None else None
    if isinstance(layer, (Conv2D, Conv2DTranspose)) and layer.usual and not layer.channels_last:
        transposed = isinstance(layer, Conv2DTranspose)
        if not (transposed and layer.output_padding):
            order, outputs = ((2, 3, 1, 0), weight.shape[1]) if transposed else ((0, 2, 3, 1), weight.shape[0])
            sizes = {"kernel": weight.shape[2:], "stride": layer.stride, "padding": layer.padding}
            op = {"op": "transposed" if transposed else "convolution", "outputs": outputs, **sizes, "bias": bias}
            return {**op, "weights": packed(weight.transpose(order), precision), "precision": precision}
    if isinstance(layer, nn.Linear):
        op = {"op": "linear", "outputs": weight.shape[1], "bias": bias}
        return {**op, "weights": packed(weight.T, precision), "precision": precision}
    if isinstance(layer, BATCHNORMS):
        scale = weight / np.sqrt(layer._variance.numpy() + layer._epsilon)
        shift = packed(layer.bias.numpy() - layer._mean.numpy() * scale, "float32")
        return {"op": "scale", "weights": packed(scale, "float32"), "bias": shift, "precision": "float32"}
    if isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
        return {"op": "relu", "slope": getattr(layer, "_negative_slope", 0)}
    if isinstance(layer, nn.Unflatten):
        return {"op": "unflatten", "shape": list(layer.shape)}
    if isinstance(layer, nn.MaxPool2D) and (layer.ksize, layer.padding) == (2, 0) and layer.stride in (None, 2):
        return {"op": "pool"}
    if isinstance(layer, (nn.Tanh, nn.Sigmoid, nn.Flatten)):
        return {"op": type(layer).__name__.lower()}
    raise UserError(f"--format html: the page has no {type(layer).__name__} of this kind; onnx takes it")


def rounded(array: np.ndarray, precision: str) -> np.ndarray:
    """An array as "float16" or "float32", infinite where a number is too large for that."""
    with np.errstate(over="ignore"):
        return array.astype(precision)


def packed(array: np.ndarray, precision: str) -> str:
    """An array's numbers in base64, little-endian."""
    numbers = rounded(array, precision)
    return base64.b64encode(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()).decode()
