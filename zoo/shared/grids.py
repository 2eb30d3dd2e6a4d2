"""How the pictures of a grid are put in order; the loop draws eight in a row."""

from __future__ import annotations

import numpy as np


def in_turn(*series: np.ndarray, count: int = 8) -> np.ndarray:
    """The first `count` pictures of each series `[N, C, H, W]`, then the next of each, and so on, all in one array: so
    that each row of eight stands above what was made of it, or with a `count` of 1 each picture beside it."""
    parts = [images.reshape(-1, count, *images.shape[1:]) for images in series]
    return np.stack(parts, axis=1).reshape(-1, *series[0].shape[1:])
