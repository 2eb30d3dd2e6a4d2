"""What VisualDL shows of the networks once an epoch: how weights and gradients are spread."""

from __future__ import annotations

from common.game import Game
from common.run.board import Board

import numpy as np
from paddle import Tensor


class Histograms:
    """The weights of each network after an epoch's last step, and the gradients that moved them in it.

    Args:
        game: what is trained; between two steps its `observe` is set.
        board: where they go.
        steps_per_epoch: of the run.
        start: the step that comes first.
    """

    def __init__(self, game: Game, board: Board, steps_per_epoch: int, start: int) -> None:
        self.game, self.board, self.steps_per_epoch = game, board, steps_per_epoch
        self._gradients: dict[str, np.ndarray] = {}
        self._before(start)

    def after(self, step: int) -> None:
        """Draw them where `step` was an epoch's last one; look at the next one's gradients where that is."""
        if (step + 1) % self.steps_per_epoch == 0:
            for name, network in self.game.networks.items():
                weights = [parameter for parameter in network.parameters() if not parameter.stop_gradient]
                if weights:
                    self.board.histogram(f"weights/{name}", flat(weights), step)
            for name, gradients in self._gradients.items():
                self.board.histogram(f"gradients/{name}", gradients, step)
            self._gradients = {}
        self._before(step + 1)

    def _before(self, step: int) -> None:
        self.game.observe = self._look if (step + 1) % self.steps_per_epoch == 0 else None

    def _look(self) -> None:
        """Keep the gradients that are there: in each turn those of the networks which move in it."""
        for name, network in self.game.networks.items():
            found = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
            if found:
                self._gradients[name] = flat(found)


def flat(tensors: list[Tensor]) -> np.ndarray:
    """All numbers of some tensors, `[N]`."""
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors])
