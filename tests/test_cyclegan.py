"""What is exact about CycleGAN and its patches."""

from __future__ import annotations

from common.errors import UserError
from common.judging.metrics import psnr
from docs import permuted_classes
from tests.conftest import batch_of, make_gan, train
from tests.players import check_each_parameter_has_one_optimizer, movers, players_of, trained
from zoo.cyclegan import CycleGAN
from zoo.shared.domains import outlines, two_domains
from zoo.shared.layers import patches
from zoo.shared.likeness import l1
from zoo.shared.readers import unseen_pictures
from zoo.shared.translation import Translation, in_one_colour

import numpy as np
import paddle
import pytest
from paddle import nn


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


class Permuted(Translation):
    """Makes of each digit the outline of the next one, a 0 of a 9, and knows what it made it of."""

    domains = "edge"

    def __init__(self, read) -> None:
        self.read = read

    def to_b(self, images):
        digits, rng = self.read(images), np.random.default_rng(0)
        others = [rng.choice(np.flatnonzero(digits == (digit + 1) % 10)) for digit in digits]
        self.was, self.made = images, outlines(images[others])
        return self.made

    def to_a(self, images):
        assert images is self.made
        return self.was


class Knowing(Translation):
    """Makes true outlines, a little too light, and of outlines, whatever they are, the digits `home`."""

    domains = "edge"

    def __init__(self, home: np.ndarray) -> None:
        self.home = home

    def to_b(self, images):
        return outlines(images) + 0.02

    def to_a(self, images):
        return self.home


def test_what_a_translation_is_measured_by(reference, tmp_path):
    """Each way by who reads what comes out of it, from what is untranslated on."""
    (a, digits), (b, _) = unseen_pictures(reference, "edge")
    zeros = np.repeat(a[digits == 0][:1], len(a), axis=0)
    found, fooled = (Knowing(home).measure(reference, tmp_path) for home in (a, zeros))
    assert list(found) == ["B to A keeps the digit", "A to B keeps the digit", "A to B is true"]
    home, there, near = found.values()
    assert home.figure == 1 > 0.5 > home.floor == (reference.see(b).classes == digits).mean()
    assert fooled["B to A keeps the digit"].figure == (digits == 0).mean()
    assert fooled["A to B keeps the digit"] == there
    assert there.figure > 0.8 > there.floor
    assert near.figure == pytest.approx(40, abs=0.01)  # 20 log10(2 / 0.02)
    assert near.floor == pytest.approx(psnr(b, np.broadcast_to(b.mean(axis=0), b.shape)))


def test_the_table_of_what_becomes_what_shows_a_permutation(reference):
    """The way back is exact, and every picture on the way is one of B: only who reads the digits can tell."""
    game = Permuted(lambda images: reference.see(images).classes)
    shares, back = permuted_classes.became(game, reference)
    assert back == np.inf
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(shares.argmax(axis=1), (np.arange(10) + 1) % 10)
    figure = permuted_classes.draw({"one": (shares, 20.0), "other": (np.eye(10), 30.0)})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["one\nPSNR of the way back: 20.0", "other\nPSNR of the way back: 30.0"]
