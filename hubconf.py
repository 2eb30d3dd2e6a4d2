"""Trained generators for programs of your own, in two lines, with nothing but Paddle and NumPy:

    generator = paddle.hub.load("FOLDER OF THIS REPOSITORY", "dcgan", source="local", pretrained=True)
    images = generator(paddle.randn([64, 100, 1, 1]))      # [64, 1, 32, 32] in [-1, 1]

`paddle.hub.list` names what there is, `paddle.hub.help` says what goes in and what comes out.
"""

from __future__ import annotations

import contextlib as _contextlib
import sys as _sys
from collections.abc import Iterator as _Iterator
from importlib.machinery import PathFinder as _PathFinder
from pathlib import Path as _Path

dependencies = ["paddle", "numpy"]  # read by Paddle; all that begins with _ is hidden from its list
_ROOT = _Path(__file__).resolve().parent


@_contextlib.contextmanager
def _our_common() -> _Iterator[None]:
    """Inside, `common` is this repository's, whatever the program has of this name; afterwards it is the program's,
    where it has one. Else it stays ours: a network is pickled by the place of its class."""

    def is_it(name: str) -> bool:
        return f"{name}.".startswith("common.")

    before = {name: module for name, module in _sys.modules.items() if is_it(name)}
    ours = "common" in before and _ROOT / "common" in map(_Path, getattr(before["common"], "__path__", []))
    elsewhere = [place for place in _sys.path if _Path(place).resolve() != _ROOT]  # of what it has not imported yet
    if ours or not (before or _PathFinder.find_spec("common", elsewhere)):
        yield
        return
    for name in before:
        del _sys.modules[name]
    try:
        yield
    finally:
        for name in [*filter(is_it, _sys.modules)]:
            del _sys.modules[name]
        _sys.modules.update(before)


with _our_common():
    from common.files.weights import load_into as _load_into
    from common.init import weights_init as _weights_init
    from common.layers import Generator as _Generator


def _generator(latent_dim: int, weights: str, pretrained: bool) -> _Generator:
    network = _Generator(latent_dim).apply(_weights_init)
    if pretrained:
        _load_into(network, _ROOT / weights / "generator.params")
        network.eval()
    return network


def dcgan(pretrained: bool = False) -> _Generator:
    """DCGAN's generator: `z [N, 100, 1, 1]`, standard normal, to digits `[N, 1, 32, 32]` in [-1, 1].

    Args:
        pretrained: load the weights of `dcgan/pretrained`, and draw with BatchNorm's running statistics.
    """
    return _generator(100, "dcgan/pretrained", pretrained)


def lsgan(pretrained: bool = False) -> _Generator:
    """LSGAN's generator: `z [N, 100, 1, 1]`, standard normal, to digits `[N, 1, 32, 32]` in [-1, 1].

    Args:
        pretrained: load the weights of `lsgan/pretrained`, and draw with BatchNorm's running statistics.
    """
    return _generator(100, "lsgan/pretrained", pretrained)


def cgan(pretrained: bool = False) -> _Generator:
    """CGAN's generator: `z [N, 110, 1, 1]` to digits `[N, 1, 32, 32]` in [-1, 1]; `z` is 100 standard normal numbers,
    then the digit one-hot: `paddle.concat([paddle.randn([N, 100]), F.one_hot(digits, 10)], 1).reshape([N, 110, 1, 1])`.

    Args:
        pretrained: load the weights of `zoo/pretrained/cgan`, and draw with BatchNorm's running statistics.
    """
    return _generator(110, "zoo/pretrained/cgan", pretrained)
