"""What a run generates when: `python docs/strip.py work/dcgan --out docs/images/strip_dcgan.png`.

The runs are to have grids at STEPS, as far as they have come: `python dcgan/train.py --epochs 5 --sample-every 25`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import DONE, UserError
from common.run.commandline import Parser, command, user_path
from common.run.grids import GRID_COLUMNS, save_image, sorted_grids
from common.run.runs import load_losses

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

EPOCH = 1875  # steps of MNIST, batches of 32
STEPS = (100, 500, 1500, EPOCH, 2 * EPOCH, 5 * EPOCH)  # how many were done
MEAN_OF = 100  # the last steps whose loss is averaged: that of a single step leaps
ROWS = 4  # of a grid of 8 by 8, and all of its columns
IN_A_ROW = 3  # as many as can be read in the width of a page
GAP, LINE = 8, 16
FONT = font_manager.findfont("DejaVu Sans")  # Matplotlib's own


def named(step: int) -> str:
    """`500 steps`; `2 epochs` where these end."""
    epochs, rest = divmod(step, EPOCH)
    if rest:
        return f"{step:,} steps"
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"


def column(run_dir: Path, step: int) -> Image.Image:
    """The grid after `step` steps, cut to ROWS, with the step and D's loss, or what there is in its place, above it.

    Raises:
        UserError: the run has no grid of that step.
    """
    losses = load_losses(run_dir)
    places = list(zip(losses["epoch"].astype(int), losses["batch"].astype(int)))
    # The grid of the step after it has the same weights but for one update; that of the last step is the last one.
    names = [f"{epoch:04d}_{batch:04d}" for epoch, batch in places[step - 1 : step + 1]]
    grids = {path.stem: path for path in sorted_grids(run_dir / "samples")}
    found = next((grids[name] for name in names if name in grids), None)
    if found is None:
        raise UserError(f"{run_dir}: no grid after {step:,} steps; train with --epochs 5 --sample-every 25")
    with Image.open(found) as grid:
        side = (grid.height - 2) // GRID_COLUMNS
        cut = grid.convert("L").crop((0, 0, grid.width, ROWS * side + 2))
    picture = Image.new("L", (cut.width, cut.height + 2 * LINE + 4), 255)
    picture.paste(cut, (0, 2 * LINE + 4))
    draw, middle = ImageDraw.Draw(picture), cut.width / 2
    name = "loss_d" if "loss_d" in losses else next(name for name in losses if name.startswith("loss_"))
    loss = float(np.mean(losses[name][max(0, step - MEAN_OF) : step]))
    for line, (text, size) in enumerate(((named(step), 14), (f"{name} {loss:.3g}", 13))):
        draw.text((middle, line * LINE), text, 0, ImageFont.truetype(FONT, size), anchor="ma")
    return picture


def strip(run_dirs: list[Path], steps: tuple[int, ...] = STEPS) -> Image.Image:
    """Three columns of a run in a row, the runs below each other: the `steps` that all of them have done.

    Raises:
        UserError: a run has not done the first one.
    """
    done, shortest = min((len(load_losses(run_dir)["step"]), run_dir) for run_dir in run_dirs)
    if done < steps[0]:
        raise UserError(f"{shortest}: {done:,} steps are done, {steps[0]:,} are shown first; train longer")
    steps = tuple(step for step in steps if step <= done)
    rows = [
        [column(run_dir, step) for step in steps[first : first + IN_A_ROW]]
        for run_dir in run_dirs
        for first in range(0, len(steps), IN_A_ROW)
    ]
    width, height = rows[0][0].size
    whole = Image.new("L", (len(rows[0]) * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), 255)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            whole.paste(picture, (x * (width + GAP), y * (height + GAP)))
    return whole


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw what runs generated after 100, 500 and 1,500 steps and one, two and five epochs of MNIST, with D's loss."""
    parser = Parser(prog="python docs/strip.py", description=main.__doc__)
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=user_path, nargs="+", help="a row each, such as work/dcgan")
    parser.add_argument("--out", type=user_path, default=Path("work/strip.png"), help="the picture, PNG")
    flags = parser.parse_args(arguments)
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    save_image(flags.out, strip(flags.run_dirs))
    print(f"{flags.out}: written")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
