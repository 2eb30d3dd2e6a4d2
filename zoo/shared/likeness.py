"""How unlike two pictures are: losses of pairs of images `[N, C, H, W]`, means over all numbers, 0 for equal ones."""

from __future__ import annotations

import functools

from common.judging.judge import load_judge

from paddle import Tensor, nn


def l1(a: Tensor, b: Tensor) -> Tensor:
    """E |a - b|. Its best guess is the median of what could be, which is sharp (Isola et al. 2016, arXiv 1611.07004,
    equation 3)."""
    return (a - b).abs().mean()


def l2(a: Tensor, b: Tensor) -> Tensor:
    """E (a - b)². Its best guess is the mean of what could be, which is blurred (Mathieu et al. 2015,
    arXiv 1511.05440, section 1)."""
    return (a - b).square().mean()


@functools.lru_cache(maxsize=1)
def judge_layers() -> nn.Layer:
    """The first two convolutions of the repository's judge of MNIST, `[N, 1, 32, 32]` to `[N, 64, 16, 16]`. They only
    look: their weights get no gradient, and BatchNorm uses its running statistics."""
    judge = load_judge("mnist")
    for parameter in judge.parameters():
        parameter.stop_gradient = True
    return judge.body[:6]


def perceptual(a: Tensor, b: Tensor) -> Tensor:
    """E (φ(a) - φ(b))², φ the features of a network that learnt to see (Johnson et al. 2016, arXiv 1603.08155,
    equation 2), here the judge's in place of VGG's, which knows photographs. The judge was taught with labels."""
    layers = judge_layers()
    return (layers(a) - layers(b)).square().mean()


LIKENESS = {"l1": l1, "l2": l2, "perceptual": perceptual}
