"""What is exact about the families that reconstruct, or draw from a picture: VAE-GAN and StackGAN."""

from __future__ import annotations

import tracemalloc

from tests.conftest import batch_of
from tests.players import changed, movers, numbers, trained
from zoo.stackgan import Stack, StackGAN, enlarged, smoothly_enlarged
from zoo.vae_gan import VAEGAN, divergence, error

import numpy as np
import paddle
import pytest
from paddle.nn.functional import softplus

MODELS = ["ae", "vae", "vae-gan"]


def test_divergence_by_hand():
    """For N(1, 4) and N(0, 1): -½ (1 + log 4 - 1 - 4) = 2 - log 2; N(0, 1) itself has 0. Over the batch the mean."""
    mean, variance = np.zeros((2, 3, 1, 1), np.float32), np.ones((2, 3, 1, 1), np.float32)
    mean[0, 1], variance[0, 1] = 1, 4
    found = divergence(paddle.to_tensor(mean), paddle.to_tensor(np.log(variance)))
    assert float(found) == pytest.approx((2 - np.log(2)) / 2, rel=1e-6)


def test_divergence_is_that_of_the_integral():
    mean, variance = 0.7, 0.3
    x = np.linspace(-12, 12, 200_001)
    log_p, log_q = (-((x - m) ** 2) / (2 * v) - np.log(2 * np.pi * v) / 2 for m, v in ((mean, variance), (0, 1)))
    integral = (np.exp(log_p) * (log_p - log_q)).sum() * (x[1] - x[0])
    given = (paddle.full([1, 1, 1, 1], value) for value in (mean, np.log(variance)))
    assert float(divergence(*given)) == pytest.approx(integral, rel=1e-4)


def test_error_by_hand():
    a, b = paddle.zeros([2, 1, 2, 2]), paddle.to_tensor(np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2))
    assert float(error(a, b)) == sum(i * i for i in range(8)) / 2 / 2


@pytest.mark.parametrize("model", MODELS)
def test_who_moves_in_which_turn(model):
    game = VAEGAN(model)
    moved = movers(game, lambda: game.update(batch_of(0)))
    whose = {name: [name] for name in ("discriminator", "encoder", "generator")}
    if model != "vae-gan":
        whose = {"autoencoder": ["encoder", "generator"]}
    assert moved == {
        player: {f"{name}/{parameter}" for name in names for parameter in trained(game.networks[name])}
        for player, names in whose.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_shapes_and_columns(model):
    game, batch = VAEGAN(model), batch_of(0, 24)
    values = game.update(batch)
    assert all(value.ndim == 0 and value.stop_gradient for value in values.values())
    codes, kl = game.encode(batch.images, batch.draw(game.latent))
    assert codes.shape == [24, 100, 1, 1]
    assert (float(kl) == 0) == (model == "ae")
    images = batch.images.numpy()
    originals, made = game.reconstruct(images)
    assert (originals == images).all()
    assert made.shape == images.shape
    np.testing.assert_allclose(made[:5], game.reconstruct(images[:5])[1], atol=1e-5)
    shown = game.show(batch_of(0, 64))
    assert shown.shape == (64, 1, 32, 32)
    assert (game.ema is None, game.scores) == (model == "ae", (0.0, 1.0) if model == "vae-gan" else None)
    assert game.encoder.training


def test_an_autoencoders_code_is_exact_and_a_variational_ones_is_drawn():
    x = batch_of(0).images
    for model in MODELS:
        game = VAEGAN(model)
        (a, _), (b, _) = (game.encode(x, paddle.full([8, 100, 1, 1], noise)) for noise in (0.0, 1.0))
        deviation = (b - a).numpy()
        if model == "ae":
            assert (deviation == 0).all()
        else:
            np.testing.assert_allclose(2 * np.log(deviation), game.encoder(x)[:, 100:].numpy(), atol=1e-2)


def test_losses_of_vae_gan_by_hand():
    """D's, from the scores of a twin that has not moved: a coin has 2 log 2, however many kinds of fakes there are."""
    paddle.seed(0)
    game = VAEGAN(gamma=2e-3, penalty=0.0)
    paddle.seed(0)
    twin = VAEGAN()
    batch, again = batch_of(0), batch_of(0)
    noise, drawn = again.draw(twin.latent), again.draw(twin.latent)
    code, _ = twin.encode(again.images, noise)
    kinds = again.images, *twin.decode(code, drawn)
    real, copied, made = (twin.look(images)[1] for images in kinds)
    for player in ("discriminator", "encoder"):
        game.optimizers[player].set_lr(0.0)
    values = game.update(batch)
    expected = softplus(-real).mean() + (softplus(copied).mean() + softplus(made).mean()) / 2
    assert float(values["loss_d"]) == pytest.approx(float(expected), rel=1e-4)
    code, kl = twin.encode(again.images, noise)
    wrong = error(twin.look(twin.decode(code, drawn)[0])[0], twin.look(again.images)[0])
    assert float(values["loss_e"]) == pytest.approx(float(kl + 0.08 * wrong), rel=1e-4)
    expected = 2e-3 * wrong + (softplus(-copied).mean() + softplus(-made).mean()) / 2
    assert float(values["loss_g"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("model", ["ae", "vae"])
def test_losses_without_d_by_hand(model):
    paddle.seed(0)
    game = VAEGAN(model)
    paddle.seed(0)
    twin = VAEGAN(model)
    values, again = game.update(batch_of(0)), batch_of(0)
    code, kl = twin.encode(again.images, again.draw(twin.latent))
    wrong = float(error(twin.generator(code), again.images))
    assert float(kl) == 0 if model == "ae" else float(kl) > 0
    assert float(values["loss_a"]) == pytest.approx(wrong + float(kl), rel=1e-4)


def test_d_shows_its_middle_layer():
    features, scores = VAEGAN().look(batch_of(0).images)
    assert (features.shape, scores.shape) == ([8, 128, 8, 8], [8, 1, 1, 1])


def test_stack_shapes():
    net, z = Stack(), paddle.to_tensor(StackGAN().latent(np.random.default_rng(0), 5))
    assert net.first(z).shape == [5, 1, 16, 16]
    assert net(z).shape == [5, 1, 32, 32]
    picture = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    assert enlarged(picture)[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("stage", [1, 2])
def test_only_the_players_of_a_stage_move(stage):
    """And in stage II nothing of stage I, BatchNorm's statistics neither."""
    game = StackGAN(first_updates=1)
    before = {name: numbers(network) for name, network in game.networks.items()}
    moved = movers(game, lambda: game.update(batch_of(stage - 1)))
    assert list(moved) == [f"discriminator_{stage}", f"generator_{stage}"]
    own = {f"generator/{name}" for name in trained(game.generator) if name.startswith(["first", "second"][stage - 1])}
    assert moved[f"generator_{stage}"] == own
    discriminator = game.networks[f"discriminator_{stage}"]
    assert moved[f"discriminator_{stage}"] == {f"discriminator_{stage}/{name}" for name in trained(discriminator)}
    other = 3 - stage
    assert not changed(before[f"discriminator_{other}"], numbers(game.networks[f"discriminator_{other}"]))
    touched = changed(before["generator"], numbers(game.generator))
    assert {name.split(".")[0] for name in touched} == {["first", "second"][stage - 1]}


@pytest.mark.parametrize("stage", [1, 2])
def test_what_stackgans_players_are_shown_and_their_losses(stage):
    """Both D see the label beside the picture, D of stage I a picture of which each 2x2 pixels are averaged."""
    game, batch, seen = StackGAN(first_updates=1, penalty=0.0), batch_of(stage - 1), []
    discriminator = game.networks[f"discriminator_{stage}"]
    discriminator.register_forward_post_hook(lambda net, inputs, scores: seen.append((inputs[0], scores)))
    values = game.update(batch)
    (real, right), (fake, wrong), (other, misfit), (again, fooled) = seen
    images = batch.images.numpy()
    expected = images.reshape(8, 1, 16, 2, 16, 2).mean(axis=(3, 5)) if stage == 1 else images
    np.testing.assert_allclose(real[:, :1].numpy(), expected, atol=1e-6)
    label = np.eye(10)[batch.labels.numpy()][:, :, None, None] * np.ones(expected.shape[2:])
    for shown in (real, fake, again):
        np.testing.assert_array_equal(shown[:, 1:].numpy(), label)
    assert (fake[:, :1].numpy() != again[:, :1].numpy()).any()  # drawn anew for G
    assert (other[:, :1].numpy() == real[:, :1].numpy()).all()
    told = other[:, 1:].numpy().max(axis=(2, 3))
    assert (told.sum(axis=1) == 1).all()
    assert (told.argmax(axis=1) != batch.labels.numpy()).all()
    loss_d = softplus(-right).mean() + (softplus(wrong).mean() + softplus(misfit).mean()) / 2
    assert float(values["loss_d"]) == pytest.approx(float(loss_d), rel=1e-5)
    assert float(values["loss_g"]) == pytest.approx(float(softplus(-fooled).mean()), rel=1e-5)


def test_stackgans_stage_two_stands_on_the_statistics_of_all_processes(monkeypatch):
    """Each has its own until then, and a checkpoint the first one's alone."""
    monkeypatch.setattr("zoo.stackgan.mean_over_processes", lambda tensor: paddle.full_like(tensor, 0.5))
    game = StackGAN(first_updates=1)
    statistics = [p for p in game.generator.first.parameters() if p.stop_gradient]
    for step, same in ((0, False), (1, True), (2, True)):
        game.update(batch_of(step))
        assert [bool((p == 0.5).all()) for p in statistics] == [same] * len(statistics)
    assert statistics


def test_stackgans_stage_two_is_measured_beside_an_enlarged_stage_one(reference, tmp_path, monkeypatch):
    """Stage I draws real digits made small here, stage II the real ones themselves."""
    game, real = StackGAN(), reference.unseen
    small = real.reshape(len(real), 1, 16, 2, 16, 2).mean(axis=(3, 5))
    monkeypatch.setattr(game, "apply", lambda network, z: small, raising=False)
    monkeypatch.setattr(game, "sample", lambda z: np.resize(real, (len(z), *real.shape[1:])), raising=False)
    found = game.measure(reference, tmp_path)
    assert found["stage I"].figure == pytest.approx(found["stage I"].floor, rel=1e-3)
    assert found["stage II"].floor == found["stage I"].figure
    assert found["stage II"].figure < found["stage II"].floor / 2


def test_a_rule_enlarges_without_moving_the_picture():
    line = np.full((1, 1, 16, 16), -1, np.float32)
    line[..., 7:9] = 1  # in the middle
    found = smoothly_enlarged(line)
    assert found.shape == (1, 1, 32, 32)
    assert (found.min(), found.max()) == (-1, 1)
    np.testing.assert_allclose(found, found[..., ::-1], atol=1e-4)


def test_a_hundred_pictures_are_enlarged_in_the_memory_of_a_few():
    """Over all axes at once the rule padded each, that of the colours, too: 40 MB here, 650 for what is measured."""
    pictures = np.zeros((100, 1, 16, 16), np.float32)
    tracemalloc.start()
    try:
        smoothly_enlarged(pictures)
        assert tracemalloc.get_traced_memory()[1] < 20 * pictures.nbytes
    finally:
        tracemalloc.stop()


def test_the_stage_is_in_the_losses_and_the_pictures_are_pairs():
    game = StackGAN(first_updates=2)
    rows = [game.update(batch_of(step)) for step in range(4)]
    assert [float(row["stage"]) for row in rows] == [1, 1, 2, 2]
    assert len({tuple(row) for row in rows}) == 1
    shown = game.show(batch_of(0))
    assert shown.shape == (80, 1, 32, 32)
    first, second = shown[0::2], shown[1::2]
    assert (first[:, :, ::2, ::2] == first[:, :, 1::2, 1::2]).all()
    assert (second[:, :, ::2, ::2] != second[:, :, 1::2, 1::2]).any()
