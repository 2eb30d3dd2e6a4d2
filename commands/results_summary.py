"""What `results.json` keeps of a run's curves."""

from __future__ import annotations

from pathlib import Path

from common.run.runs import load_metrics

import numpy as np

LOSSES = ("loss_d", "loss_g", "score_real", "score_fake")  # the columns of `losses.csv` that are kept
CURVE = 100  # steps of one block, the last one perhaps of fewer
WON = 0.95  # D has all but won where its mean score of real images is this far above that of fakes


def by_epoch(folder: Path, losses: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The epochs that were judged, counted from 1, with Fréchet distances and mean losses."""
    judged = load_metrics(folder)
    found = {"epoch": [one["epoch"] + 1 for one in judged]}
    found |= {kind: [round(one[kind]["frechet"], 3) for one in judged if kind in one] for kind in ("raw", "ema")}
    for column in (column for column in LOSSES if column in losses):
        means = [losses[column][losses["epoch"] == one["epoch"]].mean() for one in judged]
        found[column] = [round(mean, 4) for mean in means]
    return found


def at_common_epochs(curves: list[dict[str, list[float]]]) -> list[dict[str, list[float]]]:
    """What `by_epoch` gave of some runs, at the epochs that all have: a full disk may cost a run a judgement."""
    common = set.intersection(*({*curve["epoch"]} for curve in curves))
    kept = [[place for place, epoch in enumerate(curve["epoch"]) if epoch in common] for curve in curves]
    return [
        {name: [values[place] for place in places] if values else [] for name, values in curve.items()}
        for curve, places in zip(curves, kept)
    ]


def won(losses: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Where D dominates: the first step of the first such block of `CURVE` steps, and the share of all blocks."""
    lead = losses["score_real"] - losses["score_fake"]
    blocks = np.array([lead[at : at + CURVE].mean() > WON for at in range(0, len(lead), CURVE)])
    return {"first": int(blocks.argmax()) * CURVE if blocks.any() else None, "share": round(float(blocks.mean()), 4)}
