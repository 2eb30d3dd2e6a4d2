"""What a run writes: sample grids, the GIF, weights, logs. Every file appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

GRID_COLUMNS = 8
GIF_FRAMES = 60
# A run's files in its folder, as patterns: what a new run in the same folder moves aside.
RUN_FILES = ("*.params", "samples", "progress.gif", "losses.csv", "metrics.jsonl", "config.json", "vdlrecords.*.log")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that takes its name only once it is whole and on the disk.

    After an error, a kill or a power cut, `path` holds what it held before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def save_params(path: Path, state_dict: dict) -> None:
    """Write a state dict as `paddle.save` does, atomically; plain `paddle.load` reads it."""
    import paddle

    buffer = io.BytesIO()
    paddle.save(state_dict, buffer)
    with atomic(path) as file:
        file.write(buffer.getbuffer())


def grid(images: np.ndarray, columns: int = GRID_COLUMNS, padding: int = 2) -> Image.Image:
    """Images `[N, 1, H, W]` side by side as one grey picture: -1 is black, 1 is white, nothing is cut off."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    canvas = np.zeros((rows * (height + padding) + padding, columns * (width + padding) + padding), np.uint8)
    pixels = np.rint((np.clip(images[:, 0], -1, 1) + 1) * 127.5).astype(np.uint8)
    for index, image in enumerate(pixels):
        top = padding + index // columns * (height + padding)
        left = padding + index % columns * (width + padding)
        canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas)


def save_image(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG, atomically."""
    with atomic(path) as file:
        picture.save(file, format="PNG", optimize=True)


def save_gif(samples: Path, path: Path, milliseconds: int = 120) -> bool:
    """Join the grids in `samples` to a GIF: at most 60 frames, evenly spread, the last one held for two seconds.

    Returns:
        Whether there was a grid to show.
    """
    grids = sorted(samples.glob("[0-9]*_[0-9]*.png"), key=lambda grid: [int(n) for n in grid.stem.split("_")])
    if not grids:
        return False
    chosen = np.unique(np.linspace(0, len(grids) - 1, min(len(grids), GIF_FRAMES)).round().astype(int))
    frames = []
    for index in chosen:
        with Image.open(grids[index]) as frame:
            frames.append(frame.convert("L").quantize(16))  # 16 greys: a quarter of the size and no visible loss
    durations = [milliseconds] * (len(frames) - 1) + [2000]
    with atomic(path) as file:
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return True


def set_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier-N`, so that a new run overwrites nothing.

    Returns:
        Where they went, None where there was no earlier run.
    """
    if not (folder / "config.json").is_file():
        return None
    number = 1
    while (folder / f"earlier-{number}").exists():
        number += 1
    aside = folder / f"earlier-{number}"
    aside.mkdir()
    for pattern in RUN_FILES:
        for path in folder.glob(pattern):
            path.rename(aside / path.name)
    return aside


class Logs:
    """`losses.csv` with a row for every step, and VisualDL's records.

    VisualDL gets the scalars of every 20th step, the speed beside them, and one grid an epoch: at 100 epochs of MNIST
    its file stays at a few megabytes, where every step and every grid would make it many times that.
    """

    SCALARS_EVERY = 20

    def __init__(self, folder: Path, flags: dict[str, Any]) -> None:
        from visualdl import LogWriter

        self._file = (folder / "losses.csv").open("a", newline="", encoding="utf-8")  # closed by `close`
        self._csv: csv.DictWriter | None = None
        with contextlib.redirect_stdout(io.StringIO()):  # it prints when it appends to a file that is there
            self.board = LogWriter(logdir=str(folder), file_name="vdlrecords.run.log", display_name=folder.name)
        shown = {name: value if isinstance(value, (int, float)) else str(value) for name, value in flags.items()}
        self.board.add_hparams(shown, ["loss/D", "loss/G"])

    def steps(self, rows: list[dict[str, float]]) -> None:
        """Log steps. Each row starts with `step`, `epoch` and `batch`, then what the family's step returned."""
        for row in rows:
            if self._csv is None:
                self._csv = csv.DictWriter(self._file, list(row))
                if self._file.tell() == 0:
                    self._csv.writeheader()
            self._csv.writerow(row)
            if row["step"] % self.SCALARS_EVERY == 0:
                for name in list(row)[3:]:
                    self.board.add_scalar(tag(name), float(row[name]), row["step"])

    def flush(self) -> None:
        """Bring all that was logged to the disk."""
        self._file.flush()
        self.board.flush()

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self.board.close()


def tag(name: str) -> str:
    """VisualDL's tag for a value of a step: `loss_d` is `loss/D`, `score_real` is `score/real`."""
    group, _, rest = name.partition("_")
    return f"{group}/{rest.upper() if len(rest) == 1 else rest}"
