"""WGAN-GP: a penalty whose gradient is right, a distance that is the one of theory, and a critic without a scale."""

from __future__ import annotations

from common.machine import convolutions
from common.machine.activations import LeakyReLU
from common.run.families import builder
from tests.conftest import batch_of
from zoo.shared.slopes import gradient_penalty, uniform

import numpy as np
import paddle
import pytest
from paddle import nn


def small_critic() -> nn.Layer:
    """A strided convolution, a LeakyReLU, and a kernel of the image's size, which takes a way of its own."""
    paddle.seed(3)
    return nn.Sequential(
        convolutions.Conv2D(1, 2, kernel_size=4, stride=2, padding=1),  # 8x8 -> 4x4
        LeakyReLU(0.2),
        convolutions.Conv2D(2, 1, kernel_size=4),  # 4x4 -> 1x1
    )


def penalty_by_hand(weights: list[np.ndarray], points: np.ndarray, slope: float) -> float:
    """The penalty of `small_critic` in float64: its slope at x is a sum of kernels, those of negative maps less."""
    first, first_bias, last, _ = (weight.astype(np.float64) for weight in weights)
    padded = np.pad(points[:, 0], ((0, 0), (1, 1), (1, 1)))
    slopes = np.zeros_like(padded)
    for row in range(4):
        for column in range(4):
            window = padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
            for kernel, bias, weight in zip(first[:, 0], first_bias, last[0, :, row, column]):
                gate = np.where((window * kernel).sum((1, 2)) + bias > 0, 1.0, 0.2)
                slopes[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += (weight * gate)[:, None, None] * kernel
    norms = np.sqrt((slopes[:, 1:-1, 1:-1] ** 2).sum((1, 2)) + 1e-12)
    return float(((norms - slope) ** 2).mean())


@pytest.mark.parametrize(("threads", "slope"), [(1, 1.0), (2, 1.0), (1, 0.0)])
def test_the_gradient_of_the_penalty_is_that_of_finite_differences(threads, slope):
    convolutions.use_threads(threads)
    rng = np.random.default_rng(0)
    real, fake = (rng.uniform(-1, 1, (5, 1, 8, 8)).astype(np.float32) for _ in range(2))
    alpha = uniform(rng, 5)
    critic = small_critic()
    weights = [parameter.numpy() for parameter in critic.parameters()]
    points = (alpha * real + (1 - alpha) * fake).astype(np.float64)

    penalty = gradient_penalty(critic, *(paddle.to_tensor(part) for part in (real, fake, alpha)), slope)
    assert penalty.item() == pytest.approx(penalty_by_hand(weights, points, slope), rel=1e-5)
    penalty.backward()
    for index in (0, 2):  # the two kernels; biases move no slope but where a map changes its sign
        found = critic.parameters()[index].grad.numpy()
        expected = np.zeros_like(found)
        for place in np.ndindex(*found.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [weight.astype(np.float64) for weight in weights]
                moved[index][place] += step
                ends.append(penalty_by_hand(moved, points, slope))
            expected[place] = (ends[0] - ends[1]) / 2e-5
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_penalty_of_the_critic_itself_is_not_silently_constant(device, threads):
    """Weight by weight, its gradient is there."""
    convolutions.use_threads(threads)
    game = builder("wgan_gp")()
    rng = np.random.default_rng(0)
    real, fake = (paddle.to_tensor(rng.uniform(-1, 1, (4, 1, 32, 32)).astype(np.float32)) for _ in range(2))
    gradient_penalty(game.critic, real, fake, paddle.to_tensor(uniform(rng, 4))).backward()
    kernels = [layer.weight for layer in game.critic if isinstance(layer, nn.Conv2D)]
    assert len(kernels) == 4
    assert all(np.abs(kernel.grad.numpy()).max() > 1e-4 for kernel in kernels)


def test_the_critic_moves_as_often_as_asked_each_time_on_other_images():
    game = builder("wgan_gp")(critic_steps=3)
    assert game.batches == 3
    seen, moves = [], []
    critic, turn = game.critic.forward, game.turn
    game.critic.forward = lambda x: seen.append(x.numpy()) or critic(x)
    game.turn = lambda player: moves.append(player) or turn(player)
    batch = batch_of(0, 12)
    values = game.update(batch)
    assert moves == ["critic"] * 3 + ["generator"]
    real = [images for images in seen if len(images) == 4][1::3][:3]
    np.testing.assert_array_equal(np.concatenate(real), batch.images.numpy())
    assert list(values) == ["loss_d", "loss_g", "distance", "penalty"]
    assert values["loss_d"].item() == -values["distance"].item()  # of the scores alone


def test_its_yardstick_ranks_the_loss_with_the_quality(tmp_path):
    """A loss that falls as the pictures get better is worth 1, whatever its scale; of three epochs nothing is said."""
    game = builder("wgan_gp")()
    steps, judged = np.arange(400), [49, 149, 249, 349]
    rows = [f"{step},0,0,{-100 / (1 + step)},0,0,0" for step in steps]
    header = "step,epoch,batch,loss_d,loss_g,distance,penalty"
    (tmp_path / "losses.csv").write_text("\n".join([header, *rows]) + "\n")
    lines = [{"step": step, "epoch": i, "raw": {"frechet": 1000 / (1 + step)}} for i, step in enumerate(judged)]
    for count, order, expected in ((4, 1, 1.0), (4, -1, -1.0), (3, 1, None)):
        distances = [line["raw"]["frechet"] for line in lines][::order]
        text = "".join(
            f'{{"step": {line["step"]}, "epoch": 0, "raw": {{"frechet": {distance}}}}}\n'
            for line, distance in zip(lines[:count], distances)
        )
        (tmp_path / "metrics.jsonl").write_text(text)
        measured = game.measure(None, tmp_path)
        assert list(measured) == ([] if expected is None else ["the loss tells the quality", "it tells each change"])
        if expected is not None:
            whole, changes = measured.values()
            assert whole.figure == pytest.approx(expected)
            assert whole.floor == pytest.approx(order)  # the clock knows it, too
            assert changes.floor == 0


def test_that_both_fall_says_nothing_of_the_changes(tmp_path):
    """Two curves that fall in every epoch, one most where the other does least."""
    distances, losses = np.cumsum([0, -1, -2, -3, -4]) + 20.0, np.cumsum([0, 4, 3, 2, 1]) - 20.0
    (tmp_path / "losses.csv").write_text(
        "step,epoch,batch,loss_d\n" + "".join(f"{i + 1},0,0,{loss}\n" for i, loss in enumerate(losses))
    )
    lines = [f'{{"step": {i + 1}, "epoch": {i}, "raw": {{"frechet": {one}}}}}\n' for i, one in enumerate(distances)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    whole, changes = builder("wgan_gp")().measure(None, tmp_path).values()
    assert (whole.figure, whole.floor) == (pytest.approx(1), pytest.approx(1))
    assert changes.figure == pytest.approx(-1)


def test_one_sided_lets_small_slopes_be():
    x, alpha = paddle.zeros([2, 1, 2, 2]), paddle.full([2, 1, 1, 1], 0.5)

    def flat(x: paddle.Tensor) -> paddle.Tensor:  # of slope 0.2
        return 0.1 * x.sum(axis=[1, 2, 3])

    assert gradient_penalty(flat, x, x, alpha).item() == pytest.approx(0.64)
    assert gradient_penalty(flat, x, x, alpha, one_sided=True).item() == 0
