"""What is exact about the families that know what is in a picture: InfoGAN's codes, BiGAN's encoder."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from common import data
from common.game import Batch, Game
from common.losses import non_saturating
from common.run.families import builder
from common.run.recorder import Recorder
from tests.conftest import batch_of, make_gan, train
from tests.players import losses_minimised, movers
from zoo.bigan import BiGAN, pairs, relative_distance
from zoo.infogan import CATEGORIES, NOISE, NUMBERS, misread
from zoo.shared.categories import from_any_on, matched_share, shears
from zoo.shared.codes import known_by_neighbour

import numpy as np
import paddle
import pytest
from paddle.nn.functional import affine_grid, grid_sample, softplus
from PIL import Image


def pictures(count: int = 8) -> Batch:
    """A batch of noise in place of images of 28x28."""
    images = np.random.default_rng(0).uniform(-1, 1, (count, 1, 28, 28)).astype(np.float32)
    return Batch((paddle.to_tensor(images), None), np.arange(count), np.random.default_rng(1))


def networks_moved(game: Game, batch: Batch) -> dict[str, set[str]]:
    """Player to the networks of which any weight moves in its turn."""
    moved = movers(game, lambda: game.update(batch))
    return {player: {name.partition("/")[0] for name in names} for player, names in moved.items()}


@pytest.mark.parametrize("label", [None, 0, 7])
def test_infogans_latent_vectors_are_noise_a_category_and_two_numbers(label):
    game = make_gan("infogan")
    latent = game.latent(np.random.default_rng(0), 400, label)
    assert latent.shape == (400, 74, 1, 1)
    assert latent.dtype == np.float32
    noise, ones, numbers = np.split(latent[:, :, 0, 0], [62, 72], axis=1)
    np.testing.assert_array_equal(ones, np.eye(10)[np.arange(400) % 10 if label is None else np.full(400, label)])
    for drawn in (noise, numbers):
        assert -1 <= drawn.min() < -0.95
        assert 0.95 < drawn.max() < 1
        assert drawn.std() == pytest.approx(3**-0.5, abs=0.03)
    free = game.latent(np.random.default_rng(0), 400)
    assert (np.delete(free, np.s_[62:72], axis=1) == np.delete(latent, np.s_[62:72], axis=1)).all()


def test_gs_noise_and_numbers_are_as_loud_as_the_flag_says_and_the_category_is_whole():
    """At 1 it is DCGAN's generator; at 0 noise and numbers change nothing, the category does."""
    quiet, plain = (builder("infogan")(noise_scale=scale).generator for scale in (0.0, 1.0))
    z = paddle.to_tensor(make_gan("infogan").latent(np.random.default_rng(0), 6))
    category = z[:, NOISE:-NUMBERS]
    noise_turned = paddle.concat([z[:, :NOISE] * -1, category, z[:, -NUMBERS:]], axis=1)
    numbers_turned = paddle.concat([z[:, :NOISE], category, z[:, -NUMBERS:] * -1], axis=1)
    for other in (noise_turned, numbers_turned):
        assert (quiet(z).numpy() == quiet(other).numpy()).all()
        assert (plain(z).numpy() != plain(other).numpy()).any()
    assert (plain(z).numpy() == plain.gen(z).numpy()).all()
    assert (quiet(z).numpy()[0] != quiet(z).numpy()[1]).any()


def test_what_q_misread_by_hand():
    read = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    z = make_gan("infogan").latent(np.random.default_rng(1), 5)
    category, numbers = misread(paddle.to_tensor(read), paddle.to_tensor(z))
    logits = read[:, :10].astype(np.float64)
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert float(category) == pytest.approx(-np.log(likely[np.arange(5), np.arange(5)]).mean(), rel=1e-5)
    assert float(numbers) == pytest.approx(((read[:, 10:] - z[:, 72:, 0, 0]) ** 2).mean(), rel=1e-5)


def test_a_q_that_knows_nothing_misreads_as_the_page_says():
    z = paddle.to_tensor(make_gan("infogan").latent(np.random.default_rng(1), 5000))
    category, numbers = misread(paddle.zeros([5000, 12]), z)
    assert float(category) == pytest.approx(np.log(10), rel=1e-5)
    assert float(numbers) == pytest.approx(1 / 3, abs=0.01)


def test_categories_are_matched_to_digits_one_to_one():
    digits = np.random.default_rng(0).integers(0, 10, 500)
    names = np.random.default_rng(1).permutation(10)
    assert matched_share(names[digits], digits) == 1
    assert matched_share(np.zeros(500, int), digits) == np.bincount(digits).max() / 500  # all in one: only one counts
    counts = np.array([[3, 0, 2], [4, 1, 0], [0, 0, 5]])  # the greatest first, 5 + 4 + 0, is not the best: 3 + 1 + 5
    categories, kinds = (np.repeat(index, counts.ravel()) for index in np.indices((3, 3)).reshape(2, -1))
    assert matched_share(categories, kinds) == pytest.approx(9 / 15)


def test_small_batches_have_every_category_as_often():
    """In turn from the first on, a batch of eight would never have the last two."""
    game, rng = make_gan("infogan"), np.random.default_rng(0)
    drawn = np.concatenate([from_any_on(game, rng, 8) for _ in range(500)])[:, NOISE : NOISE + CATEGORIES, 0, 0]
    np.testing.assert_allclose(drawn.mean(axis=0), 0.1, atol=0.02)


def test_q_moves_with_d_and_never_with_g():
    expected = {"discriminator": {"discriminator", "reader"}, "generator": {"generator"}}
    assert networks_moved(make_gan("infogan"), batch_of(0)) == expected


def test_infogans_losses_are_those_of_the_page(monkeypatch):
    """A twin has the scores; what Q misread stands in columns of its own."""
    game, twin, batch, again = make_gan("infogan"), make_gan("infogan"), batch_of(0), batch_of(0)
    game.optimizers["discriminator"].set_lr(0.0)
    minimised = losses_minimised(monkeypatch)
    values = game.update(batch)
    z, z_g = (again.draw(lambda *drawn: from_any_on(twin, *drawn)) for _ in range(2))
    real, (fake, of_d) = twin.discriminator(again.images), twin.look(twin.generator(z), again)
    assert float(values["loss_d"]) == pytest.approx(float(non_saturating.discriminator(real, fake)), rel=1e-4)
    category, numbers = misread(of_d, z)
    assert minimised[0] == pytest.approx(float(values["loss_d"] + category + 0.1 * numbers), rel=1e-4)
    fooled, of_g = twin.look(twin.generator(z_g), again)
    assert float(values["loss_g"]) == pytest.approx(float(non_saturating.generator(fooled)), rel=1e-4)
    for name, expected in zip(("category", "numbers"), misread(of_g, z_g)):
        assert float(values[name]) == pytest.approx(float(expected), rel=1e-4)
    wanted = values["loss_g"] + values["category"] + 0.1 * values["numbers"]
    assert minimised[-1] == pytest.approx(float(wanted), rel=1e-4)
    assert list(values) == ["loss_d", "loss_g", "category", "numbers", "penalty", "score_real", "score_fake"]


def test_infogans_step_sizes_go_where_they_belong():
    optimizers = builder("infogan")(learning_rate=1e-4, learning_rate_d=1e-5).optimizers
    assert {player: one.get_lr() for player, one in optimizers.items()} == {"generator": 1e-4, "discriminator": 1e-5}


def test_the_category_is_read_off_sheared_pictures_and_the_numbers_off_upright_ones():
    game, upright = builder("infogan")(shear=0.5), builder("infogan")(shear=0.0)
    for name, network in upright.networks.items():
        network.set_state_dict(game.networks[name].state_dict())
    images = batch_of(0).images
    (score, read), (score_upright, read_upright) = (one.look(images, batch_of(0)) for one in (game, upright))
    np.testing.assert_array_equal(score.numpy(), score_upright.numpy())
    same = np.isclose(read.numpy(), read_upright.numpy(), rtol=1e-4)
    assert same[:, CATEGORIES:].all()
    assert not same[:, :CATEGORIES].all(axis=1).any()


def test_a_sheared_line_leans_by_up_to_the_slope_that_the_flag_says():
    line = np.full((1000, 1, 32, 32), -1, np.float32)
    line[..., 15:17] = 1
    matrices = paddle.to_tensor(shears(np.random.default_rng(0), 1000, slope=0.5))
    ink = grid_sample(paddle.to_tensor(line), affine_grid(matrices, line.shape), padding_mode="border").numpy() + 1
    places = (ink * np.arange(32)).sum(axis=(1, 3)) / ink.sum(axis=(1, 3))
    slopes = (places[:, -1] - places[:, 0]) / 31
    assert -0.5 <= slopes.min() < -0.49
    assert 0.49 < slopes.max() <= 0.5
    assert slopes.mean() == pytest.approx(0, abs=0.03)


def test_infogans_grid_varies_the_category_down_and_the_first_number_along(monkeypatch):
    game, asked = make_gan("infogan"), []
    draw = game.sample
    monkeypatch.setattr(game, "sample", lambda z: asked.append(z[:, :, 0, 0]) or draw(z), raising=False)
    assert game.show(batch_of(0)).shape == (80, 1, 32, 32)
    (z,) = asked
    np.testing.assert_array_equal(z[:, NOISE : NOISE + CATEGORIES].argmax(axis=1), np.repeat(np.arange(10), 8))
    np.testing.assert_allclose(z[:, 72], np.tile(np.linspace(-1, 1, 8), 10), atol=1e-6)
    assert (z[:, :NOISE] == z[0, :NOISE]).all()
    assert (z[:, 73] == z[0, 73]).all()


def test_g_and_e_have_the_swapped_loss():
    """Its slope has the other sign of D's: a pair's score goes where D does not want it."""
    scores = (
        paddle.to_tensor([0.3, -1.2, 2.0], stop_gradient=False),
        paddle.to_tensor([0.5, 0.1, -2.0], stop_gradient=False),
    )
    slopes = []
    for loss in (non_saturating.discriminator(*scores), non_saturating.discriminator(*reversed(scores))):
        slopes.append([slope.numpy() for slope in paddle.grad(loss, scores)])
    for of_d, of_both in zip(*slopes):
        assert (np.sign(of_d) == -np.sign(of_both)).all()
        np.testing.assert_allclose(of_both - of_d, np.sign(of_both[0]) / 3, atol=1e-6)  # σ(s) and σ(-s) make 1
    game, twin, batch, again = make_gan("bigan", 1), make_gan("bigan", 1), pictures(), pictures()
    game.optimizers["discriminator"].set_lr(0.0)
    values = game.update(batch)
    z_d, z, x = again.draw(twin.latent), again.draw(twin.latent), again.images
    judge = lambda x, z: twin.discriminator(pairs(x, z))  # noqa: E731
    real, fake = judge(x, twin.encoder(x)), judge(twin.generator(z_d), z_d)
    assert float(values["loss_d"]) == pytest.approx(float(softplus(-real).mean() + softplus(fake).mean()), rel=1e-4)
    encoded, drawn = (-judge(x, twin.encoder(x)).numpy(), judge(twin.generator(z), z).numpy())
    expected = np.log1p(np.exp(-encoded)).mean() + np.log1p(np.exp(-drawn)).mean()
    assert float(values["loss_g"]) == pytest.approx(expected, rel=1e-4)


def test_g_and_e_move_in_one_step():
    expected = {"discriminator": {"discriminator"}, "both": {"generator", "encoder"}}
    assert networks_moved(make_gan("bigan"), pictures()) == expected


def test_bigans_latent_vectors_and_codes_have_one_range_and_shape():
    game = make_gan("bigan")
    z = game.latent(np.random.default_rng(0), 500)
    assert z.shape == (500, 50, 1, 1)
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() < 1
    codes = game.apply(game.encoder, pictures().images.numpy())
    assert codes.shape == (8, 50, 1, 1)
    assert np.abs(codes).max() < 1
    assert game.encoder.training


def test_bigans_grid_has_originals_above_their_reconstructions():
    game, batch = make_gan("bigan"), pictures(40)
    images = game.show(batch).reshape(4, 2, 8, 1, 28, 28)
    originals = batch.images[:32].numpy()
    np.testing.assert_array_equal(images[:, 0].reshape(originals.shape), originals)
    np.testing.assert_allclose(images[:, 1].reshape(originals.shape), game.reconstruct(originals)[1], atol=1e-6)


def test_bigans_measures_by_hand():
    x = np.zeros((4, 1, 2, 2), np.float32)
    x[:, 0, 0, 0] = [0, 1, 0, 1]
    assert relative_distance(x, x) == 0
    assert relative_distance(x, x * 0.8) == pytest.approx(0.1 / 0.9)  # 0, 0.2, 0, 0.2 over 0.8, 1, 0.8, 1
    assert relative_distance(x, np.full_like(x, 0.5)) == pytest.approx(1)  # the mean of all: no nearer to its own
    codes, others = np.array([0, 5, 9])[:, None, None, None], np.array([0.1, 5.1, 9.1])[:, None, None, None]
    assert known_by_neighbour(codes, np.array([1, 2, 3]), others, np.array([1, 2, 7])) == pytest.approx(2 / 3)


def test_infogans_yardsticks_at_their_ceiling(reference, tmp_path, monkeypatch):
    """A Q that is always right, with the categories in another order than the digits."""
    game, digits = make_gan("infogan"), reference.see(reference.unseen[::2]).classes
    right = {2000: np.arange(2000) % 10, len(digits): (digits + 3) % 10}
    monkeypatch.setattr(game, "categories", lambda images: right[len(images)], raising=False)
    own, known = game.measure(reference, tmp_path).values()
    assert (own.figure, own.floor) == (1, 0.1)
    assert known.figure == 1 > known.floor


def test_bigans_yardsticks_at_their_ceiling(reference, tmp_path, monkeypatch):
    """Codes that are the digit, and pictures that are the originals; the random encoder's are noise and others."""
    game, x = make_gan("bigan"), reference.unseen_at(28)
    digits, rng = reference.see(reference.unseen).classes, np.random.default_rng(0)
    codes = (np.eye(50)[digits] + rng.normal(0, 1e-3, (len(x), 50)))[:, :, None, None]
    noise = rng.normal(0, 1, codes.shape)
    monkeypatch.setattr(game, "apply", lambda net, _: codes if net is game.encoder else noise, raising=False)
    monkeypatch.setattr(game, "sample", lambda z: x if z is codes else np.roll(x, 5, axis=0), raising=False)
    near, known = game.measure(reference, tmp_path).values()
    assert near.figure == 0
    assert near.floor == pytest.approx(1, abs=0.1)
    assert (known.figure, known.floor) == (pytest.approx(1, abs=0.01), pytest.approx(0.1, abs=0.06))


def test_unseen_images_in_another_size_are_not_resized_twice(reference):
    assert reference.unseen_at(32) is reference.unseen
    np.testing.assert_array_equal(reference.unseen_at(28), data.load_labelled("digits", "test", size=28)[0])


def test_fewer_images_than_a_grid_shows(tmp_path):
    """The grid of a family that begins with real images then shows some twice."""
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    flags = ["--dataset", "folder", "--data-dir", tmp_path, "--batch-size", 8, "--max-steps", 1]
    assert train("bigan", *flags, "--output-dir", tmp_path / "run") == 0


def test_a_generator_whose_time_has_not_come_is_not_judged():
    game = SimpleNamespace(networks={"generator": None}, judged_from=5)
    recorder, looked = Recorder.__new__(Recorder), []
    recorder.game, recorder._measure_statistics = game, looked.append
    recorder.shows = SimpleNamespace(only=lambda what: contextlib.nullcontext())
    recorder.examiner = SimpleNamespace(examine=lambda game: None)
    for step in (4, 5):
        recorder.judge(step, 0)
    assert looked == [5]


@pytest.mark.parametrize(("regress", "times"), [(10.0, 3), (0.0, 2)])
def test_without_the_regression_bigans_encoder_sees_no_fakes(regress, times):
    """Nor does its BatchNorm, whose statistics reconstruct."""
    game, seen = BiGAN(regress=regress), []
    game.encoder.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].numpy()))
    batch = pictures()
    game.update(batch)
    assert len(seen) == times
    assert sum((x == batch.images.numpy()).all() for x in seen) == 2
