"""What the page of `commands.play` sees: the runs in the folders it was given and nothing else.

What the browser sends is looked up among their names and is never a path.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

from commands.compare import differ, draw_runs, load_run
from commands.invert import Nearest, invert
from commands.sample import on_own_pictures, reconstructed
from common import data
from common.errors import UserError
from common.files.names import readable
from common.game import Game
from common.judging.judge import classify, load_judge
from common.judging.tables import table
from common.run.families import ROOT
from common.run.grids import sorted_grids
from common.run.runs import best_weights, load_config, load_game, load_metrics, own_pictures

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

DEPTH = 3  # folders below one that was given in which runs are looked for
COUNT, CLOSE = 64, 16  # pictures in a grid; those that can be clicked
NEIGHBOURS = 8
MOST = 4  # runs chosen at once
PAD = 112  # pixels of a side of the field in which one draws
STARTS, STEPS = 10, 100  # of the search for what was drawn: some two seconds


def as_text(name: str) -> str:
    """A run's name for Markdown: nothing in it is markup, or ends a table's cell."""
    return "".join(letter if letter.isalnum() or letter in " -/," else f"&#{ord(letter)};" for letter in name)


def few(names: list[str] | None) -> list[str]:
    """As many runs as the page lets one choose, each once: a request may name any number."""
    return [*dict.fromkeys(name for name in names or () if isinstance(name, str))][:MOST]


def is_within(folder: Path, top: Path) -> bool:
    """Whether a run and all of its files can be seen, and are in `top`, not elsewhere by a link."""
    try:
        files = [folder, *folder.iterdir(), *(folder / "samples").glob("*")]
    except OSError:  # not to be seen, or just moved
        return False
    # Not `resolve`, which fails on a link that leads to itself.
    return all(Path(os.path.realpath(path)).is_relative_to(top) for path in files)


class Runs:
    """The runs in some folders, by name. Those that lead out of their folder by a link are left out.

    Args:
        folders: where to look; one that is not there holds none.
        data_dir: where the real images are, see `data.load`.
    """

    def __init__(self, folders: list[Path], data_dir: str | None = None) -> None:
        self.folders, self.data_dir = [folder.resolve() for folder in folders], data_dir
        self.known: dict[str, Path] = {}  # those that were found last

    def found(self) -> dict[str, Path]:
        """Name to folder of all runs that are there now, in the order of their names."""
        runs = {}
        for top in self.folders:
            patterns = ["config.json", *("*/" * depth + "config.json" for depth in range(1, DEPTH + 1))]
            for folder in (path.parent for pattern in patterns for path in top.glob(pattern)):
                if is_within(folder, top):
                    name = readable(folder.relative_to(ROOT if folder.is_relative_to(ROOT) else top.parent).as_posix())
                    runs[readable(folder.as_posix()) if runs.get(name, folder) != folder else name] = folder
        self.known = dict(sorted(runs.items()))
        return self.known

    def find(self, name: Any) -> Path:
        """The folder of a run; raises `UserError` for what is no run's name, such as a path."""
        folder = self.known.get(name) if isinstance(name, str) else None
        there = folder is not None and any(is_within(folder, top) for top in self.folders)
        if not (there and (folder / "config.json").exists()):  # all are looked through only where it is not there
            folder = self.found().get(name) if isinstance(name, str) else None
        if folder is None:
            raise UserError("there is no such run (any more): look again · 没有这次训练，也许已被移走：请点“刷新”")
        return folder

    def generating(self, name: str) -> tuple[Game, str]:
        """A run's game with its best weights, and their file; raises `UserError` where it draws nothing from noise."""
        folder = self.find(name)
        weights = best_weights(folder)
        game = load_game(folder, weights)
        if "generator" not in game.networks:
            raise UserError(f"{name}: this family draws nothing from noise · 这个模型不从噪声生成图像")
        return game, weights

    def pictures(self, name: str, seed: int, digit: int | None, count: int) -> tuple[np.ndarray, str]:
        """Pictures `[count, C, H, W]` as `commands.sample` draws them, and by which weights."""
        game, weights = self.generating(name)
        asked = digit if game.condition == "digit" else None
        if asked is not None and asked >= game.classes:
            last = game.classes - 1
            raise UserError(f"{name} knows {game.classes} classes, 0 to {last} · 它的类别只有 0 到 {last}")
        return game.sample(game.latent(np.random.default_rng(seed), count, asked)), weights

    def from_pictures(self, name: str, seed: int) -> np.ndarray | None:
        """Images that no training saw, and below each row of eight what the family makes of them, step by step: the
        reconstruction, or the translation and the way back. None for a family that draws from noise only."""
        folder = self.find(name)
        game = load_game(folder)  # the last one, as its other networks are
        return reconstructed(game, load_config(folder), seed, CLOSE, 8, self.data_dir) if game.reconstructs else None

    def verdicts(self, name: str, pictures: np.ndarray) -> list[str]:
        """What the judge reads in each picture, and how sure it is."""
        seen = classify(load_judge(load_config(self.find(name)).get("dataset", "mnist")), pictures).probabilities
        return [f"{row.argmax()} · {row.max():.0%}" for row in seen]

    def epochs(self, name: str) -> list[Path]:
        """The grids that a run has drawn so far."""
        return sorted_grids(self.find(name) / "samples")

    def judgements(self, names: list[str]) -> str:
        """The last judgement of each run, of its weights and of their moving average, as a Markdown table."""
        last = {name: judged[-1] for name in names if (judged := load_metrics(self.find(name)))}
        if not last:
            return "No evaluations yet · 还没有评估结果 (`--eval-every`)"
        datasets = {name: load_config(self.find(name)).get("dataset", "mnist") for name in last}
        apart = differ((datasets[name], line) for name, line in last.items())
        note = "Of different data sets or judges: not to be compared · 数据集或评判网络不同，不能比较\n\n" * apart
        shown = {name: f"{name}, {datasets[name]}" if apart else name for name in last}
        rows = {
            f"{as_text(shown[name])}, step {line['step']}, {which}": line[key]
            for name, line in last.items()
            for key, which in (("raw", "raw"), ("ema", "EMA"))
            if key in line
        }
        return note + table(rows)

    def curves(self, names: list[str]) -> Figure | None:
        """Losses, scores and grids of all that have some, as `commands.compare` draws them."""
        runs = []
        for name, folder in ((name, self.find(name)) for name in names):
            with contextlib.suppress(UserError):  # one that has not begun, or is damaged: the others are shown
                runs += [load_run(folder, name)] if (folder / "losses.csv").exists() else []
        return draw_runs(runs) if runs else None

    def nearest(self, name: str, picture: np.ndarray) -> np.ndarray:
        """The training images nearest to `picture [C, H, W]`, pixel by pixel: `[8, C, H, W]` in [-1, 1]."""
        config = load_config(self.find(name))
        if on_own_pictures(config):
            images = own_pictures(config, picture.shape, self.data_dir).images
        else:
            images = training_images(config.get("dataset", "mnist"), picture.shape, self.data_dir)
        apart = [
            ((data.as_float(part) - picture) ** 2).sum(axis=(1, 2, 3))
            for part in np.split(images, range(2000, len(images), 2000))
        ]
        return data.as_float(images[np.argsort(np.concatenate(apart), kind="stable")[:NEIGHBOURS]])

    def mimic(self, name: str, pixels: Any) -> tuple[np.ndarray, Nearest]:
        """What somebody drew, `[C, H, W]`, and the nearest image that a run draws.

        Args:
            pixels: greys from 0 to 255, `PAD` rows of as many; from a browser, so anything at all.
        """
        try:
            drawn = np.array(pixels, np.uint8).reshape(PAD, PAD)
        except (ValueError, TypeError, OverflowError):
            raise UserError("this is no drawing: draw again · 这不是手写的图：请重写一个") from None
        digit = like_mnist(drawn) if drawn.any() else drawn
        if not digit.any():
            raise UserError("nothing is drawn there yet · 还没有写数字")
        game, _ = self.generating(name)
        channels, size, _ = game.image
        given = np.repeat(data.to_images(digit[None], size)[0], channels, axis=0)
        return given, invert(game, given, count=STARTS, steps=STEPS)


def like_mnist(pixels: np.ndarray) -> np.ndarray:
    """White on black `[H, W]` as MNIST's makers had theirs, `[28, 28]`: 20 pixels long, the centre of mass in the
    middle. Nothing where all there is are specks that vanish."""
    rows, columns = np.nonzero(pixels)
    digit = Image.fromarray(pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = 20 / max(digit.size)
    digit = np.asarray(digit.resize([max(1, round(side * scale)) for side in digit.size], Image.BOX), np.float64)
    if not digit.any():
        return np.zeros((28, 28), np.uint8)
    centre = [
        (np.arange(length) * digit.sum(axis=1 - axis)).sum() / digit.sum() for axis, length in enumerate(digit.shape)
    ]
    top, left = (int(np.clip(round(13.5 - c), 0, 28 - length)) for c, length in zip(centre, digit.shape))
    placed = np.zeros((28, 28), np.uint8)
    placed[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return placed


@functools.lru_cache(maxsize=1)
def training_images(dataset: str, shape: tuple[int, int, int], data_dir: str | None = None) -> np.ndarray:
    """The training images of a data set, kept for the next click."""
    return data.load(dataset, data_dir, image=shape).images
