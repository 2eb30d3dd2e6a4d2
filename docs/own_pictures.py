"""Few pictures, with and without --augment: `python docs/own_pictures.py FOLDER` makes the table and the picture of
`docs/own-pictures.md`.

DCGAN as it is chosen for one's own pictures, on a part of those in FOLDER, drawn once and for all; judged on all of
them. What is already trained in --output-dir is not trained again, so that the command goes on where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from common import data
from common.errors import DONE, UserError
from common.files.folder import files_below
from common.judging.reference import Reference, floor_and_ceiling
from common.judging.tables import aligned
from common.run.commandline import Parser, command, user_path, whole_number
from common.run.grids import grid, save_image
from common.run.runs import load_game
from common.train import run
from dcgan.train import build

import numpy as np

SHOWN, SAMPLES = 12, 2000


@command
def main(arguments: list[str] | None = None) -> int:
    """Train DCGAN on some of the pictures in FOLDER, with and without --augment, and compare."""
    parser = Parser(prog="python docs/own_pictures.py", description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=user_path, help="your pictures")
    parser.add_argument("--counts", type=whole_number(100), nargs="+", default=[300, 1000], help="how many of them")
    parser.add_argument("--steps", type=whole_number(1), default=2000, help="of each training")
    parser.add_argument("--size", choices=["32", "64", "128"], default="64", help="of the images")
    parser.add_argument("--threads", default="1", help="of each training")
    parser.add_argument("--output-dir", type=user_path, default=Path("work/own-pictures"), help="of the runs")
    parser.add_argument("--out", type=user_path, default=ROOT / "docs/images/own_pictures.png", help="the picture")
    flags = parser.parse_args(arguments)
    own = data.load("folder", flags.folder, (3, int(flags.size), int(flags.size)))
    reference, found, drawn = Reference(own.judge, own.images, own.checksum), {}, []
    for count in flags.counts:
        for augment in ("--augment", "--no-augment"):
            folder = flags.output_dir / f"{count}-{augment.strip('-')}"
            given = ["--dataset", "folder", "--data-dir", some(flags.folder, count, flags.output_dir), augment]
            given += ["--size", flags.size, "--threads", flags.threads, "--eval-every", "0", "--epochs", "100000"]
            status = run(
                "dcgan", build, [*given, "--max-steps", str(flags.steps), "--output-dir", str(folder), "--resume"]
            )
            if status != DONE:
                return status
            game = load_game(folder, "generator_ema.params")
            images = game.sample(game.latent(np.random.default_rng(0), SAMPLES))
            found[f"{count} pictures, `{augment}`"] = reference.judge_images(images)
            drawn.append(images[:SHOWN])
    found |= floor_and_ceiling(reference, SAMPLES)
    print(reference.judged)
    rows = [[name, *(f"{row[key]:.3g}" for key in ("frechet", "precision", "recall"))] for name, row in found.items()]
    print(aligned([[f"{flags.steps:,} steps", "Fréchet ↓", "precision ↑", "recall ↑"], *rows]))
    save_image(flags.out, grid(np.concatenate(drawn), SHOWN))
    return DONE


def some(folder: Path, count: int, place: Path) -> str:
    """A folder of links to `count` pictures of a folder, the same ones each time."""
    paths = [path for _, path, _ in sorted(files_below(folder))]
    if count > len(paths):
        raise UserError(f"--counts {count}: there are {len(paths):,} pictures in {folder}")
    links = place / f"{count}-pictures"
    links.mkdir(parents=True, exist_ok=True)
    for link in links.iterdir():  # of an earlier call, maybe to pictures of another folder
        link.unlink()
    for number in np.random.default_rng(0).permutation(len(paths))[:count]:
        link = links / f"{number:06d}{Path(paths[number]).suffix}"
        link.symlink_to(Path(paths[number]).resolve())
    return str(links)


if __name__ == "__main__":
    sys.exit(main())
