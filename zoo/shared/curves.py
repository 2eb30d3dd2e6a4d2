"""Whether a critic's loss tells how good the pictures are, from the logs of a run."""

from __future__ import annotations

from pathlib import Path

from common.game import Yardstick
from common.run.runs import by_judge, load_losses, load_metrics

import numpy as np
import scipy

SMOOTHED = 101  # steps whose median stands for a step's loss


def loss_tells_quality(run_dir: Path) -> dict[str, Yardstick]:
    """The rank correlation (Spearman's) of -`loss_d` with the Fréchet distance over the judged epochs, and that of
    their changes from epoch to epoch; nothing of a run with fewer than four.

    The first says little: both fall in nearly every epoch, and any clock tells as much. So its floor is the correlation
    of the steps counted down.
    """
    judged = load_metrics(run_dir)
    judged = by_judge(judged, judged[-1].get("judge")) if judged else []
    if len(judged) < 4:
        return {}
    losses = load_losses(run_dir)
    steps, distances = (np.array(column) for column in zip(*((one["step"], one["raw"]["frechet"]) for one in judged)))
    width = SMOOTHED if losses["step"][0] == 0 else 1  # published curves are means of 100 steps already
    smooth = scipy.ndimage.median_filter(-losses["loss_d"], width)
    told = smooth[np.searchsorted(losses["step"], steps).clip(max=len(smooth) - 1)]

    def correlation(one: np.ndarray, other: np.ndarray) -> float:
        return float(scipy.stats.spearmanr(one, other)[0])

    meaning = f"rank correlation of -loss_d with the Fréchet distance over {len(judged)} epochs; floor: of -step"
    each = "the same of their changes from epoch to epoch; 1 is perfect"
    return {
        "the loss tells the quality": Yardstick(correlation(told, distances), correlation(-steps, distances), meaning),
        "it tells each change": Yardstick(correlation(np.diff(told), np.diff(distances)), 0.0, each),
    }
