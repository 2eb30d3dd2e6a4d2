"""Inversion: the latent vector whose image is nearest to a given one."""

from __future__ import annotations

import os
from pathlib import Path

from commands import sample
from commands.invert import held, invert
from common.run.runs import load_game
from tests.conftest import ROOT, check_refused, make_gan

import numpy as np
import paddle
import pytest
from PIL import Image

SHORT = {"count": 10, "steps": 60}


@pytest.fixture(scope="module")
def cgan():
    return load_game(ROOT / "zoo/pretrained/cgan")


def test_what_a_generator_drew_is_found_again_with_its_digit(cgan):
    drawn = cgan.sample(cgan.latent(np.random.default_rng(5), 1, 7))[0]
    found = invert(cgan, drawn, **SHORT)
    assert found.error < 0.05 * found.error_at_random
    np.testing.assert_allclose(cgan.sample(found.latent[None])[0], found.image, atol=1e-5)
    assert found.error == pytest.approx(((found.image - drawn) ** 2).mean(), rel=1e-3)
    assert found.latent[100:, 0, 0].argmax() == 7
    assert found.latent[100:].sum() == 1
    assert np.linalg.norm(found.latent[:100]) <= 12.001


def test_what_it_cannot_draw_stays_far(cgan):
    board = np.where(np.indices((32, 32)).sum(axis=0) % 2, 1.0, -1.0).astype(np.float32)[None]
    assert invert(cgan, board, **SHORT).error > 0.7


def test_a_label_is_kept(cgan):
    seven = cgan.sample(cgan.latent(np.random.default_rng(5), 1, 7))[0]
    found = invert(cgan, seven, label=1, **SHORT)
    assert found.latent[100:, 0, 0].argmax() == 1


def test_the_network_is_as_it_was(cgan):
    network = cgan.networks["generator"]
    network.train()
    network.sublayers()[-1].eval()
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    layers = [layer.training for layer in network.sublayers(include_self=True)]
    frozen = [parameter.stop_gradient for parameter in network.parameters()]
    invert(cgan, np.zeros((1, 32, 32), np.float32), count=10, steps=2)
    assert [layer.training for layer in network.sublayers(include_self=True)] == layers
    assert [parameter.stop_gradient for parameter in network.parameters()] == frozen
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all((value.numpy() == before[name]).all() for name, value in network.state_dict().items())


@pytest.mark.parametrize(("family", "size"), [("bigan", 28), ("vae_gan", 32)])
def test_an_encoder_gives_a_start(family, size, monkeypatch):
    """One that knows where the image comes from: Adam need not move."""
    game = make_gan(family)
    latent = game.latent(np.random.default_rng(1), 1)
    assert game.latent_of(np.zeros((3, 1, size, size), np.float32)).shape == (3, *latent.shape[1:])
    monkeypatch.setattr(game, "latent_of", lambda images: latent)
    found = invert(game, game.sample(latent)[0], count=2, steps=0)
    assert found.error < 1e-9
    np.testing.assert_array_equal(found.latent, latent[0])


def test_noise_stays_where_it_may_lie():
    noise = paddle.to_tensor([[3.0, -4.0], [30.0, 40.0], [0.0, 0.0]]).reshape([3, 2, 1, 1])
    np.testing.assert_array_equal(held(noise, "uniform").numpy().reshape(3, 2), [[1, -1], [1, 1], [0, 0]])
    longest = 2**0.5 + 2
    np.testing.assert_allclose(
        held(noise, "normal").numpy().reshape(3, 2),
        [[0.6 * longest, -0.8 * longest], [0.6 * longest, 0.8 * longest], [0, 0]],
        rtol=1e-6,
    )


def test_the_command_writes_the_picture_beside_its_nearest_and_says_the_error(tmp_path, say, monkeypatch, cgan):
    picture = tmp_path / "seven.png"
    drawn = cgan.sample(cgan.latent(np.random.default_rng(5), 1, 7))[0, 0]
    Image.fromarray(((drawn + 1) * 127.5).astype(np.uint8)).resize((96, 96), Image.BICUBIC).save(picture)
    flags = [
        ROOT / "zoo/pretrained/cgan",
        "--invert",
        picture,
        "--npy",
        tmp_path / "a.npy",
        "--out",
        tmp_path / "a.png",
    ]
    monkeypatch.setattr(sample, "invert", lambda *given: invert(*given, **SHORT))
    said = say(sample.main, *flags)
    assert (said.status, said.err) == (0, "")
    assert f"{picture}: the nearest image has a mean squared error of 0.0" in said.out
    given, nearest = np.load(tmp_path / "a.npy")
    assert ((given - nearest) ** 2).mean() < 0.05
    assert "bright" not in said.out
    with Image.open(tmp_path / "a.png") as grid:
        assert grid.height == 34 + 2
    Image.new("RGB", (50, 40), "white").save(picture)
    assert "try it with its colours inverted" in say(sample.main, *flags).out


def test_bad_input(tmp_path, run_dir, say):
    out = ["--out", tmp_path / "a.png"]
    text = Path(tmp_path / "a.txt")
    text.write_text("no picture")
    os.mkfifo(tmp_path / "pipe.png")
    bad = [(path, "PPM); name another") for path in (text, tmp_path, tmp_path / "pipe.png")]
    for picture, words in (*bad, (tmp_path / "none.png", "none.png: No such file")):
        check_refused(say(sample.main, run_dir, "--invert", picture, *out), words)
    check_refused(say(sample.main, run_dir, "--invert", text, "--reconstruct", *out), "--invert: looks for one picture")
