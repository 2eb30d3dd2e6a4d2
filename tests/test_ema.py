"""The moving average: its weights by hand, its statistics by hand, and no trace of it in the training."""

from __future__ import annotations

from common.ema import EMA
from tests.conftest import batch_of, make_gan, noise

import numpy as np
import paddle
import pytest


def test_weights_by_hand(gan):
    generator = gan.networks["generator"]
    weight = generator.parameters()[0]
    expected = weight.numpy().astype(np.float64)
    for update in range(12):
        gan.update(batch_of(update))
        gan.ema.update(update)
        decay = min(0.999, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight.numpy()
    np.testing.assert_allclose(gan.ema.network.parameters()[0].numpy(), expected, atol=1e-6)
    assert np.abs(expected - weight.numpy()).max() > 1e-4


def test_what_learns_later_is_averaged_from_then_on():
    """Else the random weights of the start would be forgotten slowly: a seventh of them is left after an epoch."""
    net = paddle.nn.Linear(1, 1, bias_attr=False)
    net.weight.set_value(paddle.full([1, 1], 100.0))
    ema = EMA(net, begin=5000)
    for update in range(5000):
        ema.update(update)
    net.weight.set_value(paddle.zeros([1, 1]))
    for update in range(5000, 5200):
        ema.update(update)
    assert abs(ema.network.weight.item()) < 1e-3


def test_it_never_changes_training(family):
    first, second = make_gan(family), make_gan(family)
    for step in range(3):
        for gan in (first, second):
            gan.update(batch_of(step))
        first.ema.update(step)
        first.ema.measure_statistics([noise(step)])
    for name, net in first.networks.items():
        for key, value in net.state_dict().items():
            assert (value.numpy() == second.networks[name].state_dict()[key].numpy()).all()


def test_statistics_are_the_mean_over_the_batches():
    net = paddle.nn.Sequential(paddle.nn.BatchNorm2D(2))
    ema = EMA(net)
    ema.network[0]._mean.set_value(paddle.full([2], 99.0))  # whatever was there before is forgotten
    batches = [
        paddle.to_tensor(np.random.default_rng(i).normal(i, 1 + i, (50, 2, 4, 4)).astype("f4")) for i in range(4)
    ]
    ema.measure_statistics(batches)
    means = [batch.numpy().mean(axis=(0, 2, 3)) for batch in batches]
    variances = [batch.numpy().var(axis=(0, 2, 3)) for batch in batches]
    np.testing.assert_allclose(ema.network[0]._mean.numpy(), np.mean(means, axis=0), rtol=1e-5)
    np.testing.assert_allclose(ema.network[0]._variance.numpy(), np.mean(variances, axis=0), rtol=2e-3)
    assert ema.network[0]._momentum == pytest.approx(0.9)
    assert not ema.network.training


def test_sample_takes_the_one_asked_for(gan):
    for step in range(5):
        gan.update(batch_of(step))
        gan.ema.update(step)
    gan.ema.measure_statistics([noise(1), noise(2)])
    assert np.abs(gan.sample(noise(3)) - gan.sample(noise(3), ema=True)).max() > 1e-3


def test_statistics_of_vectors_are_measured_too():
    """Of fully connected generators."""
    ema = EMA(paddle.nn.Sequential(paddle.nn.BatchNorm1D(2)))
    batches = [np.random.default_rng(i).normal(i, 1, (50, 2)).astype(np.float32) for i in range(4)]
    ema.measure_statistics([paddle.to_tensor(batch) for batch in batches])
    expected = np.mean([batch.mean(axis=0) for batch in batches], axis=0)
    np.testing.assert_allclose(ema.network[0]._mean.numpy(), expected, rtol=1e-4)
