"""What seven faults of one GAN listing do, measured: `python docs/seven_faults.py`; `seven-faults.md` explains them."""

from __future__ import annotations

import functools
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.data import as_float, load_digits
from common.errors import DONE
from common.init import weights_init
from common.layers import LATENT_DIM, Generator, score_layers
from common.run.artifacts import save_params
from common.run.commandline import Parser, command
from zoo.shared.slopes import gradient_penalty, uniform

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import softplus
from paddle.optimizer import Adam

CHANNELS, WHOLE_IMAGE = [1], [1, 2, 3]  # axes
UPDATES, EPOCHS, FIRST_SAVED = -(-50_000 // 128), 15, 5  # of the listing: an epoch's, all, the first one it saves


def discriminator(batch_norm: bool = False) -> nn.Layer:
    """DCGAN's discriminator for colour images, raw scores; without BatchNorm unless it is asked for."""
    paddle.seed(0)
    return nn.Sequential(*(layer for layer in score_layers(3) if batch_norm or not isinstance(layer, nn.BatchNorm2D)))


@functools.lru_cache
def players() -> tuple[np.ndarray, nn.Layer]:
    """scikit-learn's digits `[1797, 1, 32, 32]`, and a new G of colour images, which is never trained here."""
    paddle.seed(1)
    return as_float(load_digits().images), Generator(out_channels=3).apply(weights_init)


def pairs(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Digits, each in a colour of its own; fakes, detached; for each pair an epsilon."""
    digits, g = players()
    real = (rng.choice(digits, count) + 1) * rng.random((count, 3, 1, 1), dtype=np.float32) - 1
    fake = g(paddle.to_tensor(rng.standard_normal((count, LATENT_DIM, 1, 1), dtype=np.float32)))
    return paddle.to_tensor(real), fake.detach(), paddle.to_tensor(uniform(rng, count))


def between(rng: np.random.Generator, count: int) -> Tensor:
    """Interpolates of such pairs, which ask for a gradient."""
    real, fake, epsilon = pairs(rng, count)
    points = epsilon * real + (1 - epsilon) * fake
    points.stop_gradient = False
    return points


def slopes(d: nn.Layer, points: Tensor, axes: list[int], create_graph: bool = True) -> Tensor:
    """The norms over `axes` of the gradient of D's scores at the points, as the listing takes them."""
    (gradient,) = paddle.grad(d(points).sum(), points, retain_graph=True, create_graph=create_graph)
    return (gradient.square().sum(axis=axes) + 1e-12).sqrt()


def gradient_norm(layer: nn.Layer) -> float:
    """The norm of all gradients that the layer's parameters have got; 0 where they have none."""
    return sum(float(p.grad.square().sum()) for p in layer.parameters() if p.grad is not None) ** 0.5


def error_of(action: Callable[[], object]) -> str:
    """The error that `action` ends with, shortened; "no error" where there is none."""
    try:
        action()
    except Exception as error:  # Paddle's kinds of error differ from version to version
        words = error.strerror if isinstance(error, FileNotFoundError) else str(error).partition("[Hint")[0]
        return f"{type(error).__name__}: {textwrap.shorten(words, 166, placeholder=' …')}"
    return "no error"


def without_create_graph(count: int = 16) -> list[float]:
    """Fault 1: the norm of the gradient that the penalty gives D, without `create_graph` and with it."""
    norms = []
    for create_graph in (False, True):
        d, points = discriminator(), between(np.random.default_rng(0), count)
        (slopes(d, points, WHOLE_IMAGE, create_graph) - 1).square().mean().backward()
        norms.append(gradient_norm(d))
    return norms


def no_gradient_asked(count: int = 16) -> tuple[str, float]:
    """Fault 2: the error at an interpolate that asks for no gradient; the penalty where it asks for one."""
    d, (real, fake, epsilon) = discriminator(), pairs(np.random.default_rng(0), count)
    error = error_of(lambda: slopes(d, epsilon * real + (1 - epsilon) * fake, WHOLE_IMAGE))
    return error, float(gradient_penalty(d, real, fake, epsilon))


def slope_taught(axes: list[int], steps: int = 150, count: int = 8) -> float:
    """Fault 3: the mean slope of an image after D has followed nothing but the penalty, its norm taken over `axes`."""
    d, rng = discriminator(), np.random.default_rng(0)
    adam = Adam(2e-4, 0.5, 0.999, parameters=d.parameters())  # as in the listing
    for _ in range(steps):
        (slopes(d, between(rng, count), axes) - 1).square().mean().backward()
        adam.step()
        adam.clear_grad()
    return float(slopes(d, between(rng, 64), WHOLE_IMAGE).mean())


def spread_of_penalty(batches: int = 100, count: int = 16) -> tuple[float, float]:
    """Fault 4: the standard deviation of the penalty over batches with one epsilon a batch, and with one an image."""
    d, rng = discriminator(), np.random.default_rng(0)
    penalties = []
    for _ in range(batches):
        real, fake, own = pairs(rng, count)
        penalties.append([float(gradient_penalty(d, real, fake, e)) for e in (own[:1].expand_as(own), own)])
    return tuple(np.std(penalties, axis=0).tolist())


def detached_fakes(count: int = 16) -> tuple[str, str, float, float]:
    """Fault 5: the error of G's loss on scores that D's loss has used; the same where the graph is kept, as the error
    advises; G's gradient then; G's gradient from new scores, of fakes that are not detached."""
    # Paddle's own layers: through one that is written in Python, as ours on a CPU are, the second `backward` is a
    # segmentation fault in Paddle 3.3, even where the graph was kept.
    paddle.seed(0)
    d = nn.Sequential(nn.Conv2D(3, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2D(8, 1, 16))
    g, adam = Generator(out_channels=3).apply(weights_init), Adam(2e-4, parameters=d.parameters())
    z, errors = paddle.randn([count, LATENT_DIM, 1, 1]), []
    for keep in (False, True):
        scores = d(g(z).detach())
        softplus(scores).mean().backward(retain_graph=keep)
        adam.step()
        errors.append(error_of(softplus(-scores).mean().backward))
    detached = gradient_norm(g)
    softplus(-d(g(z))).mean().backward()
    return errors[0], errors[1], detached, gradient_norm(g)


def change_by_others(batch_norm: bool, tries: int = 20, count: int = 16) -> tuple[float, float]:
    """Fault 6: how much an image's slope changes when all other images of the batch are exchanged, and how much its
    gradient does as a vector: means, as parts of what they were."""
    d, rng = discriminator(batch_norm), np.random.default_rng(0)
    changes = []
    for _ in range(tries):
        mine = between(rng, 1)
        batches = [paddle.concat([mine, between(rng, count - 1)]) for _ in range(2)]
        one, other = (paddle.grad(d(batch).sum(), mine)[0].numpy() for batch in batches)
        norm = np.linalg.norm(one)
        changes.append([abs(np.linalg.norm(other) - norm) / norm, np.linalg.norm(other - one) / norm])
    return tuple(np.mean(changes, axis=0).tolist())


def missing_folder() -> tuple[int, str, str, str]:
    """Fault 7: the updates before the listing first saves; the errors of a plain `open`, of `paddle.save` and of this
    repository's writer in a folder that is not there."""
    first = next(epoch for epoch in range(EPOCHS) if epoch >= FIRST_SAVED)  # from 0, and saved at its end
    state = discriminator().state_dict()
    with tempfile.TemporaryDirectory() as folder:
        plain, paddles, ours = (Path(folder, name, "5.params") for name in ("plain", "paddle", "ours"))
        writers = (lambda: plain.open("wb"), lambda: paddle.save(state, str(paddles)), lambda: save_params(ours, state))
        return ((first + 1) * UPDATES, *map(error_of, writers))


def table() -> list[str]:
    """All measures as the lines of a Markdown table."""
    constant, taught = without_create_graph()
    silent, penalty = no_gradient_asked()
    shared, own = spread_of_penalty()
    freed, kept, detached, attached = detached_fakes()
    slope, gradient = change_by_others(batch_norm=True)
    lost, plain, paddles, ours = missing_folder()
    return [
        "| | fault | what it does | after the cure |",
        "| --- | --- | --- | --- |",
        f"| 1 | no `create_graph` | D's gradient from the penalty: {constant:.3f} | {taught:.3f} |",
        f"| 2 | the interpolate asks for no gradient | {silent} | no error, penalty {penalty:.3f} |",
        f"| 3 | norm over the channels only | an image's slope after training: {slope_taught(CHANNELS):.1f} | "
        f"{slope_taught(WHOLE_IMAGE):.2f} |",
        f"| 4 | one epsilon a batch | standard deviation of the penalty: {shared:.4f} | {own:.4f} |",
        f"| 5 | G's loss on detached fakes | {freed} With the graph kept: {kept}, G's gradient {detached:.3f} | "
        f"{attached:.3f} |",
        f"| 6 | BatchNorm in D | other images change a slope by {slope:.1%}, the gradient by {gradient:.1%} | "
        + ", ".join(f"{change:.1%}" for change in change_by_others(batch_norm=False))
        + " |",
        f"| 7 | first checkpoint late, into no folder | after {lost:,} updates; plain `open`: {plain}; `paddle.save`: "
        f"{paddles} | after {UPDATES} updates; our writer: {ours} |",
    ]


@command
def main(arguments: list[str] | None = None) -> int:
    """Measure seven faults and their cures."""
    Parser(prog="python docs/seven_faults.py", description=main.__doc__).parse_args(arguments)
    print("\n".join(table()))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
