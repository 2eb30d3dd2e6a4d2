"""What the page on seven faults says, at a small size."""

from __future__ import annotations

from docs import seven_faults
from docs.seven_faults import CHANNELS, UPDATES, WHOLE_IMAGE
from zoo.shared.slopes import gradient_penalty

import paddle
import pytest
from paddle import nn


def test_without_create_graph_the_penalty_teaches_nothing():
    constant, taught = seven_faults.without_create_graph(4)
    assert constant == 0
    assert taught > 0.01


def test_paddle_refuses_an_interpolate_that_asks_for_no_gradient():
    error, penalty = seven_faults.no_gradient_asked(4)
    assert "stop_gradient=True" in error
    assert penalty > 0


def test_a_norm_over_the_channels_makes_an_image_32_times_as_steep():
    assert seven_faults.slope_taught(CHANNELS, steps=80, count=4) == pytest.approx(32, rel=0.25)
    assert seven_faults.slope_taught(WHOLE_IMAGE, steps=80, count=4) == pytest.approx(1, rel=0.25)


def test_one_epsilon_a_batch_spreads_the_penalty():
    shared, own = seven_faults.spread_of_penalty(batches=30)
    assert shared > 2 * own


def test_g_learns_nothing_from_detached_fakes():
    freed, kept, detached, attached = seven_faults.detached_fakes(4)
    assert "backward twice" in freed
    assert kept == "no error"
    assert detached == 0
    assert attached > 0.01


def test_batch_norm_ties_an_image_to_the_others():
    assert min(seven_faults.change_by_others(batch_norm=True, tries=4, count=8)) > 0.01
    assert max(seven_faults.change_by_others(batch_norm=False, tries=4, count=8)) < 1e-5


@pytest.mark.parametrize("norm", [nn.LayerNorm([8, 5, 5]), nn.GroupNorm(2, 8), nn.InstanceNorm2D(8)])
def test_of_the_norms_that_see_one_image_only_instance_norm_has_a_second_derivative(norm):
    discriminator = nn.Sequential(nn.Conv2D(3, 8, 4), norm, nn.LeakyReLU(0.2), nn.Conv2D(8, 1, 5))
    real, fake = (paddle.randn([4, 3, 8, 8]) for _ in range(2))
    given = discriminator, real, fake, paddle.rand([4, 1, 1, 1])
    if isinstance(norm, nn.InstanceNorm2D):
        gradient_penalty(*given).backward()
        assert float(discriminator[0].weight.grad.abs().max()) > 0
    else:
        with pytest.raises(RuntimeError, match="doesn't have any grad"):
            gradient_penalty(*given)


def test_the_listing_saves_late_and_only_paddle_and_we_make_the_folder():
    lost, plain, paddles, ours = seven_faults.missing_folder()
    assert lost == 6 * UPDATES == 2346
    assert plain.startswith("FileNotFoundError")
    assert (paddles, ours) == ("no error", "no error")
