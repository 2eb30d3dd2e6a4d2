"""The contract of a family, `Game`, and what its updates are made of, `Batch`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Callable, Literal, NamedTuple

from common.data import CLASSES, as_float
from common.ema import EMA
from common.judging.reference import Reference
from common.layers import LATENT_DIM
from common.machine import processes

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.optimizer import Adam, Optimizer

AT_ONCE = 500  # rows a forward pass outside of training, fewer of images above 32x32; bounds the memory


def on_device(array: np.ndarray) -> Tensor:
    """A copy of `array` as a tensor. Paddle 3.3's `to_tensor` keeps some 110 bytes of every call, which a long run of
    several calls a step would feel."""
    tensor = paddle.empty(array.shape, dtype=str(array.dtype))
    tensor.set_value(array)
    return tensor


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """What an optimizer moves, whether it was given parameters or groups of them."""
    given = optimizer._parameter_list
    return [p for entry in given for p in (entry["params"] if isinstance(entry, dict) else [entry])]


@contextlib.contextmanager
def evaluating(network: nn.Layer) -> Iterator[None]:
    """All of `network` in evaluation inside, and as it was afterwards: each layer, since some may be parts of others,
    such as the judge."""
    modes = [(layer, layer.training) for layer in network.sublayers(include_self=True)]
    network.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


class Batch:
    """What one update is made of: real images, their labels, and random numbers.

    Images, labels and draws are this process's share of the whole batch. All of it is a function of seed and step.

    Args:
        data: all training images `[M, C, H, W]`, on the device or uint8 in an array, and their labels `[M]` or None.
        chosen: which of them, `[N]`, for all processes together.
        rng: where `draw` takes its random numbers from.
        step: updates done before this one.
        share: the part of the batch that is this process's.
    """

    def __init__(
        self,
        data: tuple[Tensor | np.ndarray, Tensor | None],
        chosen: np.ndarray,
        rng: np.random.Generator,
        step: int = 0,
        share: Callable[[int], slice] = processes.share,
    ) -> None:
        self.data, self.chosen, self.rng, self.step, self.share = data, chosen, rng, step, share

    @cached_property
    def _mine(self) -> np.ndarray:
        return self.chosen[self.share(len(self.chosen))]

    @cached_property
    def _index(self) -> Tensor:
        return on_device(self._mine)

    @cached_property
    def images(self) -> Tensor:
        """`[n, C, H, W]` in [-1, 1]."""
        if isinstance(self.data[0], np.ndarray):  # uint8: picked here, since Paddle's `index_select` has no such kernel
            return on_device(as_float(self.data[0][self._mine]))
        return paddle.index_select(self.data[0], self._index)

    @cached_property
    def labels(self) -> Tensor:
        """`[n]`, int64; for a family that says `labelled`."""
        return paddle.index_select(self.data[1], self._index)

    def split(self, parts: int) -> list[Batch]:
        """This batch in `parts` even ones, for a player that moves as many times in one update."""
        size = len(self.chosen) // parts
        cuts = (self.chosen[size * part : size * (part + 1)] for part in range(parts))
        return [Batch(self.data, cut, self.rng, self.step, self.share) for cut in cuts]

    def draw(self, make: Callable[[np.random.Generator, int], np.ndarray]) -> Tensor:
        """This process's share of the random numbers that `make(rng, count)` gives for the whole batch."""
        return on_device(np.ascontiguousarray(self.drawn(make)))

    def drawn(self, make: Callable[[np.random.Generator, int], np.ndarray]) -> np.ndarray:
        """The same as an array."""
        count = len(self.chosen)
        return make(self.rng, count)[self.share(count)]


class Yardstick(NamedTuple):
    """A figure by which anyone can say that a family works, beside its floor: the figure where nothing was learnt."""

    figure: float
    floor: float
    meaning: str


class Game:
    """What the loop, the checkpoint, the judge and the commands ask of a family. A family is a subclass with
    `networks`, `optimizers` and `update`; all else has a default.

    Attributes:
        networks: name to layer: all that is saved and resumed. `generator` where pictures are drawn from noise.
        optimizers: player to optimizer. A player may own several networks.
        ema: the moving average of the generator, or None.
        image: the shape of one image, (channels, height, width).
        labelled: whether `update` reads `batch.labels`.
        batches: batches of real images that one update takes; where more than one, an epoch's remainder is left out.
        scores: what D is taught to answer for fake and for real images; None where it has no such scale.
        chance: `loss_d` where D cannot tell real from fake; None where `scores` is.
        power: how `loss_d` grows with a score that is far off: 2 for squares, 1 for the cross-entropy of a logit.
        latent_dim: how many numbers of noise a latent vector begins with; a label or a code may follow.
        noise: which numbers these are: `normal`, or `uniform` in [-1, 1). A `latent` of one's own keeps to it.
        judged_from: updates before which the generator is not judged: what draws is not trained from the start.
        condition: what `label` in `latent` chooses: `digit`, `code`, or nothing.
        classes: labels of the data, from 0 on, of a family with the condition `digit`: what is drawn has no others. The
            loop's, not a family's.
        label_shares: how frequent each label is in the data, of a family that says `labelled`; () where nobody knows.
            The loop's, not a family's.
        observe: called in each turn when the gradients are there and nothing has moved yet; the loop's, not a family's.
    """

    networks: dict[str, nn.Layer]
    optimizers: dict[str, Optimizer]
    ema: EMA | None = None
    image: tuple[int, int, int] = (1, 32, 32)
    labelled: bool = False
    batches: int = 1
    scores: tuple[float, float] | None = (0.0, 1.0)
    chance: float | None = None
    power: int = 1
    latent_dim: int = LATENT_DIM
    noise: Literal["normal", "uniform"] = "normal"
    judged_from: int = 0
    condition: Literal["digit", "code"] | None = None
    classes: int = CLASSES
    label_shares: tuple[float, ...] = ()
    observe: Callable[[], None] | None = None

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One update of every player. Returns 0-D tensors, left on the device: a row of `losses.csv`, the same names
        each time, `loss_*` first. `loss_d` is the loss of D's scores; what D minimises besides has columns of its own.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def turn(self, player: str) -> Iterator[None]:
        """The move of one player: `with self.turn("generator"): …; loss.backward()`.

        Inside, only the parameters of this player's optimizer have gradients; nothing is computed for the others, and
        no graph is kept behind what they alone make. At the end the gradients are averaged over all processes, the
        optimizer steps and the gradients are cleared. After an exception nothing has moved.

        Raises:
            RuntimeError: nothing inside gave this player a gradient.
        """
        movers, others = self._sides[player]
        optimizer = self.optimizers[player]
        frozen = [parameter.stop_gradient for parameter in others]  # some perhaps since the last turn
        optimizer.clear_grad(set_to_zero=False)  # what a loss outside of all turns may have left
        try:
            for parameter in others:
                parameter.stop_gradient = True
            yield
            if all(parameter.grad is None for parameter in movers):
                raise RuntimeError(
                    f"{player} got no gradient in its turn: was `backward` called on a loss of its networks?"
                )
            processes.average_gradients(movers)
            if self.observe:
                self.observe()
            optimizer.step()
        finally:
            # Cleared to None: Adam would go on moving a parameter that this turn does not use, by zeros and its memory.
            optimizer.clear_grad(set_to_zero=False)
            for parameter, was in zip(others, frozen):
                parameter.stop_gradient = was

    @cached_property
    def _sides(self) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """For each player its parameters and all others'; BatchNorm's statistics, without gradient, in neither."""
        trained = {id(p): p for network in self.networks.values() for p in network.parameters() if not p.stop_gradient}
        sides = {}
        for player, optimizer in self.optimizers.items():
            mine = {id(p) for p in parameters_of(optimizer)}
            sides[player] = (
                [p for key, p in trained.items() if key in mine],
                [p for key, p in trained.items() if key not in mine],
            )
        return sides

    def latent(self, rng: np.random.Generator, count: int, label: int | None = None) -> np.ndarray:
        """What `sample` turns into `count` images: here vectors of `noise`, `[count, latent_dim, 1, 1]`.

        Args:
            label: which digit, or which code, for a family that has such a `condition`.
        """
        shape = (count, self.latent_dim, 1, 1)
        if self.noise == "uniform":
            return rng.uniform(-1, 1, shape).astype(np.float32)
        return rng.standard_normal(shape, dtype=np.float32)

    def population(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Latent vectors `[count, ...]` for pictures that are compared with those of the data: where a family has
        labels, they are as frequent as there."""
        return self.latent(rng, count)

    def sample(self, z: np.ndarray | Tensor, ema: bool = False) -> np.ndarray:
        """Images `[N, C, H, W]`, float32 in [-1, 1], of the generator or of its moving average."""
        return self.apply(self.ema.network if ema else self.networks["generator"], z)

    @paddle.no_grad()
    def apply(self, network: nn.Layer, x: np.ndarray | Tensor) -> np.ndarray:
        """What a network makes of `x [N, ...]`, computed in parts.

        BatchNorm uses its running statistics: a row depends on itself alone, and it leaves no trace in the training.
        """
        height, width = self.image[1:]
        rows = min(AT_ONCE, max(1, AT_ONCE * 32 * 32 // (height * width)))
        parts = [x[start : start + rows] for start in range(0, len(x), rows)]
        with evaluating(network):
            made = [network(on_device(part) if isinstance(part, np.ndarray) else part).numpy() for part in parts]
        return np.concatenate(made)

    def show(self, batch: Batch) -> np.ndarray:
        """The pictures of a sample grid, `[N, C, H, W]`; `batch` is the same each time."""
        return self.sample(batch.draw(self.latent))

    def latent_of(self, images: np.ndarray) -> np.ndarray | None:
        """Latent vectors whose images are to be like `images [N, C, H, W]`, of a family with an encoder."""
        return None

    def reconstruct(self, images: np.ndarray) -> list[np.ndarray]:
        """What the family makes of real images `[N, C, H, W]`: what it begins with, the steps on the way, and last what
        is to be like the first, all `[N, C, H, W]`. For families that draw pictures from pictures."""
        raise NotImplementedError

    @property
    def reconstructs(self) -> bool:
        """Whether the family has `reconstruct`."""
        return type(self).reconstruct is not Game.reconstruct

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """The family's own yardsticks by name, for `commands.evaluate`. None by default.

        Args:
            reference: the judge and the real images.
            run_dir: the run whose weights are loaded, for what its logs tell.
        """
        return {}


def adams(networks: dict[str, nn.Layer], learning_rate: float, beta1: float, beta2: float) -> dict[str, Optimizer]:
    """An Adam of its own for each network: the optimizers of a game whose players have a network each."""
    return {
        name: Adam(learning_rate, beta1, beta2, parameters=network.parameters()) for name, network in networks.items()
    }
