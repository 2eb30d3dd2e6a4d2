"""What a checkpoint keeps of a game, whichever optimizers a student gives it, and whose it refuses."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.data import Dataset
from common.errors import UserError
from common.run import checkpoint
from common.train import check_batches
from tests.test_game import Two, weights

import numpy as np
import paddle
import pytest
from paddle.optimizer import SGD, Adam, Momentum
from paddle.optimizer.lr import StepDecay

STATE = {"step": 3, "sample_every": 1, "troubles": [], "logs": {"losses.csv": 0}, "identity": {}}


def scheduled(rate: float, parameters: list) -> Adam:
    return Adam(StepDecay(rate, 2, 0.5), parameters=parameters)


def in_groups(rate: float, parameters: list) -> Momentum:
    return Momentum(
        rate / 1000, parameters=[{"params": parameters[:2]}, {"params": parameters[2:], "weight_decay": 0.5}]
    )


def play(game: Two, updates: int) -> Two:
    for _ in range(updates):
        for player, optimizer in game.optimizers.items():
            with game.turn(player):
                game.loss().backward()
            if checkpoint.has_scheduler(optimizer):
                optimizer._learning_rate.step()
    return game


def goes_on(folder: Path, game: Two) -> Two:
    content, path, _ = checkpoint.load_checkpoint(folder)
    checkpoint.restore(game, content, path)
    return game


@pytest.mark.parametrize("make_optimizer", [Adam, scheduled, in_groups])
def test_it_goes_on_as_if_it_had_never_stopped(make_optimizer, tmp_path):
    game = play(Two(make_optimizer), 3)
    checkpoint.save(tmp_path, game, STATE)
    resumed = play(goes_on(tmp_path, Two(make_optimizer)), 3)
    assert weights(resumed) == weights(play(game, 3))
    rates = [{name: one.get_lr() for name, one in each.optimizers.items()} for each in (resumed, game)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("make_optimizer", [Adam, in_groups])
@pytest.mark.parametrize(
    "used",
    [[(2, 2, 2), (2,), (0, 2, 0)], [(0, 0, 0), (0,), (2, 0, 2)], [(0, 2, 2), (2,), (0, 2)], [(2, 0, 0), (0,), (2, 0)]],
    ids=str,
)
def test_layers_that_a_turn_leaves_alone_go_on_too(make_optimizer, used, tmp_path):
    """Stopped twice: the numbers are those of the one layer of the generator that an update uses."""

    def play_parts(game: Two, layers: tuple[int, ...]) -> Two:
        for layer in layers:
            with game.turn("generator"):
                game.generator[layer](paddle.ones([1, 1])).square().sum().backward()
        return game

    stopped, whole = Two(make_optimizer), Two(make_optimizer)
    for layers in used:
        play_parts(whole, layers)
        checkpoint.save(tmp_path, play_parts(stopped, layers), STATE)
        stopped = goes_on(tmp_path, Two(make_optimizer))
    assert weights(stopped) == weights(whole)


def test_other_players_or_tensors_are_refused_before_a_fresh_optimizer_moves_them(tmp_path):
    checkpoint.save(tmp_path, play(Two(Adam), 3), STATE)
    game = Two(Adam)
    game.optimizers["judge"] = game.optimizers.pop("critic")
    with pytest.raises(UserError, match="its players are critic, generator, here they are generator, judge; begin"):
        goes_on(tmp_path, game)
    game = Two(Adam)
    game.optimizers["generator"] = Adam(0.1, parameters=game.generator[1:].parameters())
    with pytest.raises(UserError, match=r"generator moved 0\.weight there and does not here; begin anew"):
        goes_on(tmp_path, game)
    with pytest.raises(UserError, match="learning rate has a scheduler either there or here; begin anew"):
        goes_on(tmp_path, Two(scheduled))


@pytest.mark.parametrize(("was", "now"), [(Adam, SGD), (SGD, Adam), (Adam, in_groups)])
def test_another_kind_of_optimizer_is_refused(was, now, tmp_path):
    """What Adam keeps is nothing to it, and the other way round."""
    checkpoint.save(tmp_path, play(Two(was), 3), STATE)
    kinds = [type(next(iter(Two(make).optimizers.values()))).__name__ for make in (was, now)]
    with pytest.raises(UserError, match="optimizer was {} and is now {}; begin anew, without --res".format(*kinds)):
        goes_on(tmp_path, Two(now))


def test_a_scheduler_and_linear_decay_are_refused_together():
    flags = argparse.Namespace(batch_size=1, linear_decay=True, sync_batchnorm=False)
    dataset, config = Dataset("digits", np.zeros([4, 1, 32, 32], np.float32), "checksum", ""), {"processes": 1}
    check_batches(Two(Adam), dataset, flags, config)
    with pytest.raises(UserError, match=r"--linear-decay: .* leave it out"):
        check_batches(Two(scheduled), dataset, flags, config)


def test_a_checkpoint_that_a_link_leads_to_and_is_not_there_is_not_none(tmp_path):
    """Of a disk that is not mounted today: a run began anew over a night's work."""
    (tmp_path / checkpoint.NAME).symlink_to(tmp_path / "unmounted/checkpoint.params")
    with pytest.raises(UserError, match=r"checkpoint\.params: No such file or directory; make it readable"):
        checkpoint.load_checkpoint(tmp_path)
