"""The resume checkpoint: everything a run needs to go on as if it had never stopped.

The random numbers are not in it: they are functions of the seed and the step (see `common.train`).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.artifacts import atomic
from common.errors import UserError
from common.weights import load_into, parse, read_bounded

if TYPE_CHECKING:
    from paddle import nn
    from paddle.optimizer import Optimizer

    from common.gan import GAN

NAME, PREVIOUS = "checkpoint.params", "checkpoint-previous.params"
EMA = "generator_ema"
DIGEST_BYTES = 32  # SHA-256, after what `paddle.save` wrote


def save(folder: Path, gan: GAN, state: dict[str, Any]) -> None:
    """Write networks, optimizers and `state` to `folder`, keeping the checkpoint before as `checkpoint-previous`.

    Args:
        state: plain numbers, strings and dictionaries: the step, the lengths of the logs, what the run is.
    """
    import paddle

    content = {
        **state,
        "networks": {
            name: {key: value.numpy() for key, value in network.state_dict().items()}
            for name, network in (*gan.networks.items(), (EMA, gan.ema.network))
        },
        "optimizers": {
            name: optimizer_state(optimizer, gan.networks[name]) for name, optimizer in gan.optimizers.items()
        },
    }
    buffer = io.BytesIO()
    paddle.save(content, buffer)
    path = folder / NAME
    with atomic(path, keep=folder / PREVIOUS) as file:
        file.write(buffer.getbuffer())
        file.write(hashlib.sha256(buffer.getbuffer()).digest())


def load(folder: Path) -> tuple[dict[str, Any], Path, str] | None:
    """Read the last sound checkpoint of `folder`.

    Returns:
        Its content, its path, and a line about what was wrong with the newer one, else ""; None where there is none.

    Raises:
        UserError: there are checkpoints but none is sound.
    """
    problem = ""
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = read_bounded(path)
            body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
            if hashlib.sha256(body).digest() != digest:
                raise UserError(f"{path}: damaged, its checksum is wrong")
            return parse(body, path), path, problem
        except UserError as error:
            problem = problem or str(error)
    if problem:
        raise UserError(f"{problem}; no sound checkpoint is left here, start anew without --resume")
    return None


def restore(gan: GAN, content: dict[str, Any], path: Path) -> None:
    """Put the networks and optimizers of a checkpoint into `gan`.

    Raises:
        UserError: they are another network's.
    """
    load_into(gan.ema.network, path, content["networks"].get(EMA, {}))
    for name, network in gan.networks.items():
        load_into(network, path, content["networks"].get(name, {}))
        restore_optimizer(gan.optimizers[name], network, content["optimizers"].get(name, {}))


def optimizer_state(optimizer: Optimizer, network: nn.Layer) -> dict[str, np.ndarray]:
    """An optimizer's accumulators under the names of `network`'s tensors, such as `gen.0.weight:moment1_0`.

    Paddle's own names count the layers made in a process, so that the same network made second has others.
    """
    state = optimizer.state_dict()
    return {
        f"{name}:{key[len(parameter.name) + 1 :]}": value.numpy()
        for name, parameter in network.named_parameters()
        for key, value in state.items()
        if key.startswith(f"{parameter.name}_")
    }


def restore_optimizer(optimizer: Optimizer, network: nn.Layer, state: dict[str, np.ndarray]) -> None:
    """Undo `optimizer_state`."""
    import paddle

    names = {name: parameter.name for name, parameter in network.named_parameters()}
    restored = {}
    for key, value in state.items():
        name, _, accumulator = key.partition(":")
        if name in names:
            restored[f"{names[name]}_{accumulator}"] = paddle.to_tensor(value)
    optimizer.set_state_dict(restored)
