"""Sample grids, the film made of them, figures. Every file appears whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from common.files.atomic import atomic
from common.language import _

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # a training draws none

GRID_COLUMNS = 8
GIF_FRAMES = 60


def grid(images: np.ndarray, columns: int = GRID_COLUMNS, padding: int = 2) -> Image.Image:
    """Images `[N, C, H, W]` side by side as one picture, grey or in colour: -1 is black, 1 is white, nothing is cut
    off."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    canvas = np.zeros((rows * (height + padding) + padding, columns * (width + padding) + padding, channels), np.uint8)
    pixels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    for index, image in enumerate(pixels):
        top = padding + index // columns * (height + padding)
        left = padding + index % columns * (width + padding)
        canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)


def save_image(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG, atomically."""
    with atomic(path) as file:
        picture.save(file, format="PNG", optimize=True)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically."""
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=100)


def sorted_grids(samples: Path) -> list[Path]:
    """The grids `EEEE_BBBB.png` in a run's `samples`, by epoch and batch."""
    grids = (path for path in samples.glob("*.png") if re.fullmatch(r"[0-9]+_[0-9]+", path.stem))
    return sorted(grids, key=lambda path: [int(number) for number in path.stem.split("_")])


def read_grid(path: Path) -> Image.Image:
    """A grid that a run wrote; raises `UserError` where it is damaged, or gone by now."""
    try:
        with Image.open(path, formats=["PNG"]) as grid:
            return grid.copy()
    except Exception as error:  # a damaged picture fails in many ways
        values = {"path": path, "reason": " ".join(str(error).split())}
        raise UserError(_("{path}: a grid that cannot be read ({reason}); remove it", **values)) from error


def save_gif(samples: Path, path: Path) -> bool:
    """Join the grids in `samples` to a GIF: at most 60 frames, evenly spread, the last one held for two seconds.

    Returns:
        Whether there was a grid to show.
    """
    grids = sorted_grids(samples)
    if not grids:
        return False
    chosen = np.unique(np.linspace(0, len(grids) - 1, min(len(grids), GIF_FRAMES)).round().astype(int))
    save_film(path, [read_grid(grids[index]) for index in chosen])
    return True


def save_film(path: Path, pictures: list[Image.Image]) -> None:
    """Write pictures as a GIF, atomically, the last one held for two seconds."""
    # 16 greys: a quarter of the size and no visible loss; colour needs more.
    frames = [one.quantize(128) if one.mode == "RGB" else one.convert("L").quantize(16) for one in pictures]
    write_gif(path, frames, [120] * (len(frames) - 1) + [2000])


def write_gif(path: Path, frames: list[Image.Image], durations: list[int]) -> None:
    """Write frames as they are as a GIF that repeats, atomically; each is shown for so many milliseconds."""
    first, *others = frames
    with atomic(path) as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def remove_later_grids(samples: Path, step: int, sample_every: int, steps_per_epoch: int) -> None:
    """Remove the grids drawn after the first `step` steps, and the one that only ended a run that now goes on."""
    for path in sorted_grids(samples):
        epoch, batch = path.stem.split("_")
        drawn_at = int(epoch) * steps_per_epoch + int(batch)
        if drawn_at >= step or (drawn_at == step - 1 and drawn_at % sample_every):
            path.unlink()
