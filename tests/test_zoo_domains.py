"""What two domains are, and what tells how like two pictures are."""

from __future__ import annotations

from common.game import Batch
from common.judging.judge import load_judge
from tests.conftest import batch_of, square
from tests.players import changed, numbers
from zoo.shared.domains import DOMAINS, coloured, one_each, small_digits, thickened, two_domains
from zoo.shared.likeness import judge_layers, l1, l2, perceptual
from zoo.shared.readers import reader

import numpy as np
import paddle
import pytest

NAMES = list(DOMAINS)
CHANCE = np.linspace(0, 0.99, 5, dtype=np.float32)


# Domains.


def test_thick_and_edge_of_a_square_by_hand():
    thick, edge = (DOMAINS[name](square(), CHANCE[:1]) for name in ("thick", "edge"))
    expected = np.full((1, 1, 32, 32), -1, np.float32)
    expected[..., 14:18, 14:18] = 1
    np.testing.assert_array_equal(thick, expected)
    expected[..., 15:17, 15:17] = -1
    np.testing.assert_array_equal(edge, expected)


def test_beyond_the_border_there_is_black():
    corner = -square(0)
    corner[:] = -1
    corner[..., 0, 0] = 1
    assert (thickened(corner) > 0).sum() == 4
    grey = np.zeros((1, 1, 32, 32), np.float32)
    assert (DOMAINS["edge"](grey, CHANCE[:1]) == -1).all()


def test_inverted_and_turned():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, 32, 32)).astype(np.float32)
    np.testing.assert_array_equal(DOMAINS["invert"](images, CHANCE[:2]), -images)
    turned = DOMAINS["rotate"](images, CHANCE[:2])
    assert (turned[0, 0, -1, 0], turned[0, 0, 0, 0]) == (images[0, 0, 0, 0], images[0, 0, 0, -1])  # to the left


@pytest.mark.parametrize(
    ("chance", "colour"),
    [(0, (1, -1, -1)), (1 / 6, (1, 1, -1)), (1 / 3, (-1, 1, -1)), (2 / 3, (-1, -1, 1)), (11 / 12, (1, -1, 0))],
)
def test_a_hue_by_hand(chance, colour):
    painted = coloured(square(), np.array([chance], np.float32))
    assert painted.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(painted[0, :, 15, 15], colour, atol=1e-5)
    assert (painted[0, :, 0, 0] == -1).all()


def test_the_other_digits_are_those_that_the_judge_did_not_keep():
    train_digits, test_digits = small_digits("train")[0], small_digits("test")[0]
    assert (len(train_digits), len(test_digits)) == (1348, 449)
    found = DOMAINS["digits"](square(count=5), CHANCE)
    np.testing.assert_array_equal(found[0], train_digits[0])
    np.testing.assert_array_equal(found[4], train_digits[int(0.99 * 1348)])


@pytest.mark.parametrize("name", NAMES)
def test_b_is_made_of_other_images_and_is_the_same_each_time(name):
    a, b = two_domains(batch_of(3, 12), name)
    images = batch_of(3, 12).images.numpy()
    np.testing.assert_array_equal(a.numpy(), images[:6])
    chance = one_each(batch_of(3, 12).rng, 6)
    np.testing.assert_array_equal(b.numpy(), DOMAINS[name](images[6:], chance))
    assert b.dtype == paddle.float32
    assert np.abs(b.numpy()).max() <= 1
    np.testing.assert_array_equal(two_domains(batch_of(3, 12), name)[1].numpy(), b.numpy())


@pytest.mark.parametrize("name", ["thick", "colour", "digits"])
def test_two_processes_have_the_halves_of_what_one_has(name):
    whole = two_domains(batch_of(0, 16), name)
    parts = []
    for rank in range(2):
        batch = batch_of(0, 16)
        shared = Batch(batch.data, batch.chosen, batch.rng, 0, lambda n, r=rank: slice(r * n // 2, (r + 1) * n // 2))
        parts.append(two_domains(shared, name))
    for together, *each in zip(whole, *parts):
        np.testing.assert_array_equal(together.numpy(), np.concatenate([part.numpy() for part in each]))


def test_a_reader_learns_a_domain():
    images, digits = small_digits("train")
    unseen, labels = small_digits("test")
    read = reader(load_judge("digits"), -images, digits)  # inverted, which this judge never saw
    assert (read(-unseen) == labels).mean() > 0.95


# Likeness.


@pytest.mark.parametrize("unlike", [l1, l2, perceptual])
def test_equal_pictures_are_not_unlike(unlike):
    a, b = (batch_of(step).images for step in (0, 1))
    assert float(unlike(a, a)) == 0
    assert float(unlike(a, b)) > 0
    assert float(unlike(a, b)) == pytest.approx(float(unlike(b, a)), rel=1e-6)


def test_pixel_losses_by_hand():
    a, b = paddle.zeros([2, 1, 1, 2]), paddle.to_tensor([0.0, 1, -2, 3]).reshape([2, 1, 1, 2])
    assert (float(l1(a, b)), float(l2(a, b))) == (6 / 4, 14 / 4)


def test_a_perceptual_loss_is_what_the_judge_sees_and_teaches_the_picture_alone():
    before = numbers(judge_layers())
    a, b = (batch_of(step).images for step in (0, 1))
    a.stop_gradient = False
    layers = judge_layers()
    assert layers(a).shape == [8, 64, 16, 16]
    expected = ((layers(a) - layers(b)).numpy() ** 2).mean()
    loss = perceptual(a, b)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert float(a.grad.abs().sum()) > 0
    assert not changed(before, numbers(layers))
    assert all(parameter.grad is None for parameter in layers.parameters())
