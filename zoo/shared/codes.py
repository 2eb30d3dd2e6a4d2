"""What the codes of an encoder know."""

from __future__ import annotations

import numpy as np


def known_by_neighbour(codes: np.ndarray, labels: np.ndarray, others: np.ndarray, wanted: np.ndarray) -> float:
    """The share of `others [M, C, H, W]` whose nearest neighbour among `codes [N, C, H, W]` has the label that is
    `wanted [M]` of it; `labels [N]` are those of the codes."""
    from sklearn.neighbors import NearestNeighbors  # takes 1.4 s to import

    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(codes.reshape(len(codes), -1))
    nearest = neighbours.kneighbors(others.reshape(len(others), -1), return_distance=False)[:, 0]
    return float((labels[nearest] == wanted).mean())
