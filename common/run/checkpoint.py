"""The resume checkpoint: everything a run needs to go on as if it had never stopped.

The random numbers are not in it: they are functions of the seed and the step (see `common.rng`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files.atomic import atomic
from common.files.weights import MAX_BYTES, load_into, most_bytes, parse, read_bounded
from common.game import Game, parameters_of
from common.language import _

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.optimizer import Optimizer

NAME, PREVIOUS, DAMAGED = "checkpoint.params", "checkpoint-previous.params", "checkpoint-damaged.params"
EMA = "generator_ema"
SCHEDULER = "LR_Scheduler"  # Paddle's name for it in an optimizer's state
DIGEST_BYTES = 32  # SHA-256, after what `paddle.save` wrote


def all_networks(game: Game) -> dict[str, nn.Layer]:
    """The networks of a game by name, its moving average among them."""
    return {**game.networks, **({EMA: game.ema.network} if game.ema else {})}


def save(folder: Path, game: Game, state: dict[str, Any]) -> None:
    """Write networks, optimizers and `state` to `folder`, keeping the checkpoint before as `checkpoint-previous`.

    Args:
        state: plain numbers, strings and dictionaries: the step, the lengths of the logs, what the run is.
    """
    content = {
        **state,
        "networks": {
            name: {key: value.numpy() for key, value in network.state_dict().items()}
            for name, network in all_networks(game).items()
        },
        "optimizers": {player: optimizer_state(game, player) for player in game.optimizers},
        "kinds": kinds_of(game),
    }
    buffer = io.BytesIO()
    paddle.save(content, buffer)
    path = folder / NAME
    with atomic(path, keep=folder / PREVIOUS) as file:
        file.write(buffer.getbuffer())
        file.write(hashlib.sha256(buffer.getbuffer()).digest())


def load_checkpoint(folder: Path, game: Game | None = None) -> tuple[dict[str, Any], Path, str] | None:
    """Read the last sound checkpoint of `folder`.

    Args:
        folder: of a run.
        game: whose checkpoint it is meant to be; it says how large that may be.

    Returns:
        Its content, its path, and a line about what was wrong with the newer one, else ""; None where there is none.

    Raises:
        UserError: there are checkpoints but none is sound.
    """
    problem, most = "", most_bytes(*all_networks(game).values()) if game else MAX_BYTES
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.exists() and not path.is_symlink():  # one that leads to a disk that is not there is an error below
            continue
        try:
            content = read_bounded(path, most)
            body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
            if hashlib.sha256(body).digest() != digest:
                raise UserError(_("{path}: damaged, its checksum is wrong", path=path))
            parsed = parse(body, path)
            if not is_checkpoint(parsed):
                raise UserError(_("{path}: refused, it does not hold what a training keeps", path=path))
            return parsed, path, problem
        except UserError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and not isinstance(cause, IsADirectoryError):  # it may be sound
                values = {"path": path, "reason": cause.strerror}
                raise UserError(
                    _("{path}: {reason}; make it readable, or copy the run to where it is", **values)
                ) from cause
            problem = problem or str(error)
    if problem:
        raise UserError(_("{problem}; no sound checkpoint is left here, start anew without --resume", problem=problem))
    return None


def set_aside(folder: Path) -> None:
    """Give a damaged checkpoint another name: the next `save` would keep it in place of the sound one before it."""
    with contextlib.suppress(FileNotFoundError):  # lost, or another process of this run was first
        (folder / NAME).replace(folder / DAMAGED)


def is_checkpoint(content: dict[str, Any]) -> bool:
    """Whether a file, which a stranger may have written, holds a training's state and not only networks."""
    kinds = {"step": int, "sample_every": int, "troubles": list}
    kinds |= dict.fromkeys(("logs", "identity", "networks", "optimizers"), dict)
    right = all(type(content.get(name)) is kind for name, kind in kinds.items())
    computed = content.get("computed by", {"ways": {}})  # earlier versions have neither this nor those in `later`
    later = [content.get("settings", {}), content.get("kinds", {}), computed]
    if not right or not all(type(table) is dict for table in later) or type(computed.get("ways")) is not dict:
        return False
    words = [*content["troubles"], *content.get("kinds", {}).values(), *computed["ways"].values()]
    words += [value for name, value in computed.items() if name != "ways"]
    spreads = content.get("spreads", [])
    pairs = type(spreads) is list and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in spreads)
    numbers = [number for pair in spreads for number in pair] if pairs else [None]
    if not all(type(word) is str for word in words) or not all(type(number) in (int, float) for number in numbers):
        return False
    tables = [*content["networks"].values(), *content["optimizers"].values()]
    lengths = [content["logs"].get("losses.csv"), *content["logs"].values()]
    right = all(type(table) is dict for table in tables) and all(type(length) is int for length in lengths)
    return right and 0 <= content["step"] < 2**31 and min(content["sample_every"] - 1, *lengths) >= 0


def restore(game: Game, content: dict[str, Any], path: Path) -> None:
    """Put the networks and optimizers of a checkpoint into `game`.

    Raises:
        UserError: they are another network's, or other players'.
    """
    theirs, ours = (", ".join(sorted(players)) for players in (content["optimizers"], game.optimizers))
    if theirs != ours:
        values = {"path": path, "theirs": theirs, "ours": ours}
        raise UserError(
            _("{path}: its players are {theirs}, here they are {ours}; begin anew, without --resume", **values)
        )
    for player, kind in kinds_of(game).items():
        values = {"player": player, "was": content.get("kinds", {}).get(player, kind), "kind": kind}
        if values["was"] != kind:
            said = _("{player}'s optimizer was {was} and is now {kind}; begin anew, without --resume", **values)
            raise UserError(f"{path}: {said}")
    for player in game.optimizers:
        restore_optimizer(game, player, content["optimizers"][player], path)
    for name, network in all_networks(game).items():
        load_into(network, path, content["networks"].get(name, {}))


def kinds_of(game: Game) -> dict[str, str]:
    """What each player's optimizer is, such as `Adam`."""
    return {player: type(optimizer).__name__ for player, optimizer in game.optimizers.items()}


def tensor_names(game: Game, player: str) -> dict[str, str]:
    """A player's tensors: name in the checkpoint to Paddle's own name.

    Paddle's own names count the layers made in a process, so that the same network made second has others. In the
    checkpoint it is `network/tensor`, and for a player's network of the same name plainly `tensor`.
    """
    mine = {id(parameter) for parameter in parameters_of(game.optimizers[player])}
    return {
        name if network_name == player else f"{network_name}/{name}": parameter.name
        for network_name, network in game.networks.items()
        for name, parameter in network.named_parameters()
        if id(parameter) in mine
    }


def optimizer_state(game: Game, player: str) -> dict[str, Any]:
    """An optimizer's accumulators under the names of its tensors, such as `gen.0.weight:moment1_0`, and the state of
    its scheduler, if it has one."""
    state = game.optimizers[player].state_dict()
    accumulators = {
        f"{name}:{key[len(own) + 1 :]}": value.numpy()
        for name, own in tensor_names(game, player).items()
        for key, value in state.items()
        if key.startswith(f"{own}_")
    }
    return {**accumulators, **{key: value for key, value in state.items() if key == SCHEDULER}}


def has_scheduler(optimizer: Optimizer) -> bool:
    """Whether a scheduler sets the optimizer's learning rate."""
    return SCHEDULER in optimizer.state_dict()


def restore_optimizer(game: Game, player: str, state: dict[str, Any], path: Path) -> None:
    """Undo `optimizer_state`, of the checkpoint in `path`. Weights may move: they are to be restored afterwards."""
    names, optimizer = tensor_names(game, player), game.optimizers[player]
    if has_scheduler(optimizer) != (type(state.get(SCHEDULER)) is dict):
        raise UserError(
            f"{path}: {player}'s learning rate has a scheduler either there or here; begin anew, without --resume"
        )
    restored, moved = {}, set()
    for key, value in state.items():
        name, _colon, accumulator = key.partition(":")
        if name in names and isinstance(value, np.ndarray):
            restored[f"{names[name]}_{accumulator}"] = value
            moved.add(names[name])
        elif key != SCHEDULER:
            values = {"path": path, "player": player, "name": name}
            raise UserError(
                _("{path}: {player} moved {name} there and does not here; begin anew, without --resume", **values)
            )
    if SCHEDULER in state:
        optimizer.set_state_dict({SCHEDULER: state[SCHEDULER]})
    make_accumulators(optimizer, [p for p in parameters_of(optimizer) if p.name in moved])
    made = {key: value for key, value in optimizer.state_dict().items() if key != SCHEDULER}
    if {key: (*value.shape,) for key, value in made.items()} != {key: value.shape for key, value in restored.items()}:
        raise UserError(f"{path}: the state of {player}'s optimizer is not whole; begin anew, without --resume")
    for key, value in made.items():
        value.set_value(restored[key])


def make_accumulators(optimizer: Optimizer, parameters: list[Tensor]) -> None:
    """Let a fresh optimizer have accumulators of these parameters and of no others, which have not moved yet.

    `set_state_dict` would fill each when it is first used: it asks for those of a parameter that has none, and a
    checkpoint that is made before has none of it.
    """
    frozen = [p.stop_gradient for p in parameters]
    for p in parameters:
        p.stop_gradient = False
        (p * 0).sum().backward()
    if parameters:
        optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
    for p, flag in zip(parameters, frozen):
        p.stop_gradient = flag
