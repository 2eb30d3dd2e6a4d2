"""Read weights and checkpoints without trusting them.

`paddle.load` unpickles, and a pickle may name any function of any module and have it called: weights from a stranger
are a program. Here a file is read in three stages, each of which can only refuse: its size is checked against what a
training writes, `common/files/pickles.py` reads it as plain data, and what comes out is compared with the network it
is meant for.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files.pickles import parse_pickle
from common.language import _

import numpy as np

MAX_BYTES = 256 * 2**20  # the largest checkpoint here, of zoo/cgan.py with 128x128 pixels, has 201 MB


def most_bytes(*networks: Any) -> int:
    """How large a file of these networks may be, `paddle.nn.Layer`s, with what an optimizer keeps of each weight."""
    states = [network.state_dict() for network in networks]
    return max(MAX_BYTES, 8 * sum(4 * value.size for state in states for value in state.values()))


def load_params(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    """Read what `paddle.save` wrote of dictionaries, lists, numbers, strings and arrays, or a `.safetensors` file.

    Args:
        path: the file, by Paddle 2.x or 3.x or by safetensors.
        most: the bytes that it may have.

    Returns:
        The outermost dictionary, with read-only `numpy.ndarray` for tensors.

    Raises:
        UserError: the file is missing, too large, damaged, or holds anything else. Nothing of it has run.
    """
    content = read_bounded(path, most)
    return parse_safetensors(content, path) if path.suffix == ".safetensors" else parse(content, path)


def read_bounded(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of a file of at most `most` bytes; raises `UserError` where it is missing or larger."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):  # a pipe or a device may have no end
            raise UserError(_("{path}: refused, no regular file", path=path))
        if state.st_size > most:
            values = {"path": path, "most": most >> 20}
            raise UserError(_("{path}: refused, larger than {most} MB; no weights of these networks are", **values))
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            _("{path}: {reason}; expected weights that a training run wrote", path=path, reason=error.strerror)
        ) from error


def parse(content: bytes, path: Path) -> dict[str, Any]:
    """What `load_params` says, of a file already read; `path` is for the messages."""
    return parse_pickle(content, path, _("weights file"), _("load only weights that a training run wrote"))


def parse_safetensors(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file of the format safetensors, which is a table of names and shapes and then plain numbers."""
    try:
        from safetensors import SafetensorError  # nothing else here needs it
        from safetensors.numpy import load
    except ModuleNotFoundError:
        raise UserError(_("{path}: this needs safetensors: pip install safetensors", path=path)) from None
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        values = {"path": path, "error": error}
        raise UserError(
            _("{path}: damaged or not a file of safetensors ({error}); replace it by an intact copy", **values)
        ) from error


def load_into(network: Any, path: Path, state: dict[str, Any] | None = None) -> None:
    """Check a state dict against `network` name by name, then load it. float16, which `commands.publish --half` writes,
    becomes float32.

    Args:
        network: a `paddle.nn.Layer`.
        path: the file, read by `load_params`; named in messages.
        state: the state dict itself where `path` holds more than one network's.

    Raises:
        UserError: a tensor is missing or unknown, of another shape or dtype, or not finite; the network is unchanged.
    """
    state = load_params(path, most_bytes(network)) if state is None else state
    state = {name: value for name, value in state.items() if name != "StructuredToParameterName@@"}  # Paddle's own
    expected = network.state_dict()
    for name in [*expected, *state]:
        values = {"path": path, "name": name, "network": type(network).__name__}
        if name not in state:
            raise UserError(_("{path}: no tensor {name}, so these are not weights of this {network}", **values))
        if name not in expected:
            raise UserError(_("{path}: tensor {name} is not one of this {network}'s", **values))
        value, shape, dtype = state[name], list(expected[name].shape), str(expected[name].dtype).split(".")[-1]
        if not isinstance(value, np.ndarray):
            values["kind"] = type(value).__name__
            raise UserError(_("{path}: {name} is a {kind}, expected a tensor", **values))
        if (value.dtype.name, dtype) == ("float16", "float32"):
            state[name] = value = value.astype(np.float32)
        if list(value.shape) != shape or value.dtype.name != dtype:
            values |= {"found": f"{value.dtype.name} {list(value.shape)}", "expected": f"{dtype} {shape}"}
            said = _(
                "{path}: {name} is {found}, expected {expected}; these are the weights of another network; "
                "put the right ones there",
                **values,
            )
            raise UserError(said)
        if not np.isfinite(value).all():
            raise UserError(
                _("{path}: {name} has values that are not finite; the run that wrote it had broken down", **values)
            )
        if name.endswith("._variance") and (value < 0).any():
            raise UserError(
                _("{path}: {name} has values below 0, so the file is damaged; replace it by an intact copy", **values)
            )
    network.set_state_dict(state)
