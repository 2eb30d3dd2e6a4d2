"""The library behind `common.machine.convolutions`: what is kept, how long, and when it is not used at all."""

from __future__ import annotations

import gc
import os

from common.machine import activations, convolutions, cpu, library, onednn
from common.machine.primitives import OPERANDS
from docs import onednn_ways
from tests.conftest import call
from tests.test_convolutions import LAYERS, NEEDS, assert_close, batch, both, gradients

import numpy as np
import paddle
import pytest
from paddle import nn


@pytest.fixture(autouse=True)
def _one_thread_afterwards():
    yield
    cpu.set_threads(1)


@NEEDS
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_each_time(threads):
    cpu.set_threads(threads)

    def bits():
        found = []
        for kind, arguments, size in LAYERS[:8]:
            layer = both(kind, arguments, bias_attr=False)[0]
            found += [tensor.numpy().tobytes() for tensor in gradients(layer, batch(layer, size, 9))[:3]]
        return found

    first = bits()
    for _ in range(3):
        onednn.library.kept.clear()  # new primitives, as in a new process
        assert bits() == first


@NEEDS
@pytest.mark.parametrize("result", OPERANDS)
def test_all_that_onednn_can_compute_an_operand_by_agrees(result):
    """What docs/onednn_ways.py compares computes the same."""
    shape = onednn_ways.shapes(2)["64 to 128 channels, 16x16, kernel 4, stride 2"]
    rng = np.random.default_rng(0)
    operands = {name: rng.standard_normal(sizes, dtype=np.float32) for name, sizes in zip(OPERANDS, shape)}
    made, found = operands[result], {}
    for name, way in onednn_ways.others(result, shape):
        made[:] = np.nan
        way.run([operands[operand].ctypes.data for operand in OPERANDS])
        found[name] = made.copy()
    assert len(found) > 2
    first = next(iter(found.values()))
    for name, each in found.items():
        np.testing.assert_allclose(each, first, atol=1e-4 * np.abs(first).max(), err_msg=name)


@NEEDS
def test_a_bounded_number_of_primitives_is_kept():
    ours, theirs = both("Conv2D", (2, 3, 3))
    with paddle.no_grad():
        for count in range(1, library.KEPT + 20):
            ours(paddle.zeros([count, 2, 4, 4]))
        assert len(onednn.library.kept) == library.KEPT
        x = paddle.randn([1, 2, 4, 4])
        assert_close(ours(x), theirs(x))


@NEEDS
def test_memory_stays_flat():
    layer = convolutions.Conv2D(4, 4, 3, 1, 1)
    x = paddle.randn([2, 4, 8, 8])

    def resident() -> int:
        for _ in range(150):
            layer(x).sum().backward()
            layer.clear_gradients()
        gc.collect()
        with open("/proc/self/statm") as file:  # noqa: PTH123  (not a file)
            return int(file.read().split()[1]) * 4096

    resident()
    before = resident()
    for _ in range(4):
        after = resident()
    assert after - before < 500_000  # 600 steps; a tensor left behind in each would be 1.2 MB


@NEEDS
def test_a_failed_call_is_an_error():
    with pytest.raises(library.OneDNNError, match=r"dnnl_memory_create returned \d"):
        onednn.library.make("memory_create", None, None, None)


@NEEDS
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("name", "arguments"), [("ReLU", ()), ("LeakyReLU", (0.2,)), ("LeakyReLU", (-0.5,)),
                                                  ("LeakyReLU", (0.0,))])  # fmt: skip
def test_activations_are_paddles_to_the_bit(name, arguments, threads):
    cpu.set_threads(threads)
    ours, theirs = (getattr(module, name)(*arguments) for module in (activations, nn))
    assert isinstance(ours, type(theirs))
    not_a_number = paddle.to_tensor([1.0, float("nan"), -1.0])
    turned = paddle.randn([4, 6, 8]).transpose([2, 0, 1])
    for data in (paddle.randn([5, 3, 7, 7]), turned, paddle.randn([3]), not_a_number):
        found = []
        for layer in (ours, theirs):
            x = data.detach()
            x.stop_gradient = False
            y = layer(x)
            (y * paddle.linspace(-1, 1, y.size).reshape(y.shape)).sum().backward()
            found.append((y.numpy(), x.grad.numpy()))
            assert layer(data).stop_gradient
        for mine, paddles in zip(*found):
            np.testing.assert_array_equal(mine, paddles)


@NEEDS
@pytest.mark.parametrize(("name", "arguments", "at_zero"), [("ReLU", (), 0.0), ("LeakyReLU", (0.2,), 0.2)])
def test_the_gradient_at_zero_is_that_of_the_left(name, arguments, at_zero):
    """PyTorch's and oneDNN's choice; Paddle's LeakyReLU takes the right one."""
    x = paddle.zeros([3])
    x.stop_gradient = False
    getattr(activations, name)(*arguments)(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), at_zero)


@NEEDS
def test_derivatives_of_activations():
    x = paddle.to_tensor([1.0, 2.0, -1.0])
    x.stop_gradient = False
    y = activations.LeakyReLU(0.5)(x * x * x)
    for expected in ([3, 12, 1.5], [6, 12, -3], [6, 6, 3]):
        (y,) = paddle.grad(y.sum(), x, create_graph=True)
        assert y.tolist() == expected


def test_without_onednn_the_convolutions_are_paddles():
    program = """
from common.machine import convolutions, cpu
import numpy, paddle
print(convolutions.library_name())
cpu.set_threads(2)
x, layer = paddle.randn([2, 3, 8, 8]), convolutions.Conv2D(3, 5, 4, 2, 1)
theirs = paddle.nn.functional.conv2d(x, layer.weight, layer.bias, 2, 1)
print(numpy.array_equal(layer(x).numpy(), theirs.numpy()))
"""
    finished = call("-c", program, GAN_NO_ONEDNN="1")
    assert finished.stdout.split("\n")[:2] == ["Paddle's convolutions", "True"], finished.stderr


@NEEDS
def test_a_library_of_another_version_is_not_used(monkeypatch):
    assert convolutions.library_name() == f"oneDNN {onednn.library.version}"
    assert library.open_library() is not None
    monkeypatch.setattr(library, "MAJOR", 4)
    assert library.open_library() is None
    monkeypatch.undo()
    monkeypatch.setattr(library.paddle, "__file__", "/nowhere/paddle/__init__.py")
    assert library.open_library() is None


@NEEDS
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_beside_a_computation_computes_too():
    """The lock that the computing thread holds is locked in the child for good."""
    with onednn.library.lock:
        child = os.fork()
        if not child:
            os._exit(not onednn.library.lock.acquire(timeout=5))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface")  # Paddle's own code asks for it
def test_a_network_becomes_a_graph():
    network = nn.Sequential(convolutions.Conv2D(1, 4, 3), activations.LeakyReLU(0.1))
    x = paddle.randn([3, 1, 8, 8])
    expected = network(x)
    assert_close(paddle.jit.to_static(network, full_graph=True)(x), expected)


def test_a_network_can_be_saved_as_a_graph(tmp_path):
    network = nn.Sequential(
        convolutions.Conv2DTranspose(5, 4, 4),
        activations.ReLU(),
        convolutions.Conv2D(4, 2, 3),
        activations.LeakyReLU(0.1),
    )
    network.eval()
    x = paddle.randn([3, 5, 1, 1])
    expected = network(x)
    paddle.jit.save(network, str(tmp_path / "network"), [paddle.static.InputSpec([None, 5, 1, 1])])
    assert_close(paddle.jit.load(str(tmp_path / "network"))(x), expected)
