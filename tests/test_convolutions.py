"""The convolutions of `common.machine.convolutions` against those of `paddle.nn`."""

from __future__ import annotations

import copy

from common.machine import convolutions, cpu

import numpy as np
import paddle
import pytest
from paddle import nn

# every shape of the two networks, and a kernel and stride that are in neither
LAYERS = [
    ("Conv2D", (1, 64, 4, 2, 1), 32),
    ("Conv2D", (64, 128, 4, 2, 1), 16),
    ("Conv2D", (256, 1, 4, 1, 0), 4),
    ("Conv2D", (3, 5, 3, 1, 0), 7),
    ("Conv2DTranspose", (100, 256, 4, 1, 0), 1),
    ("Conv2DTranspose", (128, 64, 4, 2, 1), 8),
    ("Conv2DTranspose", (3, 5, 3, 1, 0), 4),
]


def both(kind: str, arguments: tuple, size: int, count: int):
    """Our layer and Paddle's with the same weights, and a batch for each."""
    paddle.seed(0)
    theirs = getattr(nn, kind)(*arguments, bias_attr=False)
    ours = getattr(convolutions, kind)(*arguments, bias_attr=False)
    ours.set_state_dict(copy.deepcopy(theirs.state_dict()))
    x = paddle.randn([count, arguments[0], size, size])
    return [(layer, x.detach()) for layer in (ours, theirs)]


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    monkeypatch.setattr(cpu, "threads", request.param)
    return request.param


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)], ids=["both", "images", "weights"])
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(("kind", "arguments", "size"), LAYERS)
def test_value_and_gradients_are_paddles(threads, kind, arguments, size, count, wanted):
    results = []
    for layer, x in both(kind, arguments, size, count):
        x.stop_gradient, layer.weight.stop_gradient = (not want for want in wanted)
        y = layer(x)
        (y * paddle.linspace(-1, 1, y.size).reshape(y.shape)).sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    for mine, paddles, want in zip(*results, (True, *wanted)):
        assert (mine is not None) == (paddles is not None) == want
        if want:
            assert mine.shape == paddles.shape
            np.testing.assert_allclose(mine.numpy(), paddles.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "arguments", "size"), LAYERS)
def test_no_graph_is_kept_where_none_is_wanted(threads, kind, arguments, size):
    (ours, x), (theirs, _) = both(kind, arguments, size, 5)
    with paddle.no_grad():
        y = ours(x)
        np.testing.assert_allclose(y.numpy(), theirs(x).numpy(), rtol=1e-4, atol=1e-5)
    assert y.stop_gradient


def test_gradients_of_two_passes_add_up(threads):
    """D sees real and fake images before its gradients are used."""
    gradients = []
    for layer, x in both("Conv2D", (3, 5, 4, 2, 1), 8, 4):
        (layer(x).sum() + layer(2 * x).square().sum()).backward()
        gradients.append(layer.weight.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)


def test_the_same_bits_each_time(threads):
    def gradient():
        (layer, x), _ = both("Conv2D", (8, 16, 4, 2, 1), 16, 9)
        layer(x).square().sum().backward()
        return layer.weight.grad.numpy()

    first = gradient()
    for _ in range(5):
        np.testing.assert_array_equal(gradient(), first)
