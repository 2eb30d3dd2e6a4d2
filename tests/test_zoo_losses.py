"""What is exact about the families that differ in their loss."""

from __future__ import annotations

import copy
import json
from statistics import NormalDist

from common.game import Batch
from common.losses import non_saturating
from docs import zoo_plots
from docs.zoo_plots import F
from tests.conftest import batch_of, batch_of_noise
from zoo.cifar_gan import CIFARGAN
from zoo.ebgan import EBGAN, repelling
from zoo.f_gan import DIVERGENCES, loss_of
from zoo.fc_gan import FCGAN
from zoo.mm_ns import LOSSES, MMNS, minimax
from zoo.shared.curves import loss_tells_quality
from zoo.shared.domains import outlines
from zoo.shared.gaussians import estimate
from zoo.wgan import WGAN, clip_weights

import numpy as np
import paddle
import pytest
from paddle import nn


def gradient(loss, scores: np.ndarray) -> np.ndarray:
    """dL/ds for each score, the mean over the batch undone."""
    s = paddle.to_tensor(scores, stop_gradient=False)
    loss(s).backward()
    return s.grad.numpy() * len(scores)


def test_the_two_gradients_of_the_paper_of_2014():
    scores = np.linspace(-20, 20, 81, dtype=np.float32)
    d = 1 / (1 + np.exp(-scores.astype(np.float64)))
    np.testing.assert_allclose(gradient(minimax.generator, scores), -d, atol=1e-6)
    np.testing.assert_allclose(gradient(non_saturating.generator, scores), d - 1, atol=1e-6)


def test_what_mm_leaves_of_gs_gradient(monkeypatch, tmp_path, reference):
    """It is D's mean answer to fakes, whatever that is."""
    game, scores = MMNS(), np.linspace(-20, 5, 500, dtype=np.float32)
    monkeypatch.setattr(game, "discriminator", lambda images: paddle.to_tensor(scores))
    (found,) = game.measure(reference, tmp_path).values()
    assert found.figure == pytest.approx(np.abs(gradient(LOSSES["mm"].generator, scores)).mean(), rel=1e-5)


def test_bce_after_a_sigmoid_and_of_logits_give_one_gradient():
    scores = np.random.default_rng(0).normal(0, 3, 64).astype(np.float32)
    with_sigmoid, without = FCGAN(), FCGAN(with_logits=True)
    probabilities, logits = with_sigmoid.loss, without.loss
    pairs = [
        (lambda s: probabilities.generator(nn.functional.sigmoid(s)), logits.generator),
        (
            lambda s: probabilities.discriminator(nn.functional.sigmoid(s), nn.functional.sigmoid(-s)),
            lambda s: logits.discriminator(s, -s),
        ),
    ]
    for one, other in pairs:
        np.testing.assert_allclose(gradient(one, scores), gradient(other, scores), rtol=1e-4, atol=1e-5)
    images = paddle.zeros([2, 1, 28, 28])
    without.discriminator.set_state_dict(with_sigmoid.discriminator.state_dict())
    expected = nn.functional.sigmoid(without.discriminator(images))
    np.testing.assert_allclose(with_sigmoid.discriminator(images).numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", F)
def test_conjugates_by_hand(name):
    """f*(t) = max over u of ut - f(u), on a fine grid of u."""
    activation, conjugate, _ = DIVERGENCES[name]
    u = np.exp(np.linspace(-12, 12, 200_001))
    for v in (-1.5, -0.3, 0.0, 0.4, 1.2):
        score = paddle.to_tensor([v], dtype="float32")
        t = activation(score).item()
        assert conjugate(score).item() == pytest.approx((u * t - F[name](u)).max(), abs=1e-3)


@pytest.mark.parametrize("name", F)
def test_exact_divergences_are_those_of_the_integral(name):
    assert DIVERGENCES[name].exact == pytest.approx(zoo_plots.exact(name, 1.0), abs=2e-4)


@pytest.mark.parametrize(("name", "tolerance"), [("kl", 0.02), ("hellinger", 0.02), ("gan", 0.02), ("pearson", 0.06)])
def test_estimates_on_gaussians(name, tolerance):
    short = {} if name == "pearson" else {"steps": 200, "count": 2048}  # whose loss takes longer to be least
    assert estimate(loss_of(name), **short) == pytest.approx(DIVERGENCES[name].exact, rel=tolerance)


def test_no_exponential_overflows():
    for name in DIVERGENCES:
        s = paddle.to_tensor([-500.0, 500.0], stop_gradient=False)
        loss = loss_of(name).discriminator(s, s)
        loss.backward()
        assert np.isfinite(loss.item()), name
        assert np.isfinite(s.grad.numpy()).all(), name


def test_with_a_penalty_the_critic_says_the_distance_of_theory():
    """With λ = 10: a line of slope a maximises aW - λ(a - 1)², that is a = 1 + W/2λ, and the critic's difference is
    W(1 + W/2λ): 2.20 for W = 2."""
    assert zoo_plots.critic_difference(2.0) == pytest.approx(2 * (1 + 2 / (2 * zoo_plots.PENALTY)), rel=0.05)


def test_with_a_clip_the_critic_says_the_distance_in_a_unit_of_its_own():
    near, far = (zoo_plots.critic_difference(distance, clip=0.1, steps=250) for distance in (1.0, 2.0))
    assert far / near == pytest.approx(2, rel=0.25)
    assert zoo_plots.critic_difference(1.0, clip=0.05, steps=250) < near / 4  # half the clip, an eighth of three layers


def test_with_g_at_rest_and_d_trained_minimax_dies_and_non_saturating_does_not():
    found = zoo_plots.gradients_at_rest(updates=8, every=8)
    assert found["mm"][-1] < found["mm"][0] / 10
    assert found["ns"][-1] > found["ns"][0]


def test_the_clip_follows_every_step_and_spares_the_statistics():
    game = WGAN(critic_steps=2, clip=0.01)
    images = paddle.to_tensor(np.random.default_rng(0).uniform(-1, 1, (8, 1, 32, 32)).astype(np.float32))
    game.update(Batch((images, None), np.arange(8), np.random.default_rng(0)))
    trained = [p.numpy() for p in game.critic.parameters() if not p.stop_gradient]
    assert max(np.abs(p).max() for p in trained) <= np.float32(0.01)
    assert all((np.abs(p) < 0.01).any() for p in trained if p.ndim == 4)
    variances = [value.numpy() for name, value in game.critic.state_dict().items() if name.endswith("_variance")]
    assert min(variance.max() for variance in variances) > 0.01
    assert max(np.abs(p.numpy()).max() for p in game.generator.parameters() if not p.stop_gradient) > 0.5


def test_of_a_new_critic_most_weights_are_at_the_edge_once_it_was_clipped(monkeypatch, tmp_path):
    """What has not been learnt is the floor: weights of N(0, 0.02²), cut back to 0.01."""
    monkeypatch.setattr("zoo.wgan.loss_tells_quality", lambda folder: {})
    game = WGAN()
    clip_weights(game.critic, game.limit)
    edge = game.measure(None, tmp_path)["weights at the edge"]
    assert edge.figure == pytest.approx(edge.floor, abs=0.01)
    assert edge.floor == pytest.approx(2 * (1 - NormalDist().cdf(0.5)), abs=0.01)


@pytest.mark.parametrize("size", [1e-2, 1e-5])
def test_wgans_rmsprop_moves_as_pytorchs_however_small_the_gradients(size):
    """g / (√r + ε), not g / √(r + ε): G's gradients are of some 1e-5, and it would hardly move."""
    game = WGAN(learning_rate=1e-3)
    weight = game.generator.gen[0].weight
    before = weight.numpy()
    (size * weight).sum().backward()
    game.optimizers["generator"].step()
    expected = 1e-3 * size / (0.01**0.5 * size + 1e-8)
    np.testing.assert_allclose(before - weight.numpy(), expected, rtol=0.02)


def test_whether_the_loss_tells_is_asked_of_one_judges_distances(tmp_path):
    """Another judge's are on another scale, as after `commands.train_judge`."""
    write = lambda name, lines: (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))  # noqa: E731
    steps = range(1, 9)  # as those of published curves, which are not smoothed
    write("losses.csv", ["step,epoch,batch,loss_d", *(f"{n},{n},0,{-((9 - n) ** 2)}" for n in steps)])
    judged = [(n, "one", (9 - n) ** 2 / 100) if n < 4 else (n, "other", (9.0 - n) ** 2) for n in steps]
    lines = [{"step": n, "epoch": n, "judge": judge, "raw": {"frechet": far}} for n, judge, far in judged]
    write("metrics.jsonl", map(json.dumps, lines))
    assert loss_tells_quality(tmp_path)["the loss tells the quality"].figure == pytest.approx(1.0)


def test_g_of_ebgan_begins_with_adams_first_step_also_after_d_has_been_alone():
    """Steps of no gradient would use up the correction of Adam's means: its first real step would be four times it."""
    game = EBGAN(alone=2)
    images = paddle.to_tensor(np.random.default_rng(0).uniform(-1, 1, (8, 1, 32, 32)).astype(np.float32))
    weight, drawn = game.generator.gen[0].weight, np.random.default_rng(1)
    moved = []
    for step in range(3):
        before = weight.numpy()
        game.update(Batch((images, None), np.arange(8), drawn, step))
        moved.append(np.abs(weight.numpy() - before).max())
    assert moved == [0, 0, pytest.approx(2e-4, rel=0.01)]


def test_the_repelling_term_by_hand():
    codes = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
    expected = (0 + 0.5 + 0.5) / 3  # cos² of the three pairs
    assert float(repelling(paddle.to_tensor(codes))) == pytest.approx(expected, rel=1e-5)


def test_ebgans_yardstick_tells_what_knows_digits_from_what_sees_strokes(reference, tmp_path, monkeypatch):
    """A mirror image has the same ink, and the same edges."""
    game, known = EBGAN(), {image.tobytes() for image in reference.unseen}
    for energy, share in (
        (lambda images: np.array([image.tobytes() not in known for image in images], float), 1),
        (lambda images: np.abs(np.diff(images, axis=3)).sum(axis=(1, 2, 3)).round(1), 0),
    ):
        monkeypatch.setattr(game, "energies", energy)
        ((name, found),) = game.measure(reference, tmp_path).items()
        assert name == "digits, not mirror images"
        assert found.figure == share
        assert 0.7 < found.floor < 1  # a linear autoencoder knows something, too


def test_ebgans_statistics_are_those_of_real_images():
    """Else it would draw them worse than it can; the weights are one and the same."""
    game, batch = EBGAN(), batch_of(0)
    alone = copy.deepcopy(game.discriminator)
    alone(batch.images)
    for optimizer in game.optimizers.values():
        optimizer.set_lr(0.0)
    game.update(batch)
    for name, expected in alone.state_dict().items():
        np.testing.assert_array_equal(game.discriminator.state_dict()[name].numpy(), expected.numpy(), err_msg=name)
    mine, of_fakes = (
        [id(p) for p in net.parameters() if not p.stop_gradient] for net in (game.discriminator, game.of_fakes)
    )
    assert mine == of_fakes


def test_ebgans_energy_is_the_mean_square_of_what_is_lost(reference, monkeypatch):
    game = EBGAN()
    monkeypatch.setattr(game, "reconstruct", lambda images: [images, images + 0.5])
    np.testing.assert_allclose(game.energies(reference.unseen), 0.25, rtol=1e-5)


def test_outlines_are_empty_where_nothing_changes():
    flat = np.full((1, 1, 8, 8), -1, np.float32)
    assert (outlines(flat) == -1).all()
    flat[0, 0, 3, 3] = 1
    ring = outlines(flat)[0, 0]
    assert ring[2, 2] == 1
    assert ring[3, 3] == -1


def cifar_penalties(slope: float, updates: int) -> list[float]:
    """Those of D's first updates from weights that are three times as steep as He's initialisation makes them."""
    paddle.seed(0)
    game = CIFARGAN(learning_rate=5e-4, penalty=1e3, slope=slope)
    first = game.discriminator[0].weight
    first.set_value(first * 3)
    rng = np.random.default_rng(0)
    images = paddle.to_tensor(rng.uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32))
    return [float(game.update(Batch((images, None), np.arange(4), rng))["penalty"]) for _ in range(updates)]


def test_cifar_gans_penalty_of_weight_0_is_not_computed():
    game = CIFARGAN(penalty=0)
    assert "penalty" not in game.update(batch_of_noise(game, 2, 0))


def test_cifar_gans_penalty_pulls_the_slope_to_what_is_asked():
    penalties = cifar_penalties(1, 12)
    assert penalties[0] > 5_000  # weighted by 1,000
    assert penalties[-1] < penalties[0] / 10
    to_0, to_1, to_2 = cifar_penalties(0, 1)[0], penalties[0], cifar_penalties(2, 1)[0]
    assert to_0 - 2 * to_1 + to_2 == pytest.approx(2_000, rel=1e-3)  # of (s - c)² at c = 0, 1, 2


@pytest.mark.parametrize("name", F)
def test_gs_two_losses_have_one_goal_and_one_of_them_is_flat_where_d_is_sure(name):
    """Both fall with v, so that either makes G look real; the formula of the game hardly does at v = -8."""
    scores = np.array([-8.0, -0.5, 0.0], np.float32)
    if name == "pearson":
        scores = scores.clip(-1.5)  # below -2 no density ratio leads to it
    formula, other = (gradient(loss_of(name, saturating).generator, scores) for saturating in (True, False))
    assert (formula < 0).all()
    assert (other < 0).all()
    if name in ("kl", "hellinger", "gan", "js"):
        assert -formula[0] < 1e-3 < -other[0]
