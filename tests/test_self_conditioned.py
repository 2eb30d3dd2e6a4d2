"""The self-conditioned GAN: the categories that stage I has found are stage II's labels."""

from __future__ import annotations

from common.game import Batch
from tests.conftest import batch_of
from tests.players import losses_minimised, movers
from zoo.self_conditioned import SelfConditioned
from zoo.shared.categories import from_any_on, likeliest, sheared

import numpy as np
import paddle
import pytest
from paddle.nn.functional import cross_entropy, softplus


@pytest.fixture
def game() -> SelfConditioned:
    """One whose second update is stage II's."""
    paddle.seed(0)
    return SelfConditioned(first_updates=1)


@pytest.mark.parametrize("stage", [1, 2])
def test_only_the_networks_of_a_stage_move(game, stage):
    """And in stage II nothing of stage I, BatchNorm's statistics neither."""
    before = {name: network.state_dict() for name, network in game.networks.items()}
    before = {name: {key: value.numpy().copy() for key, value in state.items()} for name, state in before.items()}
    moved = movers(game, lambda: game.update(batch_of(stage - 1)))
    players = [["discriminator_1", "generator_1"], ["discriminator", "generator"]]
    assert {player: {name.partition("/")[0] for name in names} for player, names in moved.items()} == {
        player: {player} for player in players[stage - 1]
    }
    assert stage == 2 or "discriminator_1/reader.1.weight" in moved["discriminator_1"]  # Q moves with D
    for name in players[2 - stage]:
        for key, value in game.networks[name].state_dict().items():
            if key != "shares":  # what stage II finds
                np.testing.assert_array_equal(value.numpy(), before[name][key], err_msg=f"{name}/{key}")


def test_d_is_shown_each_image_with_its_category_and_g_is_asked_for_the_same(game, monkeypatch):
    batch, shown, asked = batch_of(1), [], []
    categories = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    monkeypatch.setattr(game, "categories", lambda images: categories[order_of(images, batch)], raising=False)
    game.discriminator.register_forward_post_hook(lambda net, inputs, scores: shown.append((inputs[0], scores)))
    game.generator.register_forward_pre_hook(lambda net, inputs: asked.append(inputs[0]))
    game.penalty = 0.0
    values = game.update(Batch(batch.data, batch.chosen[::-1].copy(), batch.rng, 1))
    told = np.eye(10)[categories[::-1]][:, :, None, None]
    for x, _ in shown:
        np.testing.assert_array_equal(x[:, 1:].numpy(), told * np.ones((32, 32)))
    for z in asked:
        np.testing.assert_array_equal(z[:, 100:].numpy(), told)
    (_, fake), (x, real), (_, fooled) = shown
    np.testing.assert_array_equal(x[:, :1].numpy(), batch.images.numpy()[::-1])
    assert float(values["loss_d"]) == pytest.approx(float(softplus(-real).mean() + softplus(fake).mean()), rel=1e-5)
    assert float(values["loss_g"]) == pytest.approx(float(softplus(-fooled).mean()), rel=1e-5)


def order_of(images: np.ndarray, batch: Batch) -> list[int]:
    """Where in the batch each of these images stands."""
    return [int(np.abs(batch.images.numpy() - image).sum(axis=(1, 2, 3)).argmin()) for image in images]


def test_what_q_reads_once_is_kept_and_read_again_alike_after_a_resume(game):
    game.update(batch_of(0))
    game.update(batch_of(1))
    kept = game.found
    game.update(Batch(batch_of(1).data, np.arange(1), np.random.default_rng(0), 2))  # a last batch of one image
    assert game.found is kept
    again = SelfConditioned(first_updates=1)
    for name, network in again.networks.items():
        network.set_state_dict(game.networks[name].state_dict())
    np.testing.assert_array_equal(again.sort(batch_of(1)).numpy(), kept.numpy())


def test_what_is_judged_has_categories_as_frequent_as_among_the_real_images(game):
    batch = batch_of(0, 20)
    found = game.sort(batch).numpy()
    drawn = game.population(np.random.default_rng(0), 5000)[:, -10:, 0, 0]
    np.testing.assert_array_equal(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.mean(axis=0), np.bincount(found, minlength=10) / 20, atol=0.03)
    published = SelfConditioned()  # without the networks of stage I; `config.json` has the shares
    published.label_shares = game.label_shares
    np.testing.assert_array_equal(published.population(np.random.default_rng(0), 5000)[:, -10:, 0, 0], drawn)


def test_before_stage_ii_categories_are_equally_frequent_and_then_as_found(game):
    """The averages' statistics are measured at each checkpoint, also before."""
    game.population(np.random.default_rng(0), 1)
    assert game.label_shares == pytest.approx([0.1] * 10)
    shares = np.bincount(game.sort(batch_of(0, 20)).numpy(), minlength=10) / 20
    game.population(np.random.default_rng(0), 1)
    assert game.label_shares == pytest.approx(shares)


def test_images_in_bytes_are_sorted_as_those_in_floats(game):
    """As the loop keeps a large folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 32, 32), dtype=np.uint8)
    floats = paddle.to_tensor(pixels.astype(np.float32) / 127.5 - 1)
    found = [game.sort(Batch((data, None), np.arange(2), None, 1)).numpy() for data in (pixels, floats)]
    np.testing.assert_array_equal(*found)


def test_reading_takes_even_parts_and_leaves_the_reader_as_it_was(game):
    """Of a part of one image BatchNorm would know nothing else: its answer would be the same for any image."""
    images = np.random.default_rng(0).uniform(-1, 1, (501, 1, 32, 32)).astype(np.float32)
    seen = []
    reader = paddle.nn.Sequential(game.finder.trunk, game.finder.reader)
    before = {name: value.numpy().copy() for name, value in reader.state_dict().items()}
    handle = game.finder.trunk.register_forward_pre_hook(lambda net, inputs: seen.append(len(inputs[0])))
    assert likeliest(reader, images).shape == (501,)
    handle.remove()
    assert sorted(seen) == [250, 251]
    for name, value in reader.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_its_rows_have_the_same_columns_in_either_stage(game):
    first, second = game.update(batch_of(0)), game.update(batch_of(1))
    assert list(first) == list(second)
    assert [float(row["stage"]) for row in (first, second)] == [1, 2]
    assert float(first["category"]) > 0
    assert float(second["category"]) == 0


def test_the_first_stages_losses_are_those_of_the_page(game, monkeypatch):
    paddle.seed(0)
    twin, again, minimised = SelfConditioned(first_updates=1), batch_of(0), losses_minimised(monkeypatch)
    game.optimizers["discriminator_1"].set_lr(0.0)
    values = game.update(batch_of(0))
    for turn in range(2):
        z = again.draw(lambda *drawn: from_any_on(twin, *drawn))
        x = twin.first(paddle.concat([0.1 * z[:, :100], z[:, 100:]], axis=1))
        read = twin.finder.read(sheared(x, again, 0.5))
        misread = float(cross_entropy(read, z[:, 100:].flatten(1), soft_label=True))
        if turn == 0:
            real, fake = twin.finder(again.images), twin.finder(x)
            loss_d = float(softplus(-real).mean() + softplus(fake).mean())
            assert float(values["loss_d"]) == pytest.approx(loss_d, rel=1e-4)
            assert minimised[0] == pytest.approx(loss_d + misread, rel=1e-4)
        else:
            loss_g = float(softplus(-twin.finder(x)).mean())
            assert minimised[-1] == pytest.approx(loss_g + misread, rel=1e-4)


def test_the_average_begins_with_stage_two_and_its_penalty_is_the_flags(game):
    assert game.ema.begin == game.first_updates
    penalties = []
    for weight in (1.0, 2.0):
        paddle.seed(0)
        penalties.append(float(SelfConditioned(first_updates=4, penalty=weight).update(batch_of(4))["penalty"]))
    assert penalties[1] == pytest.approx(2 * penalties[0], rel=1e-4)
    assert penalties[0] > 0
