"""The exponential moving average of a generator's weights, which draws better images than the weights themselves.

The players of a GAN circle around each other instead of coming to rest; the average lies nearer to the centre
(Yazıcı et al. 2018, arXiv 1806.04498; decay 0.999 and its use for samples: Karras et al. 2017, arXiv 1710.10196).
"""

from __future__ import annotations

import copy

import paddle
from paddle import Tensor, nn


class EMA:
    """A second generator whose weights follow the first one's. Training never reads it.

    Args:
        network: the one to follow; it is copied.
        decay: weight of the past in each update once many updates are done. Before, update t keeps (1 + t) / (10 + t)
            of it, so that the random weights of the start are forgotten at once.
        begin: updates before which the network does not learn yet; they are not counted.
    """

    def __init__(self, network: nn.Layer, decay: float = 0.999, begin: int = 0) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval()
        self.decay, self.begin = decay, begin
        self._pairs = list(zip(self.network.parameters(), network.parameters()))
        self._pairs = [(mine, theirs) for mine, theirs in self._pairs if not theirs.stop_gradient]

    @paddle.no_grad()
    def update(self, updates: int) -> None:
        """Move towards the network's weights; `updates` have been done before."""
        counted = max(0, updates - self.begin)
        weight = 1 - min(self.decay, (1 + counted) / (10 + counted))
        for mine, theirs in self._pairs:
            mine.scale_(1 - weight)  # not lerp_: Paddle 3.3 makes a tensor of its weight and never frees its name
            mine.add_(theirs.scale(weight))

    @paddle.no_grad()
    def measure_statistics(self, batches: list[Tensor]) -> None:
        """Set BatchNorm's running mean and variance to what these weights give on `batches` of latent vectors.

        The averages of the weights pass on other activations than the weights do, so the network's own running
        statistics do not belong to them; nor does their average, since a variance is no linear function of weights.
        They are measured instead, as for stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407,
        section 3.2): the plain mean over the batches.
        """
        kinds = nn.BatchNorm1D, nn.BatchNorm2D  # never SyncBatchNorm: only the first process measures
        norms = [layer for layer in self.network.sublayers() if isinstance(layer, kinds)]
        momenta = [norm._momentum for norm in norms]
        for norm in norms:  # these alone: Dropout stays off
            norm.train()
        for index, batch in enumerate(batches):
            for norm in norms:
                norm._momentum = index / (index + 1)  # running = momentum * running + (1 - momentum) * batch
            self.network(batch)
        self.network.eval()
        for norm, momentum in zip(norms, momenta):
            norm._momentum = momentum
