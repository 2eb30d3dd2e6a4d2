"""What a run writes: sample grids, the GIF, weights, logs. Every file appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import locks
from common.files.atomic import append, atomic, remove_parts, synced
from common.files.names import encoded
from common.language import _
from common.run.board import Board
from common.run.shows import Shows

import numpy as np
import paddle
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # a training draws none

GRID_COLUMNS = 8
GIF_FRAMES = 60
# A run's files in its folder, as patterns: what a new run in the same folder moves aside.
RUN_FILES = ("config.json", "*.params", "samples", "progress.gif", "losses.csv*", "metrics.jsonl", "vdlrecords.*.log")


def as_json(content: Any) -> bytes:
    """`content` as indented JSON."""
    return encoded(json.dumps(content, indent=2, ensure_ascii=False)) + b"\n"


def save_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as file:
        file.write(as_json(content))


def as_params(state_dict: dict) -> bytes:
    """A state dict as `paddle.save` writes it; plain `paddle.load` reads it."""
    buffer = io.BytesIO()
    paddle.save(state_dict, buffer)
    return buffer.getvalue()


def save_params(path: Path, state_dict: dict) -> None:
    """Write a state dict as `paddle.save` does, atomically."""
    with atomic(path) as file:
        file.write(as_params(state_dict))


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
        raise UserError(f"{path}: a grid that cannot be read ({' '.join(str(error).split())}); remove it") from error


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


def begin(folder: Path, config: dict[str, Any], new: bool) -> Path | None:
    """Write the `config.json` of a run that begins or, not `new`, goes on in `folder`, which is locked: half files
    there are a killed run's.

    An earlier run is set aside once the new file is written but for its name: what can fail comes before.

    Returns:
        As `set_aside`.
    """
    for place in (folder, folder / "samples"):
        remove_parts(place, 0)
    with atomic(folder / "config.json") as file:
        file.write(as_json(config))
        file.flush()
        os.fsync(file.fileno())
        return set_aside(folder) if new else None


def set_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier-N`, so that a new run overwrites nothing: all or none.

    Returns:
        Where they went, None where there was no earlier run.

    Raises:
        UserError: one of them cannot be moved.
    """
    found = [path for pattern in reversed(RUN_FILES) for path in folder.glob(pattern)]  # what --resume needs comes last
    if not found:
        return None
    aside = next(path for n in itertools.count(1) if not (path := folder / f"earlier-{n}").exists())
    aside.mkdir()
    for place, path in enumerate(found):
        try:
            path.rename(aside / path.name)
        except OSError as error:
            for moved in found[:place]:
                (aside / moved.name).rename(moved)
            aside.rmdir()
            raise UserError(
                f"{path}: {error.strerror}, so the run in {folder} cannot be set aside; give another --output-dir"
            ) from error
    return aside


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for one run; where the file system has no locks, say so and go on.

    Raises:
        UserError: another run writes to this folder.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(locks.locked(folder / ".lock"))
        except locks.BusyError:
            raise UserError(
                _("{folder}: another run writes here; wait for it or give another --output-dir", folder=folder)
            ) from None
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}; give another --output-dir") from error
        if not held:
            print(f"note: {folder}: no locks on this file system; start no second run in this folder", file=sys.stderr)
        yield


class Logs:
    """`losses.csv` with a row for every step, `metrics.jsonl` with a line for every judgement, VisualDL's records.

    The losses are the run's; the other two only show, and what goes wrong with them ends nothing.

    VisualDL gets the scalars of every 20th step and one grid an epoch: every step and every grid would make hundreds of
    megabytes of 100 epochs of MNIST. What else an epoch adds, `docs/board_cost.py` measures.

    Args:
        folder: where to write; the files are appended to.
        flags: of the command line, for VisualDL's page of hyperparameters.
        lengths: cut the files back to these bytes first, which undoes what came after a checkpoint.
        judgements: the metrics that stand beside the losses on that page.
    """

    SCALARS_EVERY = 20

    def __init__(
        self,
        folder: Path,
        flags: dict[str, Any],
        lengths: dict[str, int] | None = None,
        judgements: Sequence[str] = (),
    ) -> None:
        self.flags, self.judgements, self.shows, lengths = flags, judgements, Shows(), lengths or {}
        self._losses, self._lines = folder / "losses.csv", folder / "metrics.jsonl"
        if lengths:
            os.truncate(self._losses, lengths[self._losses.name])
        append(self._losses, b"")
        with self._guarded():
            append(self._lines, b"")
            os.truncate(self._lines, min(self._lines.stat().st_size, lengths.get(self._lines.name, sys.maxsize)))
        log = folder / "vdlrecords.run.log"
        self.board = Board(log, self.shows, lengths.get(log.name))

    def steps(self, rows: list[dict[str, float]]) -> None:
        """Log steps. Each row starts with `step`, `epoch` and `batch`, then what the family's step returned."""
        text = io.StringIO(newline="")
        columns: list[str] = []
        with contextlib.suppress(FileNotFoundError), self._losses.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), [])  # none if somebody has deleted it: the file begins anew
        # A run that began before there was a column goes on without it, and so does one from which it was deleted.
        missing = ", ".join(name for name in rows[0] if name not in columns)
        if columns and missing:
            self.shows.say(str(self._losses), f"no column {missing}; the others are written")
        table = csv.DictWriter(text, columns or list(rows[0]), extrasaction="ignore")
        if not columns:
            table.writeheader()
            losses = [tag(name) for name in rows[0] if name.startswith("loss")]
            self.board.hyperparameters(self.flags, [*losses, *self.judgements])
        table.writerows(rows)
        append(self._losses, text.getvalue().encode())
        for row in rows:
            if row["step"] % self.SCALARS_EVERY == 0:
                values = {tag(name): row[name] for name in list(row)[3:]}
                for name, value in values.items():
                    self.board.scalar(name, value, row["step"])
                for group in ("loss", "score"):
                    together = {n.partition("/")[2]: value for n, value in values.items() if n.startswith(f"{group}/")}
                    if len(together) > 1:
                        self.board.scalars(f"{group}/all", together, row["step"])

    def metrics(self, line: dict[str, Any]) -> None:
        """Log a judgement: `step`, `epoch`, and the metrics of the `raw` generator and of its `ema`, if it has one."""
        self._add(line)
        for name in ("raw", "ema"):
            for key, value in line.get(name, {}).items():
                if isinstance(value, float):
                    self.board.scalar(f"metric/{key}{' EMA' if name == 'ema' else ''}", value, line["step"])

    def trouble(self, line: dict[str, Any]) -> None:
        """Log what the health watch found: `step`, `trouble` and `advice`."""
        self._add(line)
        self.board.text("health", f"{line['trouble']}: {line['advice']}", line["step"])

    def flush(self) -> dict[str, int]:
        """Bring all that was logged to the disk; returns the lengths of the files."""
        lengths = {self._losses.name: synced(self._losses), **self.board.sync()}
        with self._guarded():
            lengths[self._lines.name] = synced(self._lines)
        return lengths

    def _add(self, line: dict[str, Any]) -> None:
        with self._guarded():
            append(self._lines, json.dumps(line).encode() + b"\n")

    def _guarded(self) -> contextlib.AbstractContextManager:
        return self.shows.only("metrics.jsonl")


def tag(name: str) -> str:
    """VisualDL's tag for a value of a step: `loss_d` is `loss/D`, `score_real` is `score/real`."""
    group, _, rest = name.partition("_")
    return f"{group}/{rest.upper() if len(rest) == 1 else rest}"
