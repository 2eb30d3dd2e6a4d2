"""Whether a critic's loss tells how good the pictures are, from the logs of a run."""

from __future__ import annotations

from pathlib import Path

from common.game import Yardstick
from common.run.runs import load_losses, load_metrics

import numpy as np
import scipy

SMOOTHED = 101  # steps whose median stands for a step's loss


def loss_tells_quality(run_dir: Path) -> dict[str, Yardstick]:
    """The rank correlation (Spearman's) of -`loss_d` with the Fréchet distance over the judged epochs; nothing of a run
    with fewer than three."""
    judged = load_metrics(run_dir)
    if len(judged) < 3:
        return {}
    losses = load_losses(run_dir)
    steps, distances = zip(*((line["step"], line["raw"]["frechet"]) for line in judged))
    width = SMOOTHED if losses["step"][0] == 0 else 1  # published curves are means of 100 steps already
    smooth = scipy.ndimage.median_filter(-losses["loss_d"], width)
    rows = np.searchsorted(losses["step"], steps).clip(max=len(smooth) - 1)
    correlation, _ = scipy.stats.spearmanr(smooth[rows], distances)
    meaning = f"rank correlation of -loss_d with the Fréchet distance over {len(judged)} epochs; 1 is perfect"
    return {"the loss tells the quality": Yardstick(float(correlation), 0.0, meaning)}
