"""Judge trained generators: `python -m commands.evaluate work/dcgan work/lsgan` prints a table with a floor."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import data
from common.errors import DONE, UserError
from common.game import Game, Yardstick
from common.judging.judge import load_record
from common.judging.metrics import psnr, ssim
from common.judging.reference import Reference, floor_and_ceiling, some
from common.judging.tables import aligned, table
from common.language import _
from common.run.commandline import MOST_IMAGES, Parser, command, seed_number, user_path, whole_number
from common.run.flags import DATA_DIR_HELP
from common.run.runs import AbsentError, load_config, load_game, own_pictures

import numpy as np

WEIGHTS = {"generator.params": "raw", "generator_ema.params": "EMA", "generator_best.params": "best"}
RECONSTRUCTED = 2000  # unseen images, drawn at random: the first half of MNIST's is harder than the second


def judge_runs(
    run_dirs: list[Path], samples: int = 10_000, seed: int = 0, data_dir: str | None = None
) -> tuple[str, dict[str, dict], dict[str, dict[str, Yardstick]]]:
    """The metrics of every generator of some runs, of the floor and of the ceiling, and the families' own yardsticks.

    Args:
        run_dirs: what training runs wrote, all on the same data.
        samples: images of each generator.
        seed: of the latent vectors.
        data_dir: where the data set's files are, as `--data-dir`.

    Returns:
        What judged, in words; a row of metrics under each name, for `table`; the yardsticks of each run that has some,
        of the raw weights alone where pictures are made of pictures.

    Raises:
        UserError: the runs saw different data, or one cannot be read.
    """
    reference = reference_of(run_dirs, data_dir)
    rows, yardsticks = {}, {}
    for run_dir in run_dirs:
        for weights, name in WEIGHTS.items():
            if (run_dir / weights).exists() or name == "raw":
                game = load_game(run_dir, weights)
                if "generator" in game.networks:
                    latent = game.population(np.random.default_rng(seed), samples)
                    rows[f"{run_dir} {name}"] = reference.judge_images(game.sample(latent))
                # The other networks are those of the last step, and no average: an encoder does not belong to any but
                # the raw weights.
                if name == "best" or (name == "EMA" and game.reconstructs):
                    continue
                try:
                    own = {} if reference.unseen is None else game.measure(reference, run_dir)  # not of own pictures
                    measured = {**own, **reconstructions(game, reference)}
                except AbsentError as error:
                    print(_("note: no yardsticks: {error}", error=error), file=sys.stderr)
                    continue
                if measured and measured != yardsticks.get(f"{run_dir} raw"):  # some depend on the run's logs alone
                    yardsticks[f"{run_dir} {name}"] = measured
    rows.update(floor_and_ceiling(reference, samples))
    return reference.judged, rows, yardsticks


def reference_of(run_dirs: list[Path], data_dir: str | None = None) -> Reference:
    """The judge of the data that all of these runs saw, and the real images.

    Raises:
        UserError: they saw different data, or there is no judge for them.
    """
    configs = [load_config(run_dir) for run_dir in run_dirs]
    datasets = {config.get("dataset", "mnist") for config in configs}
    if len(datasets) > 1:
        names = ", ".join(sorted(datasets))
        raise UserError(_("these runs saw different data ({names}): evaluate them apart", names=names))
    dataset = datasets.pop()
    if dataset == "folder":
        return reference_of_own(run_dirs[0], {config.get("checksum") for config in configs}, data_dir)
    load_record(dataset)  # says what to do where there is no judge, before anything is read
    sizes = sorted({load_game(run_dir).image[1] for run_dir in run_dirs})  # real images go the way of the drawn ones
    size = sizes[0] if len(sizes) == 1 else data.IMAGE[1]
    if sizes[-1] > size:  # real images of 64x64 are not where those of 32x32 are, to a judge
        print(
            f"note: these runs draw {' and '.join(map(str, sizes))} pixels and are all compared with real images of "
            f"{size}, which favours those of {size}; evaluate each size apart",
            file=sys.stderr,
        )
    images, _labels, checksum = data.load_labelled(dataset, "train", data_dir, size)
    return Reference(dataset, images, checksum, data.load_labelled(dataset, "test", data_dir, size)[0], data_dir)


def reference_of_own(run_dir: Path, checksums: set[str], data_dir: str | None) -> Reference:
    """The same of one's own pictures, of the size that the runs draw."""
    own = own_pictures(load_config(run_dir), load_game(run_dir).image, data_dir)
    if checksums != {own.checksum}:
        raise UserError(_("these runs saw different pictures, or they have changed since: evaluate each with its own"))
    return Reference(own.judge, own.images, own.checksum)


def reconstructions(game: Game, reference: Reference) -> dict[str, Yardstick]:
    """PSNR, SSIM and the judge's reading of reconstructions beside what they begin with; the floor is to draw the mean
    image, whatever there is to draw. Nothing for a family without `reconstruct`."""
    if not game.reconstructs or reference.unseen is None:
        return {}
    unseen = reference.unseen_at(game.image[1])
    originals, *_, drawn = game.reconstruct(unseen[some(len(unseen), RECONSTRUCTED)])
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


def yardstick_table(found: dict[str, dict[str, Yardstick]]) -> str:
    """The yardsticks of each run as a Markdown table, aligned for the terminal."""
    rows = [
        [run, name, f"{one.figure:.4g}", f"{one.floor:.4g}", one.meaning]
        for run, named in found.items()
        for name, one in named.items()
    ]
    return aligned([["", "yardstick", "figure", "floor", "what it is"], *rows])


@command
def main(arguments: list[str] | None = None) -> int:
    """Compare what trained generators draw with the real images. ↓ less is better, ↑ more is better; the rows of real
    images and of noise tell what is good and what is bad. Families with a yardstick of their own show it below.
    """
    parser = Parser(
        prog="python -m commands.evaluate",
        description=main.__doc__,
    )
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=user_path, nargs="+", help="what training runs wrote")
    parser.add_argument(
        "--samples", type=whole_number(100, MOST_IMAGES), default=10_000, help="images of each generator"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the latent vectors")
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    flags = parser.parse_args(arguments)

    dataset, rows, yardsticks = judge_runs(flags.run_dirs, flags.samples, flags.seed, flags.data_dir)
    if flags.json:
        found = {"dataset": dataset, "samples": flags.samples, "rows": rows}
        found["yardsticks"] = {run: {name: one._asdict() for name, one in m.items()} for run, m in yardsticks.items()}
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return DONE
    if dataset not in data.DATASETS:
        print(f"{dataset}\n")
    print(table(rows))
    if yardsticks:
        print(f"\n{yardstick_table(yardsticks)}")
    if dataset == "digits":
        print("\nunseen: by the judge; a training on digits sees all of them")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
