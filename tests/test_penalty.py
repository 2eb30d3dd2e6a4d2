"""The penalty on D's slope: right to the second derivative, every fourth step, and off unless it is asked for."""

from __future__ import annotations

from common.errors import UserError
from common.game import Batch
from common.machine.activations import LeakyReLU
from common.machine.convolutions import Conv2D
from common.penalty import lazily, normalised, pooled, steepness
from common.rng import LATENT, random_numbers
from common.run.families import builder, families
from common.settings import settings_of
from tests.conftest import batch_of, make_gan, real

import numpy as np
import paddle
import pytest
from paddle import nn

# Those with a penalty on D's slope at real images.
OTHERS = ("cifar_gan", "wgan_gp")  # whose penalty is another, in every step
PENALISED = [name for name in families() if "penalty" in {s.name for s in settings_of(builder(name))}]
STAGES = ("self_conditioned",)  # whose flag is for its second stage
LAZY = [name for name in PENALISED if name not in OTHERS + STAGES]


def small(smooth: bool = False) -> nn.Layer:
    """What a discriminator is made of, in small, and a Sigmoid. `smooth`: without LeakyReLU's kink, at which finite
    differences of a slope mean nothing."""
    paddle.seed(3)
    bends = nn.Tanh() if smooth else LeakyReLU(0.2)
    return nn.Sequential(
        *(Conv2D(1, 3, kernel_size=4, stride=2, padding=1), bends),  # 8x8 -> 4x4
        *(Conv2D(3, 4, kernel_size=3, padding=1), nn.BatchNorm2D(4), bends),
        *(Conv2D(4, 1, kernel_size=4), nn.Sigmoid()),
    )


def images(count: int = 6) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(1).uniform(-1, 1, (count, 1, 8, 8)).astype(np.float32))


def test_it_is_the_squared_slope_of_the_raw_score():
    d, x = small(), images()
    raw = nn.Sequential(*list(d)[:-1])
    found = steepness(d, x).item()
    step, expected = 1e-2, np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.numpy()
            moved[place] += sign * step
            ends.append(raw(paddle.to_tensor(moved)).sum().item())
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    assert found == pytest.approx((expected**2).sum(axis=(1, 2, 3)).mean(), rel=2e-2)


def test_its_gradient_is_that_of_finite_differences():
    d, x = small(smooth=True), images()
    steepness(d, x).backward()
    rng = np.random.default_rng(0)
    for name, parameter in d.named_parameters():
        if parameter.stop_gradient or name in ("2.bias", "5.bias"):  # these move no slope
            continue
        found, kept = parameter.grad.numpy(), parameter.numpy()
        for place in {tuple(rng.integers(0, size) for size in kept.shape) for _ in range(4)}:
            ends = []
            for sign in (1, -1):
                moved = kept.copy()
                moved[place] += sign * 2e-3
                parameter.set_value(moved)
                ends.append(steepness(d, x).item())
            parameter.set_value(kept)
            expected = (ends[0] - ends[1]) / 4e-3
            size = float(np.abs(found).max())
            assert found[place] == pytest.approx(expected, rel=0.05, abs=0.02 * size), (name, place)


@pytest.mark.parametrize("training", [True, False])
def test_batchnorm_in_single_steps_is_batchnorm(training):
    layer, x = nn.BatchNorm2D(3), paddle.rand([4, 3, 5, 5])
    layer(x)  # running statistics that are not those of the start
    layer.training = training
    layer.weight.set_value(paddle.to_tensor([0.5, 1.0, 2.0]))
    before = layer._mean.numpy().copy()
    found = normalised(layer, x).numpy()
    assert (layer._mean.numpy() == before).all()
    np.testing.assert_allclose(found, layer(x).numpy(), rtol=1e-4, atol=1e-5)


def test_pooling_in_single_steps_is_pooling_and_has_a_second_derivative():
    """In float64, at a point of which no neighbourhood of the size of the step has a kink."""
    x = paddle.to_tensor(np.random.default_rng(1).normal(size=(3, 1, 8, 8)))
    np.testing.assert_allclose(pooled(x).numpy(), nn.MaxPool2D(2, 2)(x).numpy(), rtol=1e-12)
    paddle.seed(0)
    d = nn.Sequential(nn.Conv2D(1, 3, 3, padding=1), nn.MaxPool2D(2), nn.Tanh(), nn.Flatten(), nn.Linear(48, 1))
    d.to(dtype="float64")
    steepness(d, x).backward()
    for layer in (d[0], d[4]):
        found, kept = layer.weight.grad.numpy(), layer.weight.numpy()
        for place in [(0,) * kept.ndim, tuple(size // 2 for size in kept.shape)]:
            ends = []
            for sign in (1, -1):
                moved = kept.copy()
                moved[place] += sign * 1e-6
                layer.weight.set_value(paddle.to_tensor(moved))
                ends.append(steepness(d, x).item())
            layer.weight.set_value(paddle.to_tensor(kept))
            assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3)


@pytest.mark.parametrize("family", LAZY)
def test_a_family_pays_in_every_fourth_step_and_the_loss_of_the_scores_is_without(family):
    rows = {}
    for penalty in (2.0, 0.0):
        paddle.seed(0)
        once = {"critic_steps": 1} if family == "wgan" else {}  # its row is of the last move
        game = builder(family)(penalty=penalty, **once)
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (4 * game.batches, *game.image)).astype(np.float32)
        data, chosen = (paddle.to_tensor(images), paddle.arange(len(images)) % 10), np.arange(len(images))
        steps = range(5 if penalty else 1)
        rows[penalty] = [game.update(Batch(data, chosen, random_numbers(0, LATENT, step), step)) for step in steps]
    paid = [row["penalty"].item() for row in rows[2.0]]
    assert paid[1:4] == [0, 0, 0]
    assert 0 < paid[4] != paid[0] > 0
    assert all(row.get("penalty", paddle.zeros([])).item() == 0 for row in rows[0.0])
    assert rows[2.0][0]["loss_d"].item() == rows[0.0][0]["loss_d"].item()
    assert rows[2.0][0]["loss_g"].item() != rows[0.0][0]["loss_g"].item()  # D has moved otherwise


def test_a_discriminator_that_is_no_chain_is_told_so():
    chain = nn.Linear(1, 1)
    with pytest.raises(UserError, match="--penalty: Linear is no Sequential and has none named dis; make it one, or"):
        steepness(chain, images())


def test_a_lazy_penalty_weighs_as_many_times_as_it_is_rare():
    d, x = small(), images()
    due = steepness(d, x).item()
    for every in (1, 4):
        d.clear_gradients()
        assert lazily(lambda: steepness(d, x), 2.0, 8, every).item() == pytest.approx(every * due, rel=1e-5)
        assert d[0].weight.grad.numpy().any()
    d.clear_gradients()
    assert lazily(lambda: steepness(d, x), 2.0, 7, 4).item() == lazily(lambda: steepness(d, x), 0.0, 8, 4).item() == 0
    assert not d[0].weight.grad.numpy().any()


@pytest.mark.parametrize("training", [True, False])
def test_batchnorm_over_all_processes_is_taken_in_single_steps_too(training):
    """Or its second derivative would be asked for, which there is not. On one process the two are one."""
    d, twin, x = small(), small(), images()
    before = list(map(id, d.parameters()))
    nn.SyncBatchNorm.convert_sync_batchnorm(d)
    assert isinstance(d[3], nn.SyncBatchNorm)
    assert list(map(id, d.parameters())) == before  # what the optimizers and the average hold
    for net in (d, twin):
        net.train() if training else net.eval()
    assert steepness(d, x).item() == steepness(twin, x).item()


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_it_flattens_d_and_costs_nothing_where_it_is_off(family):
    """From the first step on, and every fourth; D's part of the other steps is untouched."""
    slopes = {}
    for penalty in (0.0, 5.0):
        paddle.seed(0)
        game = builder(family)(penalty=penalty)
        for step in range(5):
            game.update(batch_of(step))
        slopes[penalty] = steepness(game.networks["discriminator"], real()).item()
    assert slopes[5.0] < 0.8 * slopes[0.0]
    one, other = make_gan(family), builder(family)
    paddle.seed(0)
    other = other(penalty=5.0)
    assert one.update(batch_of(1))["loss_g"].item() == other.update(batch_of(1))["loss_g"].item()
    assert one.update(batch_of(4))["loss_g"].item() != other.update(batch_of(4))["loss_g"].item()


def test_the_average_forgets_as_slowly_as_the_flag_says():
    """Once 10,000 updates are done; before, the start is forgotten at once under either."""
    moved = {}
    for decay in (0.9, 0.999):
        game = builder("dcgan")(ema_decay=decay)
        weight, mine = (net.parameters()[0] for net in (game.networks["generator"], game.ema.network))
        weight.set_value(weight + 1)
        game.ema.update(100_000)
        moved[decay] = float(1 - (weight - mine).mean())
    assert moved == {0.9: pytest.approx(0.1, rel=1e-2), 0.999: pytest.approx(0.001, rel=0.1)}


def test_other_kinds_of_pooling_are_refused():
    with pytest.raises(ValueError, match=r"one kind of max-pooling: nn.MaxPool2D\(2\)"):
        steepness([nn.MaxPool2D(3)], images())
