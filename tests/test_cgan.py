"""CGAN: both players are told the label, and it reaches the pictures."""

from __future__ import annotations

from pathlib import Path

from commands import sample
from common import data
from common.data import CLASSES
from common.run.families import builder
from common.run.runs import load_game
from tests.conftest import batch_of, make_gan, train
from tests.runs import TOY
from zoo.cgan import CGAN
from zoo.shared.labels import Conditional

import numpy as np
import paddle
import pytest
from paddle.nn.functional import softplus


@pytest.mark.parametrize("label", [None, 0, 7])
def test_latent_vectors_end_in_the_label_one_hot(label):
    latent = builder("cgan")().latent(np.random.default_rng(0), 23, label)
    assert latent.shape == (23, 110, 1, 1)
    noise, ones = latent[:, :100, 0, 0], latent[:, 100:, 0, 0]
    expected = np.arange(23) % 10 if label is None else np.full(23, label)
    np.testing.assert_array_equal(ones, np.eye(10)[expected])
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert (noise == builder("cgan")().latent(np.random.default_rng(0), 23)[:, :100, 0, 0]).all()  # whatever the label


def test_each_half_is_told_the_labels_of_the_batch(monkeypatch):
    game, batch = make_gan("cgan"), batch_of(0, 10)
    asked, told = [], []
    generate, judge = game.generator.forward, game.discriminator.forward
    monkeypatch.setattr(game.generator, "forward", lambda z: asked.append(z[:, 100:].numpy()) or generate(z))
    monkeypatch.setattr(game.discriminator, "forward", lambda x, y: told.append(y.numpy()) or judge(x, y))
    values = game.update(batch)
    expected = np.eye(10)[batch.labels.numpy()][:, :, None, None]
    assert (len(asked), len(told)) == (2, 3)
    for y in (*asked, *told):
        np.testing.assert_array_equal(y, expected)
    assert list(values) == ["loss_d", "loss_g", "penalty", "score_real", "score_fake"]


def test_losses_by_hand():
    """In NumPy from the scores of a twin: with sigmoid σ, -log σ(s) and -log(1 - σ(s))."""
    game, twin, batch = make_gan("cgan"), make_gan("cgan"), batch_of(0)
    values = game.update(batch)
    again = batch_of(0)
    y = paddle.to_tensor(np.eye(10, dtype=np.float32)[again.labels.numpy()][:, :, None, None])
    noise = again.draw(lambda rng, count: rng.standard_normal((count, 100, 1, 1), dtype=np.float32))
    fake = twin.generator(paddle.concat([noise, y], axis=1))
    real_score, fake_score = (
        1 / (1 + np.exp(-twin.discriminator(x, y)[0].numpy().astype(np.float64))) for x in (again.images, fake)
    )
    expected = -np.log(real_score).mean() - np.log(1 - fake_score).mean()
    assert values["loss_d"].item() == pytest.approx(expected, rel=1e-4)
    assert values["score_real"].item() == pytest.approx(real_score.mean(), rel=1e-4)
    assert values["score_fake"].item() == pytest.approx(fake_score.mean(), rel=1e-4)


def test_both_heads_are_penalised():
    paddle.seed(0)
    discriminator, batch = CGAN("two", "two").discriminator, batch_of(0)
    y = paddle.to_tensor(np.eye(10, dtype=np.float32)[batch.labels.numpy()][:, :, None, None])
    both = float(discriminator.steepness(batch.images, y))
    for head in (discriminator.real, discriminator.fits[-1]):
        weight = head.weight.clone()
        head.weight.set_value(paddle.zeros_like(weight))
        assert 0 < float(discriminator.steepness(batch.images, y)) < 0.999 * both
        head.weight.set_value(weight)


@pytest.mark.parametrize("heads", ["one", "two"])
def test_gs_loss_is_the_sum_over_the_heads(heads):
    paddle.seed(0)
    game = CGAN("two", heads)
    paddle.seed(0)
    twin = CGAN("two", heads)
    game.optimizers["discriminator"].set_lr(0.0)
    values, again = game.update(batch_of(0)), batch_of(0)
    y = paddle.to_tensor(np.eye(10, dtype=np.float32)[again.labels.numpy()][:, :, None, None])
    _, noise = (again.draw(super(Conditional, twin).latent) for _ in range(2))
    scores = twin.discriminator(twin.generator(paddle.concat([noise, y], axis=1)), y)
    assert len(scores) == (1 if heads == "one" else 2)
    assert float(values["loss_g"]) == pytest.approx(sum(float(softplus(-s).mean()) for s in scores), rel=1e-4)


@pytest.mark.parametrize("heads", ["one", "two"])
def test_the_three_parts_by_hand(heads, monkeypatch):
    """Real images with a wrong label count beside the fakes; of two heads only that of the fit is asked about them."""
    game, batch = CGAN("three", heads), batch_of(0, 10)
    asked, judge = [], game.discriminator.forward
    monkeypatch.setattr(game.discriminator, "forward", lambda x, y: asked.append((x, y, judge(x, y))) or asked[-1][2])
    values = game.update(batch)
    (real, _, right), (_, _, wrong), (again, other, misfit), (_, asked_for, _) = asked
    labels = batch.labels.numpy()
    assert (again.numpy() == real.numpy()).all()
    assert (other.numpy().argmax(axis=1).ravel() != labels).all()
    assert (asked_for.numpy().argmax(axis=1).ravel() == labels).all()
    softplus = lambda s: np.log1p(np.exp(s.numpy().astype(np.float64))).mean()  # noqa: E731
    terms = [*map(softplus, wrong), softplus(misfit[0])]
    expected = np.mean([softplus(-s) for s in right]) + np.mean(terms)
    assert (len(right), len(terms)) == ((1, 2) if heads == "one" else (2, 3))
    assert values["loss_d"].item() == pytest.approx(expected, rel=1e-4)


def test_the_head_for_real_does_not_see_the_label():
    discriminator = CGAN("two", "two").discriminator
    discriminator.eval()
    x, (one, other) = batch_of(0, 2).images, np.eye(10, dtype=np.float32)[[3, 4]][:, :, None, None]
    answers = [discriminator(x, paddle.to_tensor(np.stack([label, label]))) for label in (one, other)]
    assert (answers[0][1].numpy() == answers[1][1].numpy()).all()
    assert (answers[0][0].numpy() != answers[1][0].numpy()).all()


def test_the_grid_has_a_row_for_each_digit(monkeypatch):
    game, asked = make_gan("cgan"), []
    draw = game.sample
    monkeypatch.setattr(game, "sample", lambda z: asked.append(z) or draw(z), raising=False)
    images = game.show(batch_of(0))
    assert images.shape == (80, 1, 32, 32)
    (latent,) = asked
    assert latent[:, 100:, 0, 0].argmax(axis=1).tolist() == np.repeat(np.arange(10), 8).tolist()


def test_a_digit_on_demand(made_once, tmp_path, monkeypatch, say):
    """The command asks for that digit and no other; --interpolate too, whose ends then are two of the same digit."""

    def make(folder: Path) -> None:
        flags = ["--batch-size", 8, "--max-steps", 1, "--output-dir", folder]
        assert train("cgan", *TOY, *flags) == 0

    run, asked = made_once("cgan-of-a-step", make), []
    draw = builder("cgan").sample
    monkeypatch.setattr(builder("cgan"), "sample", lambda self, z: asked.append(z) or draw(self, z))
    for flags in (["--digit", 7], ["--digit", 7, "--interpolate", 0, 1], ["--interpolate", 0, 1]):
        said = say(sample.main, run, "--count", 12, "--npy", tmp_path / "a.npy", *flags)
        assert (said.status, said.err) == (0, "")
    seven, walk, free = (z[:, 100:, 0, 0] for z in asked)
    np.testing.assert_array_equal(seven, np.eye(10)[np.full(12, 7)])
    np.testing.assert_allclose(walk, np.eye(10)[np.full(12, 7)], atol=1e-6)
    np.testing.assert_allclose(free, np.eye(10)[np.zeros(12, int)], atol=1e-6)  # each seed's first digit is 0
    noise = asked[1][:, :100, 0, 0]
    assert np.linalg.norm(noise, axis=1).min() > 7  # on the sphere, not through its middle


def test_a_network_that_knows_nothing_is_at_the_floor(reference, tmp_path):
    """Whatever it draws, the judge reads the digit asked for one time in ten."""
    ((name, found),) = make_gan("cgan").measure(reference, tmp_path).items()
    assert name == "obeys the label"
    assert found.floor == 0.1
    assert found.figure == pytest.approx(0.1, abs=0.03)


def test_one_that_obeys_is_at_the_ceiling(reference, tmp_path, monkeypatch):
    """Real images of the digit asked for stand in for what it draws."""
    images, labels, _ = data.load_labelled("digits", "test")
    game = make_gan("cgan")
    chosen = {digit: images[np.flatnonzero(labels == digit)] for digit in range(CLASSES)}

    def obey(z: np.ndarray) -> np.ndarray:
        digits = z[:, 100:, 0, 0].argmax(axis=1)
        return np.stack([chosen[digit][place % len(chosen[digit])] for place, digit in enumerate(digits)])

    monkeypatch.setattr(game, "sample", obey, raising=False)
    (found,) = game.measure(reference, tmp_path).values()
    assert found.figure > 0.95


def test_what_is_judged_has_labels_as_frequent_as_in_the_data(tmp_path):
    """Also once the run is read back."""
    assert train("cgan", *TOY, "--max-steps", 1, "--eval-every", 0, "--output-dir", tmp_path) == 0
    labels = data.load("digits", labelled=True).labels
    shares = np.bincount(labels, minlength=10) / len(labels)
    game = load_game(tmp_path)
    np.testing.assert_allclose(game.label_shares, shares, atol=1e-9)
    drawn = game.population(np.random.default_rng(0), 50_000)[:, 100:, 0, 0]
    np.testing.assert_allclose(drawn.mean(axis=0), shares, atol=0.01)
