"""How much of real images comes back from a family that draws pictures from pictures."""

from __future__ import annotations

from common.game import Game, Yardstick
from common.judging.metrics import psnr, ssim
from common.judging.reference import Reference

import numpy as np

MEASURED = 1000  # unseen images that are reconstructed


def reconstructions(game: Game, reference: Reference) -> dict[str, Yardstick]:
    """PSNR, SSIM and the judge's reading of reconstructions beside what they begin with; the floor is to draw the mean
    image, whatever there is to draw. Nothing for a family without `reconstruct`."""
    if not game.reconstructs:
        return {}
    originals, *_, drawn = game.reconstruct(reference.unseen_at(game.image[1])[:MEASURED])
    # Grey ones that a grid shows in colour, since something on the way is, have the same in each channel.
    originals, drawn = (images[:, : reference.unseen.shape[1]] for images in (originals, drawn))
    mean = np.broadcast_to(originals.mean(axis=0), originals.shape)
    read, read_drawn, read_mean = (reference.see(images).classes for images in (originals, drawn, mean))
    alike, alike_mean = float((read_drawn == read).mean()), float((read_mean == read).mean())
    what = f"{len(originals):,} unseen images and their reconstructions; the floor is the mean image"
    return {
        "PSNR": Yardstick(psnr(originals, drawn), psnr(originals, mean), f"decibels, {what}"),
        "SSIM": Yardstick(ssim(originals, drawn), ssim(originals, mean), f"1 is equal, {what}"),
        "read alike": Yardstick(alike, alike_mean, f"share that the judge reads as the original, {what}"),
    }
