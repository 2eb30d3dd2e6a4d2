"""What the judge reads in digits that a family has drawn."""

from __future__ import annotations

from common.game import Game, Yardstick
from common.judging.reference import Reference

import numpy as np

MEASURED = 2000  # digits drawn


def rarest_digit(game: Game, reference: Reference) -> dict[str, Yardstick]:
    """Whether all digits are drawn."""
    seen = reference.see(game.sample(game.latent(np.random.default_rng(0), MEASURED)))
    rarest = float(np.bincount(seen.classes, minlength=10).min() / MEASURED)
    meaning = f"share of the rarest digit in {MEASURED:,} samples; 0.1 is even, at least 0.05 wanted"
    return {"every digit is drawn": Yardstick(rarest, 0.0, meaning)}
