"""What is exact about the families of two domains: CycleGAN, CoGAN and the common space."""

from __future__ import annotations

from common.errors import UserError
from common.game import Batch, Game
from common.judging.judge import load_judge
from common.layers import Generator, score_layers
from tests.conftest import batch_of, make_gan, train
from tests.test_zoo_reconstruction import changed, movers, numbers, trained
from zoo.cogan import CoGAN, agreement
from zoo.common_space import CODE, FIRST, LAST, CommonSpace, confusion, three_quarters, told_apart, whole_way
from zoo.cyclegan import CycleGAN, patches
from zoo.shared.domains import DOMAINS, coloured, one_each, small_digits, thickened, two_domains
from zoo.shared.likeness import judge_layers, l1, l2, perceptual
from zoo.shared.translation import in_one_colour, reader

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.functional import softplus

NAMES = list(DOMAINS)
CHANCE = np.linspace(0, 0.99, 5, dtype=np.float32)


def square(size: int = 2, count: int = 1) -> np.ndarray:
    """White squares in the middle of black pictures."""
    images = np.full((count, 1, 32, 32), -1, np.float32)
    images[:, :, 15 : 15 + size, 15 : 15 + size] = 1
    return images


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


# CycleGAN.


def field(network: nn.Layer, size: int) -> tuple[int, int]:
    """How high and how wide the pixels reach that have a gradient from one score in the middle of the map."""
    x = paddle.to_tensor(np.random.default_rng(0).uniform(-1, 1, (1, 1, size, size)).astype(np.float32))
    x.stop_gradient = False
    scores = network(x)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows, columns = np.nonzero(x.grad.numpy()[0, 0])
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize(("layers", "pixels"), [(1, 16), (2, 34), (3, 70)])
def test_the_field_of_a_patch_by_its_gradient(layers, pixels):
    network = patches(layers, 1)
    assert field(network, 160) == (pixels, pixels)
    assert field(network, 32)[0] <= min(pixels, 32)
    assert network(paddle.zeros([2, 1, 32, 32])).shape == [2, 1, *[{1: 14, 2: 6, 3: 2}[layers]] * 2]


def test_a_norm_over_the_picture_lets_each_verdict_see_all_of_it():
    convolution, *rest = patches(1, 1)
    assert field(nn.Sequential(convolution, nn.InstanceNorm2D(32), *rest), 64) == (64, 64)


def players_of(game: Game) -> dict[str, set[str]]:
    """Player to the networks that its optimizer steps."""
    owners = {
        id(parameter): name
        for name, network in game.networks.items()
        for parameter in network.parameters()
        if not parameter.stop_gradient
    }
    found = {}
    for player, optimizer in game.optimizers.items():
        mine = [id(p) for p in optimizer._parameter_list if not p.stop_gradient]
        assert len(mine) == len(set(mine))
        found[player] = {owners[key] for key in mine}
    return found


def check_each_parameter_has_one_optimizer(game: Game) -> None:
    mine = [id(p) for optimizer in game.optimizers.values() for p in optimizer._parameter_list if not p.stop_gradient]
    assert len(mine) == len(set(mine))
    trainable = {id(p) for net in game.networks.values() for p in net.parameters() if not p.stop_gradient}
    assert trainable == set(mine)


def test_two_players_with_two_networks_each():
    game = CycleGAN()
    check_each_parameter_has_one_optimizer(game)
    assert players_of(game) == {"generators": {"g", "f"}, "discriminators": {"discriminator_a", "discriminator_b"}}


@pytest.mark.parametrize("settings", [{}, {"domains": "colour", "patch": "1"}, {"patch": "3", "identity": 5.0}])
def test_who_moves_in_cyclegans_turns(settings):
    game = CycleGAN(**settings)
    moved = movers(game, lambda: game.update(batch_of(0, 16)))
    assert list(moved) == ["generators", "discriminators"]
    for player, networks in players_of(game).items():
        assert moved[player] == {f"{name}/{key}" for name in networks for key in trained(game.networks[name])}


class Unchanged(nn.Layer):
    """A generator that changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.one = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * self.one


def test_what_changes_nothing_has_no_cycle_loss():
    game = make_gan("cyclegan")
    game.g, game.f = Unchanged(), Unchanged()
    game.networks.update(g=game.g, f=game.f)
    sides = nn.LayerList([game.g, game.f])
    game.optimizers["generators"] = paddle.optimizer.Adam(1e-4, parameters=sides.parameters())
    game.identity = 1.0
    values = game.update(batch_of(0, 16))
    assert (float(values["cycle"]), float(values["identity"])) == (0, 0)
    twin = make_gan("cyclegan")
    a, b = two_domains(batch_of(0, 16), "edge")
    expected = sum(float((score - 1).square().mean()) for score in (twin.d_b(a), twin.d_a(b)))
    assert float(values["loss_g"]) == pytest.approx(expected, rel=1e-4)


def test_cyclegans_losses_are_those_of_the_page():
    paddle.seed(0)
    twin = CycleGAN("edge", identity=3.0, cycle=7.0)
    paddle.seed(0)
    game = CycleGAN("edge", identity=3.0, cycle=7.0)
    values = game.update(batch_of(0, 16))
    a, b = two_domains(batch_of(0, 16), "edge")
    fake_b, fake_a = twin.g(a), twin.f(b)
    cycle = float(l1(twin.f(fake_b), a) + l1(twin.g(fake_a), b))
    same = float(l1(twin.g(b), b) + l1(twin.f(a), a))
    score_b, score_a = twin.d_b(fake_b), twin.d_a(fake_a)
    fooled = float((score_b - 1).square().mean() + (score_a - 1).square().mean())
    assert float(values["cycle"]) == pytest.approx(cycle, rel=1e-4)
    assert float(values["identity"]) == pytest.approx(same, rel=1e-4)
    assert float(values["loss_g"]) == pytest.approx(fooled + 7 * cycle + 3 * same, rel=1e-4)
    real_a, real_b = twin.d_a(a), twin.d_b(b)
    wrong = [(real_a - 1).square().mean(), (real_b - 1).square().mean(), score_a.square().mean()]
    assert float(values["loss_d"]) == pytest.approx(float(sum(wrong) + score_b.square().mean()) / 2, rel=1e-3)
    assert list(values) == ["loss_d", "loss_g", "cycle", "identity", "score_real", "score_fake"]


@pytest.mark.parametrize(("domains", "channels"), [("thick", 1), ("colour", 3)])
def test_rows_of_translations(domains, channels):
    game = CycleGAN(domains)
    shown = game.show(batch_of(0, 64))
    assert shown.shape == (96, channels, 32, 32)
    rows = shown.reshape(2, 2, 3, 8, channels, 32, 32)  # from A and from B; two triples of rows
    a, b = (images[:16].numpy() for images in two_domains(batch_of(0, 64), domains))
    for begins, source, there, back in ((0, a, game.to_b, game.to_a), (1, b, game.to_a, game.to_b)):
        steps = in_one_colour([source, there(source), back(there(source))])
        for place, step in enumerate(steps):
            np.testing.assert_allclose(rows[begins, :, place].reshape(step.shape), step, atol=1e-5)


def test_identity_is_not_for_colours(tmp_path, capsys):
    with pytest.raises(UserError, match="--identity"):
        CycleGAN("colour", identity=1.0)
    flags = ["--dataset", "digits", "--output-dir", tmp_path, "--domains", "colour", "--identity", 1]
    assert train("cyclegan", *flags) == 2
    assert capsys.readouterr().err.count("\n") == 1


# CoGAN.


def test_the_two_generators_are_one_but_for_the_last_layer():
    game = CoGAN()
    check_each_parameter_has_one_optimizer(game)
    generator, discriminator = game.generator, game.discriminator
    single = {"generator": Generator(), "discriminator": nn.Sequential(*score_layers())}
    own = {"generator": generator.ends[1], "discriminator": discriminator.begins[1]}
    for name, network in single.items():  # as large as one network and one more layer
        counts = [len([p for p in net.parameters() if not p.stop_gradient]) for net in (network, own[name])]
        assert counts[1] == 1
        assert len([p for p in game.networks[name].parameters() if not p.stop_gradient]) == sum(counts)
    z = paddle.to_tensor(game.latent(np.random.default_rng(0), 3))
    generator.eval()
    drawn = generator.pair(z)
    np.testing.assert_array_equal(generator(z).numpy(), drawn[0].numpy())
    assert (drawn[0].numpy() != drawn[1].numpy()).any()
    generator.ends[1][0].weight.set_value(generator.ends[0][0].weight)
    np.testing.assert_array_equal(generator.pair(z)[1].numpy(), drawn[0].numpy())  # all else is the same objects


def test_a_shared_layer_gets_the_gradients_of_both_domains():
    game = CoGAN()
    generator, z = game.generator, paddle.to_tensor(game.latent(np.random.default_rng(0), 4))
    generator.eval()
    weight, found = generator.shared[0].weight, []
    for chosen in ([0], [1], [0, 1]):
        pair = generator.pair(z)
        sum(pair[index].square().mean() for index in chosen).backward()
        found.append(weight.grad.numpy().copy())
        weight.clear_gradient(set_to_zero=False)
    np.testing.assert_allclose(found[0] + found[1], found[2], atol=1e-7)


def test_who_moves_in_cogans_turns():
    game = CoGAN()
    moved = movers(game, lambda: game.update(batch_of(0, 16)))
    assert moved == {name: {f"{name}/{key}" for key in trained(game.networks[name])} for name in game.networks}


def test_cogans_losses_are_those_of_the_page():
    game, twin, batch = make_gan("cogan"), make_gan("cogan"), batch_of(0, 16)
    values, again = game.update(batch), batch_of(0, 16)
    z = again.split(2)[0].draw(twin.latent)
    again.split(2)[0].draw(twin.latent)
    real = twin.discriminator(list(two_domains(again, "edge")))
    fake = twin.discriminator(twin.generator.pair(z))
    expected = sum(float(softplus(-r).mean() + softplus(f).mean()) for r, f in zip(real, fake))
    assert float(values["loss_d"]) == pytest.approx(expected, rel=1e-4)
    assert list(values) == ["loss_d", "loss_g", "score_real", "score_fake"]


def test_pairs_stand_side_by_side():
    game = CoGAN()
    shown = game.show(batch_of(0, 64)).reshape(32, 2, 1, 32, 32)
    a, b = game.pairs(game.latent(batch_of(0, 64).rng, 32))
    np.testing.assert_allclose(shown[:, 0], a, atol=1e-6)
    np.testing.assert_allclose(shown[:, 1], b, atol=1e-6)
    np.testing.assert_allclose(a, game.sample(game.latent(batch_of(0, 64).rng, 32)), atol=1e-6)


def test_agreement_by_hand():
    two, four = square(2), square(4)
    assert agreement(two, two) == (1, 1)
    assert agreement(two, four) == ((1024 - 12) / 1024, 4 / 16)
    assert agreement(four, np.full_like(four, -1)) == ((1024 - 16) / 1024, 0)
    black = np.full_like(four, -1)
    assert agreement(black, black) == (1, 0)


# The common space.

CONSTRAINTS = ["shared", "domain", "cycle", "code", "none"]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_what_is_shared_is_the_same_object_and_nothing_else_is(constraint):
    game = CommonSpace(constraint=constraint)
    alike = [one is other for one, other in zip([*game.e_a, *game.d_a], [*game.e_b, *game.d_b])]
    expected = [index in LAST for index in range(10)] + [index in FIRST for index in range(11)]
    assert alike == (expected if constraint == "shared" else [False] * 21)
    convolutions = (nn.Conv2D, nn.Conv2DTranspose)
    places = [
        [index for index, layer in enumerate(net) if isinstance(layer, convolutions)] for net in (game.e_a, game.d_a)
    ]
    assert [[index in LAST for index in places[0]], [index in FIRST for index in places[1]]] == [
        [False, False, True, True], [True, True, False, False],
    ]  # fmt: skip
    check_each_parameter_has_one_optimizer(game)
    assert ("discriminator_code" in game.networks) == (constraint == "domain")


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
    weight = game.e_a[LAST[0]].weight
    before = weight.numpy().copy()
    game.update(batch_of(0, 16))
    assert np.abs(weight.numpy() - before).max() == pytest.approx(5e-4, rel=1e-2)


def test_codes_have_one_length_and_pictures_their_shape():
    game, x = CommonSpace(), batch_of(0).images
    code = game.e_a(x)
    assert code.shape == [8, CODE, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(code.numpy().reshape(8, CODE), axis=1), 8, rtol=1e-5)
    assert game.d_b(code).shape == [8, 1, 32, 32]
    np.testing.assert_allclose(game.to_b(x.numpy()), game.d_b(code).numpy(), atol=1e-5)
    np.testing.assert_allclose(game.to_a(x.numpy()), game.d_a(game.e_b(x)).numpy(), atol=1e-5)


def test_each_constraint_is_nothing_where_it_holds():
    x, y = (batch_of(step).images for step in (0, 1))
    for unlike in (l1, l2, perceptual):
        assert float(whole_way(unlike, (x, y), (x, y))) == 0
        expected = 10 * (float(unlike(x, y)) + float(unlike(y, x)))
        assert float(whole_way(unlike, (x, y), (y, x))) == pytest.approx(expected, rel=1e-5)
    assert float(three_quarters((x, y), (x, y))) == 0
    unit = paddle.eye(4).reshape([4, 4, 1, 1]) * 2  # of the length of four normal numbers
    assert float(three_quarters((unit, unit), (-unit, unit))) == 4


def test_the_encoders_loss_is_the_guessers_with_the_domains_swapped():
    a, b = (paddle.to_tensor(scores) for scores in ([2.0, -1.0], [0.5, 3.0]))
    assert float(confusion(a, b)) == pytest.approx(float(softplus(-b).mean() + softplus(a).mean()), rel=1e-6)


@pytest.mark.parametrize("likeness", ["l1", "perceptual"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_common_spaces_losses_are_those_of_the_page(constraint, likeness):
    games = []
    for _ in range(2):
        paddle.seed(0)
        games.append(CommonSpace("edge", constraint, 2.0, likeness))
    game, twin = games
    values = game.update(batch_of(0, 16))
    a, b = two_domains(batch_of(0, 16), "edge")
    unlike = {"l1": l1, "perceptual": perceptual}[likeness]
    code_a, code_b = twin.e_a(a), twin.e_b(b)
    there, home = twin.d_b(code_a), twin.d_a(code_b)
    rebuilt = unlike(twin.d_a(code_a), a) + unlike(twin.d_b(code_b), b)
    expected = {
        "shared": lambda: 0.0,
        "none": lambda: 0.0,
        "domain": lambda: softplus(-twin.guess(code_b)).mean() + softplus(twin.guess(code_a)).mean(),
        "cycle": lambda: 10 * (unlike(twin.d_a(twin.e_b(there)), a) + unlike(twin.d_b(twin.e_a(home)), b)),
        "code": lambda: l2(twin.e_b(there), code_a) + l2(twin.e_a(home), code_b),
    }[constraint]()
    fooled = (twin.s_b(there) - 1).square().mean() / 2 + (twin.s_a(home) - 1).square().mean() / 2
    assert float(values["rebuilt"]) == pytest.approx(float(rebuilt), rel=1e-4)
    assert float(values["constraint"]) == pytest.approx(float(expected), rel=1e-3)
    total = 10 * float(rebuilt) + float(fooled) + 2 * float(expected)
    assert float(values["loss_g"]) == pytest.approx(total, rel=1e-3)
    assert list(values) == ["loss_d", "loss_g", "rebuilt", "constraint", "score_real", "score_fake"]


def test_domains_are_told_apart_where_they_differ():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((200, CODE, 1, 1)).astype(np.float32) for _ in range(2))
    assert told_apart(a, b) == pytest.approx(0.5, abs=0.1)
    b[:, 0] += 10
    assert told_apart(a, b[:150]) == 1
