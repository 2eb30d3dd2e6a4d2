"""Who owns which network, and who moves what in a turn."""

from __future__ import annotations

from typing import Callable

from common.game import Game

import numpy as np
import paddle
import pytest


def numbers(network: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if (before[name] != after[name]).any()}


def trained(network: paddle.nn.Layer) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.stop_gradient}


def movers(game: Game, act: Callable[[], object]) -> dict[str, set[str]]:
    """During `act`, what each turn moved: player to `network/parameter`."""
    moved, turn = {}, game.turn

    def state() -> dict[str, np.ndarray]:
        return {f"{n}/{k}": v for n, net in game.networks.items() for k, v in numbers(net).items() if k in trained(net)}

    class Watched:
        def __init__(self, player: str) -> None:
            self.player, self.inner = player, turn(player)

        def __enter__(self) -> None:
            self.before = state()
            self.inner.__enter__()

        def __exit__(self, *error: object) -> bool | None:
            handled = self.inner.__exit__(*error)
            moved[self.player] = changed(self.before, state())
            return handled

    game.turn = Watched
    act()
    del game.turn
    return moved


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


def losses_minimised(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `backward` is called on from here on."""
    back, said = paddle.Tensor.backward, []
    monkeypatch.setattr(paddle.Tensor, "backward", lambda loss: said.append(float(loss)) or back(loss))
    return said
