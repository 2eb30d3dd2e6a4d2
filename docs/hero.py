"""The film on top of the README: both models train, then walk through latent space, real digits beside.

`make compare ARGS="--max-steps 1000 --sample-every 50"`, then `python docs/hero.py --out docs/images/hero.gif`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.sample import walk
from common import data
from common.errors import DONE, UserError
from common.run.commandline import Parser, command, user_path
from common.run.families import ROOT, title
from common.run.grids import GRID_COLUMNS, grid, sorted_grids, write_gif
from common.run.runs import load_config, load_game

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

FAMILIES = ("dcgan", "lsgan")
STEPS = 1000  # of the training that are shown
SIDE = 4  # digits in a row and in a column
SCALE = 2  # pixels of the film for one of a digit
STOPS, BETWEEN = 3, 9  # of the walk: latent vectors, and images from one to the next; it ends where it began
GREYS = 12
LINE, GAP = 22, 10  # of the captions, and between the three pictures
FONT = font_manager.findfont("DejaVu Sans")  # Matplotlib's own
TRAIN_MS, WALK_MS, HELD_MS = 160, 110, 1600


def square(picture: Image.Image) -> Image.Image:
    """The first SIDE rows and columns of a grid, enlarged."""
    side = (picture.width - 2) // GRID_COLUMNS * SIDE + 2
    return picture.convert("L").crop((0, 0, side, side)).resize((SCALE * side, SCALE * side), Image.Resampling.BICUBIC)


def trained(run_dir: Path) -> list[tuple[str, Image.Image]]:
    """The grids of a run's first STEPS steps, less than an epoch of MNIST, each with its step.

    Raises:
        UserError: there is none.
    """
    grids = {int(path.stem[5:]): path for path in sorted_grids(run_dir / "samples") if path.stem.startswith("0000_")}
    if not grids:
        raise UserError(f"{run_dir}: no grids; train first: make compare ARGS='--max-steps 1000 --sample-every 50'")
    return [(f"step {step:,}", square(Image.open(path))) for step, path in grids.items() if step <= STEPS]


def walked(family: str) -> list[tuple[str, Image.Image]]:
    """What the published weights generate on a closed walk, all digits of the square at once."""
    game = load_game(ROOT / family / "pretrained")
    stops = [game.latent(np.random.default_rng(seed), SIDE * GRID_COLUMNS) for seed in range(STOPS)]
    frames = []
    for first, last in zip(stops, [*stops[1:], stops[0]]):
        paths = [walk(a[None], b[None], BETWEEN + 1, game.latent_dim)[:-1] for a, b in zip(first, last)]
        frames += [square(grid(game.sample(np.stack(step)))) for step in zip(*paths)]
    return [("latent space", frame) for frame in frames]


def frame(pictures: list[Image.Image], captions: list[str]) -> Image.Image:
    """Pictures side by side, each below its caption."""
    width, height = pictures[0].size
    whole = Image.new("L", (len(pictures) * (width + GAP) - GAP, height + LINE), 255)
    draw = ImageDraw.Draw(whole)
    for index, (picture, caption) in enumerate(zip(pictures, captions)):
        left = index * (width + GAP)
        whole.paste(picture, (left, LINE))
        draw.text((left + width / 2, 2), caption, 0, ImageFont.truetype(FONT, 16), anchor="ma")
    return whole


@command
def main(arguments: list[str] | None = None) -> int:
    """Film the runs of `make compare`, a walk through the latent space of the published weights, and real digits."""
    parser = Parser(prog="python docs/hero.py", description=main.__doc__)
    parser.add_argument("--runs", type=user_path, default=Path("work/compare"), help="where both families' runs lie")
    parser.add_argument("--out", type=user_path, default=Path("work/hero.gif"), help="the film, GIF")
    flags = parser.parse_args(arguments)
    dataset = data.load(load_config(flags.runs / FAMILIES[0])["dataset"])
    real = square(grid(data.as_float(dataset.images[: SIDE * GRID_COLUMNS])))
    films = [trained(flags.runs / family) for family in FAMILIES]
    length = min(map(len, films))
    films = [film[:length] + walked(family) for film, family in zip(films, FAMILIES)]
    frames = []
    for both in zip(*films):
        captions = [f"{title(family)}, {when}" for family, (when, _) in zip(FAMILIES, both)]
        frames.append(frame([*(picture for _, picture in both), real], [*captions, "real digits"]))
    durations = [TRAIN_MS] * (length - 1) + [HELD_MS] + [WALK_MS] * (len(frames) - length)
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    write_gif(flags.out, [picture.quantize(GREYS, dither=Image.Dither.NONE) for picture in frames], durations)
    print(f"{flags.out}: {len(durations)} frames, {flags.out.stat().st_size / 1e6:.2f} MB")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
