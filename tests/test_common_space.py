"""What is exact about the common space and its four constraints."""

from __future__ import annotations

from common.losses import non_saturating
from tests.conftest import batch_of
from tests.players import check_each_parameter_has_one_optimizer, movers, trained
from zoo.common_space import COMMON, OWN, CommonSpace
from zoo.shared.codes import known_by_neighbour
from zoo.shared.domains import two_domains
from zoo.shared.likeness import l1, l2, perceptual
from zoo.shared.translation import Translation

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.functional import softplus

CONSTRAINTS = ["both", "shared", "domain", "cycle", "code", "none"]


@pytest.mark.parametrize("code", ["map", "vector"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_what_is_shared_is_the_same_object_and_nothing_else_is(constraint, code):
    game = CommonSpace(constraint=constraint, code=code)
    alike = [one is other for one, other in zip([*game.e_a, *game.d_a], [*game.e_b, *game.d_b])]
    expected = [index >= OWN for index in range(10)] + [index < COMMON for index in range(11)]
    assert alike == (expected if constraint in ("shared", "both") else [False] * 21)
    convolutions = (nn.Conv2D, nn.Conv2DTranspose)
    places = [
        [index for index, layer in enumerate(net) if isinstance(layer, convolutions)] for net in (game.e_a, game.d_a)
    ]
    assert [[index >= OWN for index in places[0]], [index < COMMON for index in places[1]]] == [
        [False, False, True, True], [True, True, False, False],
    ]  # fmt: skip
    check_each_parameter_has_one_optimizer(game)
    assert ("discriminator_code" in game.networks) == (constraint in ("domain", "both"))


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_who_moves_in_the_common_spaces_turns(constraint):
    game = CommonSpace(constraint=constraint)
    moved = movers(game, lambda: game.update(batch_of(0, 16)))
    assert list(moved) == ["autoencoders", "discriminators"]
    for player, found in moved.items():
        coders = player == "autoencoders"
        names = [name for name in game.networks if name.startswith(("encoder", "decoder")) == coders]
        assert found == {f"{name}/{key}" for name in names for key in trained(game.networks[name])}


def test_what_is_shared_moves_once():
    """Adam's first step is the step size, whatever the gradient: twice would be more."""
    game = CommonSpace(constraint="shared")
    weight = game.e_a[OWN].weight
    before = weight.numpy().copy()
    game.update(batch_of(0, 16))
    assert np.abs(weight.numpy() - before).max() == pytest.approx(5e-4, rel=1e-2)


@pytest.mark.parametrize(("kind", "shape"), [("map", [8, 8, 8]), ("vector", [64, 1, 1])])
def test_codes_have_one_length_and_pictures_their_shape(kind, shape):
    game, x = CommonSpace(code=kind), batch_of(0).images
    code = game.e_a(x)
    assert code.shape == [8, *shape]
    np.testing.assert_allclose(np.square(code.numpy()).mean(axis=(1, 2, 3)), 1, rtol=1e-5)
    assert game.d_b(code).shape == [8, 1, 32, 32]
    np.testing.assert_allclose(game.to_b(x.numpy()), game.d_b(code).numpy(), atol=1e-5)
    np.testing.assert_allclose(game.to_a(x.numpy()), game.d_a(game.e_b(x)).numpy(), atol=1e-5)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_each_constraint_is_nothing_where_it_holds(constraint):
    """Networks that change nothing come home as they went; a guesser that answers ½ is fooled."""
    game, (x, y) = CommonSpace(constraint=constraint), (batch_of(step).images for step in (0, 1))
    game.e_a = game.e_b = game.d_a = game.d_b = lambda x: x
    game.guess = paddle.zeros_like
    chance = non_saturating.chance if constraint in ("domain", "both") else 0
    nothing = [paddle.zeros_like(x)] * 2
    assert float(game.constrain((x, y), (x, y), nothing, (y, x))) == pytest.approx(chance, rel=1e-4)


@pytest.mark.parametrize(("constraint", "likeness"), [*((name, "l1") for name in CONSTRAINTS), ("cycle", "perceptual")])
def test_the_common_spaces_losses_are_those_of_the_page(constraint, likeness):
    games = []
    for _ in range(2):
        paddle.seed(0)
        games.append(CommonSpace("edge", constraint, 2.0, likeness))
    game, twin = games
    values = game.update(batch_of(0, 16))
    batch = batch_of(0, 16)
    a, b = two_domains(batch, "edge")
    unlike = {"l1": l1, "perceptual": perceptual}[likeness]
    plain_a, plain_b = twin.e_a(a), twin.e_b(b)
    noise = batch.draw(lambda rng, count: rng.standard_normal((count, 8, 8, 8), dtype=np.float32))
    noise_a, noise_b = noise[:8], noise[8:]
    code_a, code_b = plain_a + noise_a, plain_b + noise_b
    there, home = twin.d_b(code_a), twin.d_a(code_b)
    rebuilt = unlike(twin.d_a(code_a), a) + unlike(twin.d_b(code_b), b)
    expected = {
        "both": lambda: expected["domain"](),
        "shared": lambda: 0.0,
        "none": lambda: 0.0,
        "domain": lambda: softplus(-twin.guess(code_b)).mean() + softplus(twin.guess(code_a)).mean(),
        "cycle": lambda: (
            10 * (unlike(twin.d_a(twin.e_b(there) + noise_a), a) + unlike(twin.d_b(twin.e_a(home) + noise_b), b))
        ),
        "code": lambda: l2(twin.e_b(there), plain_a) + l2(twin.e_a(home), plain_b),
    }
    expected = expected[constraint]()
    fooled = (twin.s_b(there) - 1).square().mean() / 2 + (twin.s_a(home) - 1).square().mean() / 2
    assert float(values["rebuilt"]) == pytest.approx(float(rebuilt), rel=1e-4)
    assert float(values["constraint"]) == pytest.approx(float(expected), rel=1e-3)
    total = 10 * float(rebuilt) + float(fooled) + 2 * float(expected)
    assert float(values["loss_g"]) == pytest.approx(total, rel=1e-3)
    judges = ["loss_d", "loss_code"] if constraint in ("domain", "both") else ["loss_d"]
    assert list(values) == [*judges, "loss_g", "rebuilt", "constraint", "score_real", "score_fake"]


def test_a_code_is_known_by_its_nearest_neighbour_whatever_the_order():
    rng, order, places = np.random.default_rng(0), np.random.default_rng(1).permutation(20), np.arange(20)
    a = rng.standard_normal((20, 8, 8, 8)).astype(np.float32)
    near = a[order] + rng.normal(0, 0.1, a.shape).astype(np.float32)
    assert known_by_neighbour(near, order, a, places) == 1
    assert known_by_neighbour(near, order, a, np.where(places < 5, -1, places)) == 0.75


@pytest.mark.parametrize(("codes", "partner"), [(np.eye(2000), 1), (np.zeros((2000, 4)), 0.001)])
def test_the_common_spaces_yardstick_at_its_ceiling_and_its_floor(codes, partner, reference, tmp_path, monkeypatch):
    """Codes that are the picture's place: every partner is found; codes that are all alike: the first's alone."""
    game = CommonSpace()
    monkeypatch.setattr(game, "apply", lambda net, x: codes[: len(x)])
    monkeypatch.setattr(Translation, "measure", lambda *_: {})
    found = game.measure(reference, tmp_path)
    assert found["codes know the partner"].figure == pytest.approx(partner, abs=0.01)
    assert (found["codes know the digit"].figure == 1) == (partner == 1)
