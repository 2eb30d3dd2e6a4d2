"""The networks and their initialisation, by the contract."""

from __future__ import annotations

import importlib
import re

from common.init import weights_init
from common.run.families import builder
from tests.conftest import ROOT, batch_of_noise, make_gan, noise, real

import numpy as np
import paddle
import pytest
from paddle import nn


@pytest.fixture
def model(family):
    return importlib.import_module(f"{family}.model")


def test_generator_shape_range_and_size(model):
    images = model.Generator()(noise(0, 5))
    assert images.shape == [5, 1, 32, 32]
    assert float(images.abs().max()) <= 1
    assert trainable(model.Generator()) == 1_066_880


def test_discriminator_shape_and_size(model):
    assert model.Discriminator()(real(count=5)).shape == [5, 1, 1, 1]
    assert trainable(model.Discriminator()) == 661_248


def test_only_dcgan_bounds_the_score():
    scores = {}
    for family in ("dcgan", "lsgan"):
        net = importlib.import_module(f"{family}.model").Discriminator()
        last = [layer for layer in net.sublayers() if isinstance(layer, nn.Conv2D)][-1]
        last.weight.set_value(paddle.full(last.weight.shape, 50.0))
        scores[family] = net(real(count=4)).numpy()
    assert scores["dcgan"].min() >= 0
    assert scores["dcgan"].max() <= 1
    assert np.abs(scores["lsgan"]).max() > 2


def test_layers_are_the_contract(model):
    generator = [
        (100, 256, [1, 1]), (256, 128, [2, 2]), (128, 64, [2, 2]), (64, 1, [2, 2]),
    ]  # fmt: skip
    discriminator = [(1, 64, [2, 2]), (64, 128, [2, 2]), (128, 256, [2, 2]), (256, 1, [1, 1])]
    transposed = [layer for layer in model.Generator().sublayers() if isinstance(layer, nn.Conv2DTranspose)]
    plain = [layer for layer in model.Discriminator().sublayers() if isinstance(layer, nn.Conv2D)]
    assert [(c.weight.shape[0], c.weight.shape[1], list(c._stride)) for c in transposed] == generator
    assert [(c.weight.shape[1], c.weight.shape[0], list(c._stride)) for c in plain] == discriminator
    assert all(layer.weight.shape[2:] == [4, 4] and layer.bias is None for layer in [*transposed, *plain])
    slopes = {layer._negative_slope for layer in model.Discriminator().sublayers() if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2}


def test_state_dict_is_the_course_scripts(model):
    """In layer order, and under the names that the course script's weights have."""
    norm = ["weight", "bias", "_mean", "_variance"]
    assert list(model.Generator().state_dict()) == [
        "gen.0.weight", *(f"gen.1.{n}" for n in norm), "gen.3.weight", *(f"gen.4.{n}" for n in norm),
        "gen.6.weight", *(f"gen.7.{n}" for n in norm), "gen.9.weight",
    ]  # fmt: skip
    assert list(model.Discriminator().state_dict()) == [
        "dis.0.weight", "dis.2.weight", *(f"dis.3.{n}" for n in norm), "dis.5.weight", *(f"dis.6.{n}" for n in norm),
        "dis.8.weight",
    ]  # fmt: skip


def test_weights_init(model):
    paddle.seed(1)
    for net in (model.Generator(), model.Discriminator()):
        assert net.apply(weights_init) is net
        for layer in net.sublayers():
            if isinstance(layer, (nn.Conv2D, nn.Conv2DTranspose)):
                weight = layer.weight.numpy()
                assert abs(weight.mean()) < 5 * 0.02 / np.sqrt(weight.size)
                assert weight.std() == pytest.approx(0.02, rel=5 / np.sqrt(weight.size))
            elif isinstance(layer, nn.BatchNorm2D):
                weight = layer.weight.numpy()
                assert weight.mean() == pytest.approx(1, abs=5 * 0.02 / np.sqrt(weight.size))
                assert weight.std() == pytest.approx(0.02, rel=5 / np.sqrt(weight.size))
                assert not layer.bias.numpy().any()


def test_weights_init_knows_the_batchnorm_of_several_processes():
    paddle.seed(0)
    layer = nn.SyncBatchNorm(1000).apply(weights_init)
    assert layer.weight.numpy().std() == pytest.approx(0.02, rel=0.1)


def test_same_seed_same_weights(family):
    first, second, other = make_gan(family, 3), make_gan(family, 3), make_gan(family, 4)
    for name, net in first.networks.items():
        for key, value in net.state_dict().items():
            assert (value.numpy() == second.networks[name].state_dict()[key].numpy()).all()
        key = next(iter(net.state_dict()))
        assert (net.state_dict()[key].numpy() != other.networks[name].state_dict()[key].numpy()).any()


def trainable(net: nn.Layer) -> int:
    return sum(int(p.size) for p in net.parameters() if not p.stop_gradient)


def test_the_multiplications_on_the_page_are_those_of_its_program(capsys):
    """In place of `paddle.flops`, which does not count these layers."""
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    found = re.search(r"^## How much is computed$.*?```python\n(.*?)```\n\n```\n(.*?)```", page, re.M | re.S)
    program, printed = found.groups()
    exec(program, {})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("network", "size"), [("Generator", (1, 100, 1, 1)), ("Discriminator", (1, 1, 32, 32))])
def test_paddles_summary_knows_the_networks(capsys, model, network, size):
    made = getattr(model, network)()
    assert paddle.summary(made, size)["trainable_params"] == trainable(made)
    assert "[1, 256, 4, 4]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("family", "settings", "size"),
    [
        ("lsgan", {}, 64), ("lsgan", {}, 128), ("cgan", {}, 64), ("cgan", {"heads": "two"}, 128),
        ("wgan_gp", {"critic_steps": 1}, 128),
    ],
)  # fmt: skip
def test_larger_images_in_colour(family, settings, size):
    """A level more for each doubling, as wide as the paper's up to 512; one update moves every player."""
    game = builder(family)(size=size, channels=3, **settings)
    assert game.image == (3, size, size)
    widths = [256, 512, 512][: {64: 2, 128: 3}[size]]
    up = [layer for layer in game.networks["generator"].gen if isinstance(layer, nn.Conv2DTranspose)]
    assert [layer.weight.shape[1] for layer in up] == [*widths[::-1], 128, 64, 3]
    before = {name: [p.numpy() for p in net.parameters()] for name, net in game.networks.items()}
    values = game.update(batch_of_noise(game, 2, 0))
    assert all(np.isfinite(float(value)) for value in values.values())
    for name, net in game.networks.items():
        assert any((old != new.numpy()).any() for old, new in zip(before[name], net.parameters()))
    images = game.sample(game.latent(np.random.default_rng(0), 2))
    assert images.shape == (2, 3, size, size)
    assert np.abs(images).max() <= 1
