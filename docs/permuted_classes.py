"""Which digit becomes which: `python docs/permuted_classes.py work/cyclegan work/cyclegan_rotate` draws a table of each
run. The page that explains it is `docs/permuted-classes.md`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.evaluate import reference_of
from common.data import CLASSES
from common.errors import DONE, UserError
from common.judging.metrics import psnr
from common.judging.reference import Reference
from common.run.commandline import Parser, command, user_path
from common.run.flags import DATA_DIR_HELP
from common.run.grids import save_figure
from common.run.lettering import lettered
from common.run.runs import each_once, labels, load_game
from zoo.shared.readers import MEASURED, two_judges
from zoo.shared.translation import Translation

import numpy as np
from matplotlib.figure import Figure


def became(game: Translation, reference: Reference) -> tuple[np.ndarray, float]:
    """What the judges read in unseen digits and in their translations.

    Returns:
        `[10, 10]`: of the digits in a row, the share that becomes each of the ten; and the PSNR of the way back.
    """
    read_a, read_b, _ = two_judges(reference, game.domains)
    images = reference.unseen[::2][:MEASURED]
    there = game.to_b(images)
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (read_a(images), read_b(there)), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), psnr(images, game.to_a(there))


def draw(found: dict[str, tuple[np.ndarray, float]]) -> Figure:
    """A panel for each run."""
    figure = Figure(figsize=(4.2 * len(found), 4.6), layout="constrained")
    for axes, (name, (shares, back)) in zip(np.atleast_1d(figure.subplots(1, len(found))), found.items()):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for digit, row in enumerate(shares):
            for other, share in enumerate(row):
                if share >= 0.1:
                    shade = "white" if share > 0.5 else "black"
                    axes.text(other, digit, f"{share:.1f}", ha="center", va="center", fontsize=7, color=shade)
        axes.set(title=f"{name}\nPSNR of the way back: {back:.1f}", xticks=range(CLASSES), yticks=range(CLASSES))
        axes.set(xlabel="read in the translation", ylabel="digit")
    return figure


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw which digit a translation makes of which."""
    parser = Parser(prog="python docs/permuted_classes.py", description=main.__doc__)
    parser.add_argument(
        "run_dirs", metavar="RUN_DIR", type=user_path, nargs="+", help="runs of cyclegan or common_space"
    )
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--out", type=user_path, default=Path("work/permuted_classes.png"), help="the picture")
    flags = parser.parse_args(arguments)

    games = {run_dir: load_game(run_dir) for run_dir in each_once(flags.run_dirs)}
    for run_dir, game in games.items():
        if not isinstance(game, Translation):
            raise UserError(f"{run_dir}: its family does not translate; name a run of cyclegan or common_space")
    reference = reference_of(flags.run_dirs, flags.data_dir)
    found: dict[str, tuple[np.ndarray, float]] = {}
    for (run_dir, game), label in zip(games.items(), labels(list(games))):
        shares, back = found[label] = became(game, reference)
        print(f"{run_dir}: way back {back:.1f} dB")
        for digit, row in enumerate(shares):
            print(f"  {digit} is read as", ", ".join(f"{o} ({row[o]:.2f})" for o in np.argsort(-row)[:3] if row[o]))
    with lettered(found) as shown:
        save_figure(flags.out, draw({shown[name]: one for name, one in found.items()}))
    print(f"{flags.out}: written")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
