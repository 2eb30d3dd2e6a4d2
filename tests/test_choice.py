"""The way a convolution is computed: each is right, the quickest is taken, and a choice once made stays."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from common.machine import choice, cpu, onednn
from common.machine.primitives import OPERANDS, Convolution, GatheredWeights, Shape
from tests.test_convolutions import NEEDS

import numpy as np
import paddle
import pytest
from paddle import nn

SHAPES = [
    Shape((8, 64, 16, 16), (128, 64, 4, 4), (8, 128, 8, 8), (2, 2), (1, 1)),
    Shape((32, 128, 8, 8), (256, 128, 4, 4), (32, 256, 4, 4), (2, 2), (1, 1)),
    Shape((4, 8, 9, 10), (16, 8, 4, 6), (4, 16, 4, 5), (2, 2), (1, 2)),
    Shape((3, 5, 8, 7), (6, 5, 3, 3), (3, 6, 2, 2), (3, 3), (0, 0)),
    Shape((2, 6, 7, 7), (5, 6, 3, 3), (2, 5, 7, 7), (1, 1), (1, 1)),
]


class Fake:
    """Something that takes time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self, addresses: object) -> None:
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass


def fakes(**seconds: float) -> dict:
    return {name: lambda one=one: Fake(one) for name, one in seconds.items()}


@pytest.fixture(autouse=True)
def kernels(monkeypatch, tmp_path) -> Path:
    """A machine that has chosen nothing yet, and measures as at a user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "chosen", {})
    monkeypatch.setattr(choice, "measures", True)
    return tmp_path / "paddle-dcgan-lsgan/kernels"


@NEEDS
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_way_is_right(shape, threads, monkeypatch):
    """Within 5e-6 of the largest number, against float64."""
    monkeypatch.setattr(onednn, "LARGE", 0)
    monkeypatch.setattr(cpu, "threads", threads)
    rng = np.random.default_rng(0)
    given = {name: rng.standard_normal(sizes) for name, sizes in zip(OPERANDS, shape)}
    images, weights = (paddle.to_tensor(given[name], stop_gradient=False) for name in OPERANDS[:2])
    maps = nn.functional.conv2d(images, weights, None, shape.stride, shape.padding)
    maps.backward(paddle.to_tensor(given["maps"]))
    exact = {"images": images.grad, "weights": weights.grad, "maps": maps}

    for result in OPERANDS:
        right = exact[result].numpy().astype(np.float32)
        for name, make in onednn.ways(result, shape).items():
            operands = {each: paddle.to_tensor(numbers.astype(np.float32)) for each, numbers in given.items()}
            for _ in range(2):
                onednn.library.run((name, result, shape), make, [operands[each].data_ptr() for each in OPERANDS])
                error = np.abs(operands[result].numpy() - right).max() / np.abs(right).max()
                assert error < 5e-6, (result, name)


@NEEDS
def test_a_large_convolution_has_several_ways_and_a_small_one_has_not():
    large, small = SHAPES[1], SHAPES[2]
    assert [*onednn.ways("images", large)] == ["jit:avx512_core", "first"]
    assert [*onednn.ways("weights", large)] == ["first", "matmul"]
    assert all(len(onednn.ways(result, small)) == 1 for result in OPERANDS)


def test_another_way_has_to_be_clearly_quicker():
    assert choice.measured(fakes(first=0.002, other=0.001), []) == "other"
    assert choice.measured(fakes(first=0.001, other=0.001), []) == "first"


def test_a_slow_one_is_measured_three_times_after_its_warm_up():
    ran = []
    slow, fake = fakes(first=0.04)["first"](), fakes(other=0.001)
    slow.run = lambda addresses, run=slow.run: ran.append(run(addresses))
    assert choice.measured({"first": lambda: slow, **fake}, []) == "other"
    assert len(ran) == 4


def test_a_choice_is_made_once(kernels, monkeypatch):
    ways = fakes(first=0.002, other=0.001)
    assert choice.quickest("here/a", ways, []).seconds == 0.001
    assert (kernels / "here/a").read_text() == "other"
    monkeypatch.setattr(choice, "measured", lambda *_: pytest.fail("measured again"))
    assert choice.quickest("here/a", ways, []).seconds == 0.001
    choice.chosen.clear()  # another process
    assert choice.quickest("here/a", ways, []).seconds == 0.001
    (kernels / "here/a").write_text("first")
    assert choice.quickest("here/a", ways, []).seconds == 0.001  # not in the middle of a run
    assert [path.name for path in kernels.rglob("*") if path.is_file()] == ["a"]


def test_of_two_processes_that_choose_the_first_to_write_has_chosen_for_both(kernels):
    def choose() -> str:
        (kernels / "a").write_text("theirs")  # while this one measures
        return "ours"

    assert choice.settled(kernels / "a", ["ours", "theirs"], choose) == "theirs"


def test_what_cannot_be_kept_is_not_measured(kernels, monkeypatch):
    kernels.parent.write_text("no folder")
    monkeypatch.setattr(choice, "measured", lambda *_: pytest.fail("measured"))
    assert choice.quickest("here/a", fakes(first=1.0, other=0.1), []).seconds == 1.0


def test_where_a_file_system_has_no_links_nothing_is_measured(kernels, monkeypatch):
    """Each of two processes would have measured, and might have chosen otherwise."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(choice.os, "link", refused)
    monkeypatch.setattr(choice, "measured", lambda *_: pytest.fail("measured"))
    assert choice.quickest("a", fakes(first=1.0, other=0.1), []).seconds == 1.0
    assert list(kernels.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a way of another version"])
def test_a_damaged_choice_is_made_anew(kernels, content):
    kernels.mkdir(parents=True)
    (kernels / "a").write_bytes(content)
    assert choice.quickest("a", fakes(first=0.002, other=0.001), []).seconds == 0.001
    assert (kernels / "a").read_text() == "other"


@NEEDS
def test_a_run_goes_on_in_the_ways_it_began_with(kernels, capsys):
    """Whatever is kept here by now."""
    shape = SHAPES[1]
    for name, kind in (("matmul", GatheredWeights), ("first", Convolution)):
        onednn.go_on_with({"machine": onednn.machine(), "ways": {onednn.key_of("weights", shape): name}})
        operands = [paddle.rand(sizes) for sizes in shape[:3]]
        onednn.write_operand("weights", shape, *operands)
        assert type(onednn.library.kept["weights", shape]) is kind
    assert onednn.choices()["ways"] == {onednn.key_of("weights", shape): "first"}
    assert capsys.readouterr().err == ""
    assert not kernels.exists()


def test_a_run_from_another_machine_is_told(capsys):
    onednn.go_on_with({"machine": "a Z80, oneDNN 1.0, 1 thread", "ways": {}})
    said = capsys.readouterr().err
    assert said.startswith("note: this run comes from a Z80, oneDNN 1.0, 1 thread; here it is ")
    assert onednn.machine() in said
    assert said.count("\n") == 1
