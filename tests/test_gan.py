"""The step, against calculations that do not use it."""

from __future__ import annotations

from common.data import Dataset
from common.machine import cpu
from common.run.families import builder
from common.run.flags import parse_flags
from common.run.words import print_decay
from common.train import training_steps
from tests.conftest import CRITERIA, make_gan, noise, real

import numpy as np
import paddle
import pytest


def weights(net, buffers: bool = True) -> dict[str, np.ndarray]:
    return {
        name: value.numpy().copy()
        for name, value in net.state_dict().items()
        if buffers or not name.endswith(("_mean", "_variance"))
    }


def changed(before: dict, after: dict) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_losses_by_hand(device, family):
    """Both losses recomputed in NumPy in float64 from scores of networks in the same state."""
    gan, twin = make_gan(family), make_gan(family)
    values = gan.step(real(), noise(1), noise(2))

    generator, discriminator = twin.networks["generator"], twin.networks["discriminator"]
    score_real = discriminator(real()).numpy().astype(np.float64)
    score_fake = discriminator(generator(noise(1))).numpy().astype(np.float64)

    def criterion(score: np.ndarray, target: float) -> float:
        if family == "lsgan":
            return ((score - target) ** 2).mean()
        return -(target * np.log(score) + (1 - target) * np.log(1 - score)).mean()

    assert float(values["loss_d"]) == pytest.approx(criterion(score_real, 1) + criterion(score_fake, 0), rel=1e-5)
    assert float(values["score_real"]) == pytest.approx(score_real.mean(), rel=1e-5)
    assert float(values["score_fake"]) == pytest.approx(score_fake.mean(), rel=1e-5)

    # loss_g is of the same networks with D already updated.
    discriminator.set_state_dict(gan.networks["discriminator"].state_dict())
    discriminator.train()
    score = discriminator(generator(noise(2))).numpy().astype(np.float64)
    assert float(values["loss_g"]) == pytest.approx(criterion(score, 1), rel=1e-4)
    assert all(value.shape == [] and value.stop_gradient for value in values.values())


def test_three_steps_equal_the_course_loop(device, family):
    """The course's own order of operations (graph through G cut by detach, two backward calls, no frozen D)."""
    gan, twin = make_gan(family), make_gan(family)
    generator, discriminator, criterion = twin.networks["generator"], twin.networks["discriminator"], CRITERIA[family]
    adam = {
        net: paddle.optimizer.Adam(2e-4, beta1=0.5, beta2=0.999, parameters=net.parameters())
        for net in (generator, discriminator)
    }
    for step in range(3):
        data, noise_d, noise_g = real(step), noise(10 + step), noise(20 + step)
        values = gan.step(data, noise_d, noise_g)

        loss_real = criterion(discriminator(data), paddle.ones([8, 1, 1, 1]))
        loss_real.backward()
        loss_fake = criterion(discriminator(generator(noise_d).detach()), paddle.zeros([8, 1, 1, 1]))
        loss_fake.backward()
        adam[discriminator].step()
        adam[discriminator].clear_grad()
        loss_g = criterion(discriminator(generator(noise_g)), paddle.ones([8, 1, 1, 1]))
        loss_g.backward()
        adam[generator].step()
        adam[generator].clear_grad()
        adam[discriminator].clear_grad()

        assert float(values["loss_d"]) == pytest.approx(float(loss_real) + float(loss_fake), rel=2e-4)
        assert float(values["loss_g"]) == pytest.approx(float(loss_g), rel=2e-4)
    for name, net in gan.networks.items():
        for key, value in weights(net).items():
            np.testing.assert_allclose(value, weights(twin.networks[name])[key], atol=2e-5, err_msg=key)


def plain_step(gan, criterion, real, noise_d, noise_g) -> dict[str, float]:
    """The step without turns, as one would write it: the arithmetic that must not change."""
    generator, discriminator = gan.networks["generator"], gan.networks["discriminator"]
    ones, zeros = (paddle.full([real.shape[0], 1, 1, 1], value) for value in (1.0, 0.0))
    with paddle.no_grad():
        fake = generator(noise_d)
    score_real, score_fake = discriminator(real), discriminator(fake)
    loss_d = criterion(score_real, ones) + criterion(score_fake, zeros)
    loss_d.backward()
    gan.optimizers["discriminator"].step()
    gan.optimizers["discriminator"].clear_grad()

    frozen = [p for p in discriminator.parameters() if not p.stop_gradient]
    for parameter in frozen:
        parameter.stop_gradient = True
    loss_g = criterion(discriminator(generator(noise_g)), ones)
    loss_g.backward()
    grad_g = generator.parameters()[-1].grad.detach().norm()
    for parameter in frozen:
        parameter.stop_gradient = False
    gan.optimizers["generator"].step()
    gan.optimizers["generator"].clear_grad()
    values = {"loss_d": loss_d, "loss_g": loss_g, "grad_g": grad_g}
    values.update({"score_real": score_real.mean(), "score_fake": score_fake.mean()})
    return {name: value.item() for name, value in values.items()}


def test_the_step_is_what_it_was_to_the_last_bit(family):
    """On one thread: the trajectory of a seed is a promise."""
    cpu.set_threads(1)
    gan, twin = make_gan(family), make_gan(family)
    for step in range(5):
        given = real(step), noise(10 + step), noise(20 + step)
        expected = plain_step(twin, CRITERIA[family], *given)
        assert {name: value.item() for name, value in gan.step(*given).items()} == expected
    for name, net in gan.networks.items():
        assert not changed(weights(net), weights(twin.networks[name]))


def test_each_half_moves_one_network(gan):
    """Taken apart by a learning rate of 0: each half leaves the other network alone, but for statistics."""
    for frozen in gan.networks:
        twin = make_gan("dcgan")
        twin.loss = gan.loss
        twin.optimizers[frozen].set_lr(0.0)
        before = {name: weights(net, buffers=False) for name, net in twin.networks.items()}
        twin.step(real(), noise(1), noise(2))
        for name, net in twin.networks.items():
            moved = changed(before[name], weights(net, buffers=False))
            assert moved == (set() if name == frozen else set(before[name])), name


def test_a_generator_with_a_frozen_end_learns_by_the_rest(gan):
    name, last = [pair for pair in gan.generator.named_parameters() if len(pair[1].shape) > 1][-1]
    last.stop_gradient = True
    before = weights(gan.generator, buffers=False)
    assert float(gan.step(real(), noise(1), noise(2))["grad_g"]) > 0
    assert last.stop_gradient
    assert changed(before, weights(gan.generator, buffers=False)) == {*before} - {name}


def test_noise_d_never_moves_g(family):
    """With D held, G's weights depend on noise_g only."""
    results = []
    for noise_d in (noise(1), noise(7)):
        gan = make_gan(family)
        gan.optimizers["discriminator"].set_lr(0.0)
        gan.step(real(), noise_d, noise(2))
        results.append(weights(gan.networks["generator"], buffers=False))
    assert not changed(*results)


def test_no_gradient_is_left_over(device, gan):
    gan.step(real(), noise(1), noise(2))
    for net in gan.networks.values():
        assert all(p.grad is None or not p.grad.numpy().any() for p in net.parameters())
        assert not any(p.stop_gradient for p in net.parameters() if not p.name.endswith(("w_1", "w_2")))


def test_scores_go_the_right_way_when_only_one_plays(family):
    gan = make_gan(family)
    gan.optimizers["generator"].set_lr(0.0)
    history = [gan.step(real(), noise(1), noise(2)) for _ in range(10)]
    assert float(history[-1]["score_real"]) > float(history[-1]["score_fake"]) + 0.5
    assert float(history[-1]["loss_d"]) < float(history[0]["loss_d"]) / 2

    gan.optimizers["generator"].set_lr(2e-4)
    gan.optimizers["discriminator"].set_lr(0.0)
    history = [gan.step(real(), noise(1), noise(2)) for _ in range(15)]
    assert float(history[-1]["loss_g"]) < float(history[0]["loss_g"]) / 2
    assert float(history[-1]["score_fake"]) > float(history[0]["score_fake"]) + 0.05


def test_smaller_last_batch(gan):
    for count in (8, 5, 8):
        assert np.isfinite(float(gan.step(real(count=count), noise(1, count), noise(2, count))["loss_d"]))


def test_sample_leaves_no_trace_and_is_per_image(device, gan):
    before = {name: weights(net) for name, net in gan.networks.items()}
    images = gan.sample(noise(3, 6))
    assert images.shape == (6, 1, 32, 32)
    assert images.dtype == np.float32
    np.testing.assert_allclose(gan.sample(noise(3, 6)[2:3]), images[2:3], atol=1e-6)
    assert all(not changed(before[name], weights(net)) for name, net in gan.networks.items())
    assert gan.networks["generator"].training


def test_label_smoothing_moves_the_target_of_real_images_for_d_alone(family):
    plain, smooth, criterion = make_gan(family), builder(family)(label_smoothing=0.25), CRITERIA[family]
    for name, network in plain.networks.items():
        smooth.networks[name].set_state_dict(network.state_dict())
    losses = [gan.step(real(), noise(1), noise(2)) for gan in (plain, smooth)]
    score = make_gan(family).networks["discriminator"](real())
    ones = paddle.ones(score.shape)
    difference = float(criterion(score, 0.75 * ones) - criterion(score, ones))
    assert float(losses[1]["loss_d"] - losses[0]["loss_d"]) == pytest.approx(difference, rel=1e-3)

    discriminator, generator = smooth.networks["discriminator"], make_gan(family).networks["generator"]
    loss_g = criterion(discriminator(generator(noise(2))), ones)  # G still wants 1
    assert float(losses[1]["loss_g"]) == pytest.approx(float(loss_g), rel=1e-4)


def test_d_may_have_a_learning_rate_of_its_own(family):
    gan = builder(family)(learning_rate_d=1e-5)
    rates = {name: optimizer.get_lr() for name, optimizer in gan.optimizers.items()}
    assert rates == {"generator": 2e-4, "discriminator": 1e-5}


@pytest.mark.parametrize("start", [0, 2, 3, 7])
def test_linear_decay_is_a_function_of_the_epoch_alone(start):
    gan = make_gan("dcgan")
    gan.update = lambda batch: {"rate": paddle.to_tensor(gan.optimizers["generator"].get_lr())}
    dataset = Dataset("digits", np.zeros([4, 1, 32, 32], np.float32), "checksum", "")
    flags = parse_flags("dcgan", builder("dcgan"), ["--linear-decay", "--epochs", "4", "--batch-size", "2"])
    rates = [float(values["rate"]) for *_, values in training_steps(gan, dataset, flags, start)]
    assert rates == pytest.approx(np.repeat([2e-4, 1.5e-4, 1e-4, 0.5e-4], 2)[start:])


@pytest.mark.parametrize(("steps", "said"), [(4 * 10, ""), (3 * 10 + 1, ""), (3 * 10, "50%"), (5, "100%")])
def test_a_decay_that_max_steps_cuts_off_is_said(capsys, steps, said):
    print_decay({"linear_decay": True, "epochs": 4}, steps_per_epoch=10, total=steps)
    found = capsys.readouterr().out
    assert (said in found) if said else found == ""
    print_decay({"linear_decay": False, "epochs": 4}, steps_per_epoch=10, total=steps)
    assert capsys.readouterr().out == ""
