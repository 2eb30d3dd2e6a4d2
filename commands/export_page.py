"""A network as the page of `commands.export` wants it: a chain of layers, their numbers in base64."""

from __future__ import annotations

import base64
import copy
from typing import Any

from common.errors import UserError
from common.game import on_device
from common.judging.judge import classify, load_judge
from common.machine.convolutions import Conv2D, Conv2DTranspose

import numpy as np
import paddle
from paddle import nn

DIRECTIONS = 5
BATCHNORMS = nn.BatchNorm1D, nn.BatchNorm2D
PRECISIONS = ("int8", "float16", "float32")  # of the weights in the page
FEW = 2**15  # weights of a layer that are not worth the loss of eight bits
READ = 2e-2  # how far apart probabilities may be, which the page shows in whole per cents


def leaves(network: nn.Layer) -> list[nn.Layer]:
    """The layers of a network without those that only hold others, and without what does nothing when drawing."""
    layers = [layer for layer in network.sublayers(include_self=True) if not layer.sublayers()]
    return [layer for layer in layers if not isinstance(layer, nn.Dropout)]


@paddle.no_grad()
def replay(layers: list[nn.Layer], latent: np.ndarray, precision: str) -> np.ndarray:
    """What `latent [N, D, 1, 1]` becomes by one layer after the other, whose weights are rounded as in the page."""
    x = on_device(latent)
    for layer in layers:
        if not isinstance(layer, BATCHNORMS) and getattr(layer, "weight", None) is not None:
            layer.weight.set_value(put_back(layer, rounded(rows(layer), kept_as(layer, precision))))
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
    """A layer as the page wants it, its weights in base64.

    Raises:
        UserError: the page has no such layer.
    """
    bias = packed(layer.bias.numpy(), "float32") if getattr(layer, "bias", None) is not None else None
    if isinstance(layer, (Conv2D, Conv2DTranspose)) and layer.usual:
        transposed = isinstance(layer, Conv2DTranspose)
        if not (transposed and layer.output_padding):
            sizes = {"kernel": layer.weight.shape[2:], "stride": layer.stride, "padding": layer.padding}
            op = {"op": "transposed" if transposed else "convolution", "outputs": layer.weight.shape[transposed]}
            return {**op, **sizes, "bias": bias, **packed_rows(layer, precision)}
    if isinstance(layer, nn.Linear):
        return {"op": "linear", "outputs": layer.weight.shape[1], "bias": bias, **packed_rows(layer, precision)}
    if isinstance(layer, BATCHNORMS):
        scale = layer.weight.numpy() / np.sqrt(layer._variance.numpy() + layer._epsilon)
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


def rows(layer: nn.Layer) -> np.ndarray:
    """The weights of a layer as the page multiplies by them, `[outputs, inputs]`: the outputs of a transposed
    convolution are the channels at each place of its window, the inputs of a convolution likewise."""
    weight = layer.weight.numpy()
    if isinstance(layer, Conv2DTranspose):
        return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
    return weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1) if isinstance(layer, Conv2D) else weight.T


def put_back(layer: nn.Layer, rows: np.ndarray) -> np.ndarray:
    """What `rows` took apart, as the layer has it."""
    if not isinstance(layer, (Conv2D, Conv2DTranspose)):
        return rows.T
    first, second, *window = layer.weight.shape
    if isinstance(layer, Conv2DTranspose):
        return rows.reshape(*window, second, first).transpose(3, 2, 0, 1)
    return rows.reshape(first, *window, second).transpose(0, 3, 1, 2)


def kept_as(layer: nn.Layer, precision: str) -> str:
    """The precision of a layer's weights in a page of that `precision`: layers of few weights keep 16 bits."""
    return "float16" if precision == "int8" and layer.weight.size < FEW else precision


def scales(rows: np.ndarray) -> np.ndarray:
    """What one step of an eight-bit weight is worth in each column, `[1, inputs]`.

    Not in each row: a label's weights are larger than those of the noise, and would make their steps coarser.
    """
    largest = np.abs(rows).max(axis=0, keepdims=True).astype(np.float32)
    return np.where(largest > 0, largest / 127, np.float32(1))


def rounded(rows: np.ndarray, precision: str) -> np.ndarray:
    """Weights as the page reads them, float32; infinite where a number is too large for "float16"."""
    if precision == "int8":
        return np.rint(rows / scales(rows)) * scales(rows)
    with np.errstate(over="ignore"):
        return rows.astype(precision).astype(np.float32)


def packed_rows(layer: nn.Layer, precision: str) -> dict[str, str]:
    """A layer's weights for the page; those of eight bits with the `scales` of their columns."""
    weight, precision = rows(layer), kept_as(layer, precision)
    if precision == "int8":
        steps = np.rint(weight / scales(weight))
        return {"weights": packed(steps, "int8"), "scales": packed(scales(weight), "float32"), "precision": precision}
    return {"weights": packed(weight, precision), "precision": precision}


def packed(array: np.ndarray, precision: str) -> str:
    """An array's numbers in base64, little-endian."""
    with np.errstate(over="ignore"):
        numbers = array.astype(np.dtype(precision).newbyteorder("<"))
    return base64.b64encode(numbers.tobytes()).decode()


def judge_of(dataset: str, pictures: np.ndarray) -> list[dict[str, Any]]:
    """The judge of a data set as the page wants it: of the fewest bits by which no probability that it gives a digit
    of `pictures [N, 1, 32, 32]` changes by more than READ."""
    right = classify(load_judge(dataset), pictures).probabilities
    for precision in PRECISIONS:
        layers = leaves(copy.deepcopy(load_judge(dataset)))
        whole = [described(layer, precision) for layer in layers]
        logits = replay(layers, pictures, precision)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        if np.abs(odds / odds.sum(axis=1, keepdims=True) - right).max() <= READ:
            break
    return whole
