"""What D sees of an image: the paper's transformations, of the paper's ranges, and G's gradient through them."""

from __future__ import annotations

from common.augment import augment, chances
from tests.conftest import batch_of, make_gan

import numpy as np
import paddle
import pytest

STILL = [0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]  # no change of colour, no move; a quarter of the square is in a corner
RNG = np.random.default_rng(0)


def changed(images: np.ndarray, *rows: list[float]) -> np.ndarray:
    return augment(paddle.to_tensor(images), paddle.to_tensor(np.float32(rows))).numpy()


def some(count: int = 1, size: int = 32, channels: int = 3) -> np.ndarray:
    return RNG.uniform(-1, 1, (count, channels, size, size)).astype(np.float32)


def with_(place: int, chance: float) -> list[float]:
    return [chance if index == place else number for index, number in enumerate(STILL)]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_square_is_half_as_high_and_may_lie_outside(size):
    images = some(3, size)
    got = changed(images, STILL, with_(5, 0.5), [*STILL[:5], 0.999, 0.999])
    expected, side = images.copy(), size // 2
    expected[0, :, : side // 2, : side // 2] = 0  # its middle is the corner
    expected[1, :, side // 2 : side // 2 + side, : side // 2] = 0
    expected[2, :, -(side // 2) :, -(side // 2) :] = 0
    assert np.abs(got - expected).max() < 1e-6


@pytest.mark.parametrize("size", [32, 64, 128])
def test_it_moves_by_an_eighth_at_most(size):
    images, most = some(2, size), size // 8
    got = changed(images, with_(3, 0.999), with_(4, 0.0))
    assert np.abs(got[0, :, size // 2 : -most] - images[0, :, size // 2 + most :]).max() < 1e-6
    assert (got[0, :, -most:] == 0).all()
    assert np.abs(got[1, :, size // 2 :, most:] - images[1, :, size // 2 :, :-most]).max() < 1e-6
    assert (got[1, :, :, :most] == 0).all()
    shifts = {int(np.argmax(row)) for row in moved_columns(size)}
    assert shifts == set(range(2 * most + 1))


def moved_columns(size: int) -> np.ndarray:
    """Where the middle column went, of 400 images, `[400, 2 * most + 1]`."""
    images, most = np.zeros((400, 1, size, size), np.float32), size // 8
    images[:, :, :, size // 2] = 1
    rows = np.float32(STILL) * np.ones((400, 1), np.float32)
    rows[:, 4] = RNG.random(400)
    got = augment(paddle.to_tensor(images), paddle.to_tensor(rows)).numpy()
    return got[:, 0, -1, size // 2 - most : size // 2 + most + 1]


def test_colours_change_within_the_papers_ranges():
    image = some()
    below = (slice(None), slice(None), slice(16, None))
    dark, bright = (changed(image, with_(0, chance)) for chance in (0.0, 0.999))
    assert np.abs(dark[below] - (image[below] - 0.5)).max() < 1e-5
    assert np.abs(bright[below] - (image[below] + 0.499)).max() < 1e-5
    grey, lively = (changed(image, with_(1, chance)) for chance in (0.0, 1.0))
    mean = image.mean(axis=1, keepdims=True)
    assert np.abs(grey[below] - mean[below]).max() < 1e-5
    assert np.abs(lively[below] - (2 * image - mean)[below]).max() < 1e-5
    flat, hard = (changed(image, with_(2, chance)) for chance in (0.0, 1.0))
    mean = image.mean()
    assert np.abs(flat[below] - (mean + (image - mean) / 2)[below]).max() < 1e-5
    assert np.abs(hard[below] - (mean + (image - mean) * 1.5)[below]).max() < 1e-5


def test_each_image_is_changed_in_a_way_of_its_own_and_the_same_numbers_do_the_same():
    images = np.repeat(some(), 8, axis=0)
    numbers = chances(np.random.default_rng(1), 8)
    assert numbers.shape == (8, 7)
    first, again = (changed(images, *numbers) for _ in range(2))
    assert (first == again).all()
    assert all(np.abs(first[0] - other).max() > 0.01 for other in first[1:])
    assert (changed(images[3:4], numbers[3]) == first[3:4]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_passes_through(channels):
    images = paddle.to_tensor(some(4, channels=channels))
    images.stop_gradient = False
    augment(images, paddle.to_tensor(chances(np.random.default_rng(0), 4))).square().sum().backward()
    slope = images.grad.numpy()
    assert np.isfinite(slope).all()
    assert (np.abs(slope).reshape(4, -1) > 0).mean() > 0.2


def test_both_players_see_what_is_changed_and_the_penalty_is_taken_there(monkeypatch):
    seen, game = [], make_gan("dcgan")
    game.augment, game.penalty = True, 1.0

    def noted(images: paddle.Tensor, chance: paddle.Tensor) -> paddle.Tensor:
        seen.append((images, augment(images, chance)))
        return seen[-1][1]

    punished = []
    monkeypatch.setattr("common.gan.augmented", noted)
    monkeypatch.setattr("common.gan.steepness", lambda net, images: punished.append(images) or game.networks_sum())
    game.networks_sum = lambda: sum(p.square().sum() for p in game.discriminator.parameters() if not p.stop_gradient)
    batch = batch_of(0)
    before = [p.numpy() for p in game.generator.parameters()]
    values = game.update(batch)
    assert [len(images) for images, _ in seen] == [8, 8, 8]
    assert (seen[0][0].numpy() == batch.images.numpy()).all()
    assert punished == [seen[0][1]]
    assert not np.allclose(seen[1][0].numpy(), seen[2][0].numpy())  # each turn its own noise
    assert any((old != new.numpy()).any() for old, new in zip(before, game.generator.parameters()))
    assert all(np.isfinite(float(value)) for value in values.values())
