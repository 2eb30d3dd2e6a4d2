"""What is exact about CoGAN."""

from __future__ import annotations

from common.layers import Generator, score_layers
from tests.conftest import batch_of, make_gan, square
from tests.players import check_each_parameter_has_one_optimizer, movers, trained
from zoo.cogan import CoGAN, agreement
from zoo.shared.domains import two_domains

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.functional import softplus


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
    assert float(values["loss_d"]) == pytest.approx(expected / 2, rel=1e-4)  # the mean over the domains
    assert list(values) == ["loss_d", "loss_g", "penalty", "score_real", "score_fake"]


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
