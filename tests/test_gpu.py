"""What is otherwise on a GPU, as far as a machine without one can show it."""

from __future__ import annotations

import re

from common.machine import channels, convolutions, onednn, processes
from common.run.commandline import command
from common.run.families import builder
from tests.conftest import ROOT, batch_of_noise

import nbformat
import numpy as np
import paddle
import pytest
from paddle import Tensor

# With penalties, of which the second derivative is asked for, through BatchNorm, pooling and biases.
CASES = [("dcgan", {"penalty": 1.0}), ("dcgan_maxpool", {}), ("wgan_gp", {"critic_steps": 1}), ("fc_gan", {})]


def linear_of_cuda(x: Tensor, weight: Tensor, bias: Tensor | None = None, name: str | None = None) -> Tensor:
    """What `paddle.nn.functional.linear` is in a Paddle 3.3.1 that was built for CUDA: an operation of its own."""
    return paddle.matmul(x, weight) if bias is None else paddle._C_ops.linear_v2(x, weight, bias, False)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
def test_paddles_own_operations_compute_the_same(name, settings, monkeypatch):
    rows = []
    for ours in (True, False):
        if not ours:
            monkeypatch.setattr(onednn, "library", None)
            monkeypatch.setattr(channels, "on_cpu", lambda _: False)
            if hasattr(paddle._C_ops, "linear_v2"):
                monkeypatch.setattr(paddle.nn.functional, "linear", linear_of_cuda)
        paddle.seed(0)
        game = builder(name)(**settings)
        rows.append({column: value.item() for column, value in game.update(batch_of_noise(game, 8, 0)).items()})
    assert rows[0]["penalty"] > 0
    assert rows[1] == pytest.approx(rows[0], rel=5e-3)


def test_a_run_on_a_gpu_names_it_and_not_the_processor(monkeypatch):
    """What its last bits depend on, in the checkpoint and in the header."""
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    monkeypatch.setattr(paddle.device.cuda, "get_device_name", lambda: "Tesla V100")
    assert onednn.machine() == "Tesla V100, Paddle's convolutions"
    assert convolutions.library_name() == "Paddle's convolutions"


@pytest.mark.parametrize("words", ["(External) CUDA error(719), unspecified launch failure.", "ExternalError: CUDNN"])
def test_a_fault_of_cuda_shows_where(words):
    """Paddle makes an `OSError` of it, and one of these is else the system's word for what a user can mend."""

    def fails() -> None:
        raise OSError(words)

    with pytest.raises(OSError, match="CUD"):
        command(fails)()


@pytest.mark.parametrize(
    ("asked", "fits"), [("auto", True), ("gpu", True), ("gpu:1", True), ("gpu:0", False), ("cpu", False)]
)
def test_the_launcher_chooses_the_device(asked, fits, monkeypatch):
    monkeypatch.setattr(processes, "launched_processes", lambda: 2)
    monkeypatch.setattr(paddle.distributed, "init_parallel_env", lambda: None)
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 1)
    monkeypatch.setattr(paddle.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:1")
    if fits:
        assert processes.start(asked) == (0, 1)
        return
    with pytest.raises(
        ValueError, match=f"--device {asked}: the launcher gives this process gpu:1; leave the flag out"
    ):
        processes.start(asked)


def test_clipped_weights_go_on_being_trained():
    """In place: on a GPU a copy by way of the host would wait for all the work before it."""
    game = builder("wgan")(critic_steps=1)
    weights = [p for p in game.critic.parameters() if not p.stop_gradient]
    assert len(weights) == 8
    game.update(batch_of_noise(game, 4, 0))
    clipped = [p.numpy().copy() for p in weights]
    game.update(batch_of_noise(game, 4, 1))
    assert all((p.numpy() != before).any() for p, before in zip(weights, clipped))
    assert max(np.abs(p.numpy()).max() for p in weights) == np.float32(0.01)


def test_runs_that_are_to_be_equal_are_a_cpus():
    """cuDNN need not add in a fixed order, unless `FLAGS_cudnn_deterministic` is set."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        exercises = nbformat.read(path, as_version=4).cells[-1].source
        found += [code for code in re.findall(r"^```$(.*?)^```$", exercises, re.M | re.S) if "\ncmp " in code]
    commands = [line for code in found for line in code.splitlines() if "train.py" in line]
    assert len(commands) == 3
    assert all("--device cpu" in command for command in commands)


def test_what_asserts_hold_for_one_draw_of_weights_draws_it_on_the_cpu():
    """Paddle's generator of a GPU gives other numbers for the same seed; of five seeds one ended notebook 1."""
    cells = nbformat.read(ROOT / "notebooks/1_gan_from_scratch.ipynb", as_version=4).cells
    first = next(cell.source for cell in cells if cell.cell_type == "code")
    lines = [line.partition("  #")[0] for line in first.splitlines()]
    assert lines.index('paddle.set_device("cpu")') < lines.index("paddle.seed(0)")
