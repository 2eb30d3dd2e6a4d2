"""The convolutions of `common.machine.convolutions` against those of `paddle.nn` and against finite differences."""

from __future__ import annotations

import copy
import threading

from common.machine import activations, convolutions, cpu, onednn

import numpy as np
import paddle
import pytest
from paddle import nn

LAYERS = [  # every shape of the two networks and of the judge, and some that are in neither
    ("Conv2D", (1, 64, 4, 2, 1), 32),
    ("Conv2D", (64, 128, 4, 2, 1), 16),
    ("Conv2D", (128, 256, 4, 2, 1), 8),
    ("Conv2D", (256, 1, 4, 1, 0), 4),
    ("Conv2DTranspose", (100, 256, 4, 1, 0), 1),
    ("Conv2DTranspose", (256, 128, 4, 2, 1), 4),
    ("Conv2DTranspose", (128, 64, 4, 2, 1), 8),
    ("Conv2DTranspose", (64, 1, 4, 2, 1), 16),
    ("Conv2D", (1, 32, 5, 2, 2), 32),
    ("Conv2D", (32, 64, 3, 1, 1), 16),
    ("Conv2D", (64, 128, 3, 1, 1), 8),
    ("Conv2D", (3, 5, (3, 2), (1, 2), (0, 1)), 7),
    ("Conv2D", (16, 3, 7, 1, 3), 9),
    ("Conv2D", (3, 40, 1, 2, 0), 8),  # by AVX2 with channels last: wrong, or a crash
    ("Conv2DTranspose", (3, 5, 3, 2, 1, 1), 5),
    ("Conv2DTranspose", (5, 3, 4, 2, 1), 4),
]
NEEDS = pytest.mark.skipif(onednn.library is None, reason="oneDNN is not to be had here")


@pytest.fixture(autouse=True)
def _one_thread_afterwards():
    yield
    cpu.set_threads(1)


def both(kind: str, arguments: tuple, **options) -> list[nn.Layer]:
    """Our layer and Paddle's with the same weights. They are positive, as are images and the gradients of results, so
    that sums of thousands of products do not cancel, and a relative error means something."""
    paddle.seed(0)
    theirs, ours = (getattr(module, kind)(*arguments, **options) for module in (nn, convolutions))
    for parameter in theirs.parameters():
        parameter.set_value(paddle.rand(parameter.shape))
    ours.set_state_dict(copy.deepcopy(theirs.state_dict()))
    return [ours, theirs]


def batch(layer: nn.Layer, size: int, count: int) -> paddle.Tensor:
    sides = [count, size, size]
    sides.insert(1 if layer._data_format == "NCHW" else 3, layer._in_channels)
    return paddle.rand(sides)


def gradients(layer: nn.Layer, x: paddle.Tensor, wanted: tuple[bool, bool] = (True, True)) -> list:
    """The value and the gradients of image, weight and bias."""
    x = x.detach()
    x.stop_gradient, layer.weight.stop_gradient = (not want for want in wanted)
    y = layer(x)
    (y * paddle.linspace(0.5, 1, y.size).reshape(y.shape)).sum().backward()
    return [y, x.grad, layer.weight.grad, None if layer.bias is None else layer.bias.grad]


def assert_close(mine: paddle.Tensor, paddles: paddle.Tensor, relative: float = 1e-5) -> None:
    """To the scale of the whole tensor."""
    assert mine.shape == paddles.shape
    mine, paddles = mine.numpy(), paddles.numpy()
    np.testing.assert_allclose(mine, paddles, rtol=0, atol=relative * np.abs(paddles).max())


def counted(monkeypatch) -> list[str]:
    """The results oneDNN is asked for from here on."""
    asked, convolve = [], onednn.write_operand

    def noted(result, *arguments, **operands):
        asked.append(result)
        convolve(result, *arguments, **operands)

    monkeypatch.setattr(onednn, "write_operand", noted)
    return asked


@NEEDS
@pytest.mark.parametrize(("kind", "arguments", "size"), LAYERS)
def test_value_and_gradients_are_paddles(kind, arguments, size, monkeypatch):
    asked = counted(monkeypatch)
    for count, bias, threads in ((1, False, 1), (2, None, 2), (7, False, 2), (33, None, 1)):
        cpu.set_threads(threads)
        ours, theirs = both(kind, arguments, bias_attr=bias)
        x = batch(ours, size, count)
        *mine, bias_gradient = gradients(ours, x)
        for one, other in zip(mine, gradients(theirs, x)):
            assert_close(one, other)
        assert (bias_gradient is None) == (bias is False)
        if bias_gradient is not None:  # Paddle's own sum of so many is off by 3e-5
            exact = np.linspace(0.5, 1, mine[0].size).reshape(mine[0].shape)
            assert_close(bias_gradient, paddle.to_tensor(exact.sum((0, 2, 3))))
    product = arguments[4] == 0 and size in (1, arguments[2])  # one matrix product, by Paddle
    assert sorted(asked) == ([] if product else sorted(4 * ["images", "maps", "weights"]))


@NEEDS
@pytest.mark.parametrize(
    ("kind", "result", "image_gradient"), [("Conv2D", "maps", "images"), ("Conv2DTranspose", "images", "maps")]
)
def test_what_nobody_asked_for_is_not_computed(kind, result, image_gradient, monkeypatch):
    asked = counted(monkeypatch)
    for wanted, expected in (
        ((True, True), {image_gradient, "weights"}),
        ((True, False), {image_gradient}),
        ((False, True), {"weights"}),
    ):
        ours, theirs = both(kind, (3, 5, 4, 2, 1), bias_attr=False)
        x = batch(ours, 8, 4)
        asked.clear()
        for mine, paddles in zip(gradients(ours, x, wanted), gradients(theirs, x, wanted)):
            assert (mine is None) == (paddles is None)
            if mine is not None:
                assert_close(mine, paddles)
        assert asked[0] == result
        assert set(asked[1:]) == expected
    asked.clear()
    with paddle.no_grad():
        assert ours(x).stop_gradient
    assert asked == [result]


@NEEDS
def test_gradients_of_two_passes_add_up():
    """D sees real and fake images before its gradients are used."""
    found = []
    for layer in both("Conv2D", (3, 5, 4, 2, 1)):
        paddle.seed(1)
        x = batch(layer, 8, 4)
        (layer(x).sum() + layer(2 * x).square().sum()).backward()
        found.append(layer.weight.grad)
    assert_close(*found)


def penalty(network: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """Of the norm of the gradient, as in WGAN-GP (arXiv 1704.00028)."""
    (gradient,) = paddle.grad(network(x).sum(), x, create_graph=True)
    return ((gradient.square().sum(axis=[1, 2, 3]) + 1e-12).sqrt() - 1).square().mean()


@NEEDS
def test_second_derivatives_are_paddles():
    """Where Paddle has them: of the plain convolution."""
    found = []
    for module in (convolutions, nn):
        paddle.seed(0)
        network = nn.Sequential(
            module.Conv2D(1, 8, 4, 2, 1),
            nn.LeakyReLU(0.2),
            module.Conv2D(8, 16, 4, 2, 1),
            nn.Tanh(),
            module.Conv2D(16, 1, 4),
        )
        paddle.seed(1)
        x = batch(network[0], 16, 3)
        x.stop_gradient = False
        loss = network(x).mean() + 10 * penalty(network, x)
        loss.backward()
        found.append([loss, x.grad, *(parameter.grad for parameter in network.parameters())])
    for mine, paddles in zip(*found):
        assert_close(mine, paddles, 2e-5)


@NEEDS
@pytest.mark.parametrize("frozen", [False, True])
def test_second_derivatives_are_those_of_finite_differences(frozen):
    """The transposed convolution too, which Paddle cannot differentiate twice; of images and of weights."""
    paddle.seed(2)
    network = nn.Sequential(
        convolutions.Conv2DTranspose(2, 3, 4, 2, 1),
        nn.Tanh(),
        convolutions.Conv2D(3, 4, 3, 1, 1),
        nn.Tanh(),
        convolutions.Conv2D(4, 1, 4, 1, 0),
    )
    x = paddle.randn([2, 2, 3, 3])
    x.stop_gradient = False
    network[2].weight.stop_gradient = frozen
    penalty(network, x).backward()
    assert (network[2].weight.grad is None) == frozen
    for tensor in (x, network[0].weight, network[0].bias, network[2].bias, network[4].weight, network[2].weight):
        if tensor.grad is None:
            assert frozen
            continue
        direction, place = paddle.randn(tensor.shape), tensor.detach().clone()
        values = []
        for step in (1e-3, -1e-3):
            tensor.set_value(place + step * direction)
            values.append(penalty(network, x).item())
        tensor.set_value(place)
        slope = (tensor.grad * direction).sum().item()
        assert slope == pytest.approx((values[0] - values[1]) / 2e-3, rel=0.01, abs=3e-4)


@NEEDS
def test_third_derivatives():
    """Of w·x cubed in x, by convolutions with a kernel of one pixel: 6w³."""
    layer = convolutions.Conv2D(1, 1, 1, bias_attr=False)
    layer.weight.set_value(paddle.full([1, 1, 1, 1], 2.0))
    x = paddle.full([1, 1, 2, 2], 3.0)
    x.stop_gradient = False
    y = layer(x)
    y, expected = y * y * y, [3 * 8 * 9, 6 * 8 * 3, 6 * 8]
    for value in expected:
        (y,) = paddle.grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.numpy(), value, rtol=1e-6)


@NEEDS
def test_tensors_that_do_not_lie_as_they_read():
    """Paddle 3's transpose and slices are views of the memory of others."""
    ours, theirs = both("Conv2D", (3, 5, 4, 2, 1))
    whole = paddle.randn([6, 8, 8, 3])
    for x in (whole.transpose([0, 3, 1, 2]), whole.transpose([0, 3, 1, 2])[2:5], whole.transpose([0, 3, 2, 1])[::2]):
        for mine, paddles in zip(gradients(ours, x), gradients(theirs, x)):
            assert_close(mine, paddles)
    y = ours(whole.transpose([0, 3, 1, 2]))
    y.transpose([0, 2, 3, 1])[:, 1:].sum().backward()  # a gradient that is itself such a view


@NEEDS
@pytest.mark.parametrize(
    "options",
    [
        {"groups": 3},
        {"dilation": 2},
        {"padding": "SAME"},
        {"padding": [1, 0, 1, 0]},
        {"padding_mode": "reflect", "padding": 1},
        {"data_format": "NHWC"},
    ],
    ids=str,
)
def test_other_convolutions_are_paddles(options, monkeypatch):
    asked = counted(monkeypatch)
    ours, theirs = both("Conv2D", (3, 6, 3), **options)
    x = batch(ours, 9, 2)
    np.testing.assert_array_equal(ours(x).numpy(), theirs(x).numpy())
    assert asked == []


@NEEDS
def test_what_onednn_cannot_take_goes_to_paddle(monkeypatch):
    asked = counted(monkeypatch)
    ours, theirs = both("Conv2DTranspose", (3, 6, 3, 2))
    x = paddle.randn([2, 3, 4, 4])
    np.testing.assert_array_equal(ours(x, [10, 10]).numpy(), theirs(x, [10, 10]).numpy())
    for layer in (ours, theirs):
        layer.to(dtype="float64")
    x = x.astype("float64")
    np.testing.assert_array_equal(ours(x).numpy(), theirs(x).numpy())
    wrongs = [("Conv2D", (3, 6, 3), [2, 4, 5, 5]), ("Conv2D", (3, 6, 3), [3, 5, 5])]
    wrongs.append(("Conv2DTranspose", (3, 6, 3, 2, 0, 2), [2, 3, 4, 4]))  # the output's padding is a whole stride
    for kind, arguments, shape in wrongs:
        ours, theirs = both(kind, arguments)
        messages = []
        for layer in (ours, theirs):
            with pytest.raises(ValueError) as caught:  # noqa: PT011  (Paddle's words)
                layer(paddle.randn(shape))
            messages.append(str(caught.value).partition("(at ")[0])
        assert messages[0] == messages[1]
    assert asked == []


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [("Conv2D", (256, 1, 4), [4, 128, 4, 4]), ("Conv2DTranspose", (100, 256, 4), [4, 50, 1, 1])],
)
def test_a_wrong_number_of_channels_makes_no_other_number_of_images(kind, arguments, shape):
    """Where a convolution is one matrix product, two images were taken for one."""
    for layer in both(kind, arguments):
        with pytest.raises(ValueError, match="channel"):
            layer(paddle.zeros(shape))


def test_layers_are_paddles_layers():
    for ours, theirs in (both("Conv2D", (3, 5, 4)), both("Conv2DTranspose", (3, 5, 4))):
        assert isinstance(ours, type(theirs))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


@NEEDS
def test_an_operand_changed_in_place_is_an_error_and_no_wrong_gradient():
    for layer, changed in (
        (convolutions.Conv2D(2, 3, 3), "images"),
        (convolutions.Conv2D(2, 3, 3), "weights"),
        (activations.LeakyReLU(0.2), "result"),
    ):
        x = paddle.randn([1, 2, 4, 4])
        x.stop_gradient = False
        images = 2 * x
        y = layer(images)
        with paddle.no_grad():
            {"images": images, "weights": getattr(layer, "weight", None), "result": y}[changed].scale_(2.0)
        with pytest.raises((RuntimeError, SystemError, OSError), match="changed in place"):
            y.sum().backward()


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_matrix_product_has_the_same_bits_before_the_first_convolution_and_after_it(monkeypatch, before, after):
    """A run that is resumed begins anew with its first layer, and that may be a dense one, as DCGAN-MAXPOOL's is."""
    monkeypatch.setattr(cpu, "usable_cores", lambda: 2)
    pictures, layer = paddle.rand([1, 1, 32, 32]), convolutions.Conv2D(1, 8, 4)
    vectors, weights = paddle.rand([4, 1024]), paddle.rand([1024, 6272])
    found = []

    def thread_of_its_own() -> None:  # OpenMP knows nothing of it yet
        for count in (before, after):
            convolutions.use_threads(count)
            found.append((vectors @ weights).numpy())
            layer(pictures)
            found.append((vectors @ weights).numpy())

    worker = threading.Thread(target=thread_of_its_own)
    worker.start()
    worker.join()
    first, second, third, fourth = found
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(third, fourth)
