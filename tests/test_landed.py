"""What the version before `Game` left behind goes on in this one. `data/landed-*` was written by commit 1da1448."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.files.weights import load_params
from common.gan import GAN
from common.init import weights_init
from common.machine import onednn
from common.run.runs import load_losses
from common.train import run
from tests.conftest import here, train
from tests.runs import result, steps_written

import numpy as np
import pytest
from paddle import nn

DATA = Path(__file__).parent / "data"
RUN = DATA / "landed-toy"  # 40 steps of `build`: epochs of 29 steps, judged after the first
FLAGS = ["--dataset", "digits", "--threads", 1, "--batch-size", 64, "--sample-every", 20, "--device", "cpu", "--resume"]


def build(**settings: float) -> GAN:
    """A toy whose checkpoint is small enough to be kept in the repository."""
    generator = nn.Sequential(
        nn.Conv2DTranspose(100, 2, 4, bias_attr=False), nn.BatchNorm2D(2), nn.ReLU(),
        nn.Conv2DTranspose(2, 1, 8, 8, bias_attr=False), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2D(1, 4, 4, 4, bias_attr=False), nn.BatchNorm2D(4), nn.LeakyReLU(0.2),
        nn.Conv2D(4, 1, 8, bias_attr=False),
    )  # fmt: skip
    return GAN(generator.apply(weights_init), discriminator.apply(weights_init), nn.MSELoss(), **settings)


def go_on(folder: Path, steps: int) -> int:
    return here(lambda given: run("lsgan", build, given), *FLAGS, "--max-steps", steps, "--output-dir", folder)


@pytest.fixture
def landed(tmp_path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_a_landed_checkpoint_goes_on_as_it_would_have_there(landed):
    """To 70 steps by either version: the same losses and weights, but for the last bits on another processor."""
    assert go_on(landed, 70) == 0
    expected = np.genfromtxt(DATA / "landed-toy-70.csv", delimiter=",", names=True)
    found = load_losses(landed)
    assert list(found) == list(expected.dtype.names)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
    weights = load_params(landed / "generator.params")
    for name, value in load_params(DATA / "landed-toy-70.params").items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(weights[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_landed_run_stopped_again_is_the_same_run(landed, tmp_path):
    """Byte for byte, now that both parts are made here."""
    other = Path(shutil.copytree(landed, tmp_path / "other"))
    for steps in (50, 70):
        assert go_on(other, steps) == 0
    assert go_on(landed, 70) == 0
    assert steps_written(landed) == 70
    assert result(landed) == result(other)


def test_a_new_run_of_the_same_seed_is_the_landed_one(tmp_path):
    """From the first step: initial weights, order of the images, noise and updates are what they were."""
    assert go_on(tmp_path / "run", 40) == 0
    expected, found = load_losses(RUN), load_losses(tmp_path / "run")
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


def test_the_first_losses_of_both_families_are_the_landed_ones(family, tmp_path, monkeypatch):
    """`python FAMILY/train.py --dataset digits --threads 1 --max-steps 5`, seed 42, by Paddle's own convolutions.

    Equal to the last byte on the processor of then (see also `test_gan`); on another one sums are added up in another
    order, and each step makes some ten times as much of the difference.
    """
    monkeypatch.setattr(onednn, "library", None)  # what GAN_NO_ONEDNN=1 does
    monkeypatch.setattr("common.run.recorder.EMA_BATCHES", 1)  # no loss depends on it, and these convolutions are slow
    flags = ["--dataset", "digits", "--threads", 1, "--max-steps", 5, "--eval-every", 0, "--output-dir", tmp_path]
    assert train(family, *flags) == 0
    expected = np.genfromtxt(DATA / f"landed-{family}.csv", delimiter=",", names=True)
    found = load_losses(tmp_path)
    assert list(found) == list(expected.dtype.names)
    for name, values in found.items():
        np.testing.assert_allclose(values[0], expected[name][0], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(values, expected[name], rtol=0.02, atol=1e-3, err_msg=name)
