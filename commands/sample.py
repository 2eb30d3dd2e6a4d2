"""Draw images from a trained generator: `python -m commands.sample RUN_DIR --out grid.png`."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.invert import invert
from common import data
from common.errors import DONE, UserError
from common.files.atomic import atomic
from common.files.pictures import read_picture
from common.game import Game
from common.language import _
from common.run import grids
from common.run.commandline import MOST_IMAGES, Parser, command, seed_number, user_path, whole_number
from common.run.flags import DATA_DIR_HELP
from common.run.runs import best_weights, how_made_square, load_config, load_game, own_pictures

import numpy as np

BESIDE, HELD_OUT = 16, 64  # images drawn beside their nearest; real ones, each held out from the others
NOT_ITS_OWN = _("note: these are not the pictures that it was trained on, or not all of them")


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw images from a trained generator. The same seed gives the same images on every call; the first images of a
    larger --count are those of a smaller one.
    """
    parser = Parser(
        prog="python -m commands.sample",
        description=main.__doc__,
    )
    add = parser.add_argument
    add("run_dir", metavar="RUN_DIR", type=user_path, help="what a training run wrote, such as work/dcgan")
    add(
        "--count",
        type=whole_number(1, MOST_IMAGES),
        default=64,
        help="images; with --interpolate the length of the walk",
    )
    add("--seed", type=seed_number, default=0, help="of the latent vectors")
    add(
        "--interpolate",
        type=seed_number,
        nargs=2,
        metavar=("A", "B"),
        help="walk from the first image of seed A to the first of seed B",
    )
    add("--digit", type=int, choices=range(10), help="draw this digit, or this one of your classes, only")
    add("--code", type=int, choices=range(10), help="draw this category only, of a family that has a code")
    add(
        "--reconstruct",
        action="store_true",
        help="draw --count real images that no training saw (of a run on your own pictures: these), and below each row "
        "what the family makes of them: steps on the way, reconstructions",
    )
    add(
        "--invert",
        type=user_path,
        metavar="PICTURE",
        help="look for the latent vector whose image is nearest to this picture, and write the picture and that image",
    )
    add(
        "--nearest",
        action="store_true",
        help="draw 16 images, beside each the training image nearest to it, pixel by pixel; say how far, and how far "
        "real images are from the others",
    )
    add("--data-dir", type=user_path, help=f"with --reconstruct or --nearest: {DATA_DIR_HELP}")
    add(
        "--weights",
        help="which weights of the run: generator.params, the last; generator_ema.params, their average; "
        "generator_best.params, those the judge liked most (default: these where there are any, else the last; with "
        "--reconstruct the last, since the other networks are those of the last step)",
    )
    add("--out", type=user_path, help="write a grid as PNG; with --interpolate a name that ends in .gif: a film")
    add("--each", type=user_path, metavar="FOLDER", help="write each image as a PNG of its own to this new folder")
    add("--npy", type=user_path, help="write the images as float32 [N, C, H, W] in [-1, 1]")
    add("--columns", type=whole_number(1, 10_000), default=8, help="of the grid")
    flags = parser.parse_args(arguments)
    if not (flags.out or flags.npy or flags.each):
        parser.error(_("nothing to write: give --out grid.png, --npy samples.npy or --each FOLDER"))
    if flags.nearest and (flags.interpolate or flags.reconstruct or flags.invert):
        parser.error(_("--nearest: draws at random; leave --interpolate, --reconstruct and --invert out"))
    if flags.reconstruct and (flags.interpolate or flags.digit is not None or flags.code is not None):
        parser.error(_("--reconstruct: draws from real images; leave --interpolate, --digit and --code out"))
    if flags.invert and (flags.interpolate or flags.reconstruct):
        parser.error(_("--invert: looks for one picture; leave --interpolate and --reconstruct out"))
    if flags.reconstruct and flags.count % flags.columns:
        parser.error(
            _("--count {count}: with --reconstruct a multiple of --columns, which is {columns}", **vars(flags))
        )
    for path in (flags.out, flags.npy, flags.each):
        if path and not path.parent.is_dir():
            raise UserError(_("{path}: there is no folder {folder}", path=path, folder=path.parent))

    film = bool(flags.interpolate and flags.out and flags.out.suffix == ".gif")
    if flags.out and flags.out.suffix != ".png" and not film:
        raise UserError(_("--out {out}: expected a name that ends in .png", out=flags.out))
    if flags.npy and flags.npy.suffix != ".npy":  # as generator.params, which it would take the place of
        raise UserError(_("--npy {npy}: expected a name that ends in .npy", npy=flags.npy))
    for flag, path in (("--out", flags.out), ("--npy", flags.npy)):
        if path and path.is_dir():
            raise UserError(_("{flag} {path}: it is a folder; name a file", flag=flag, path=path))
    if flags.each and flags.each.exists():
        raise UserError(_("--each {each}: it is there already; name a new folder", each=flags.each))

    weights = flags.weights or ("generator.params" if flags.reconstruct else best_weights(flags.run_dir))
    game = load_game(flags.run_dir, weights)
    if flags.reconstruct:
        config = load_config(flags.run_dir)
        images = reconstructed(game, config, flags.seed, flags.count, flags.columns, flags.data_dir)
        if on_own_pictures(config):
            if own_pictures(config, game.image, flags.data_dir).checksum == config.get("checksum"):
                print("of the pictures that it was trained on: of one's own there are no others")
            else:
                print(NOT_ITS_OWN, file=sys.stderr)
    elif flags.invert:
        images = inverted(game, flags)
    elif flags.nearest:
        images = beside_the_nearest(game, flags)
    else:
        images = drawn(game, flags)
    by = weights if "generator" in game.networks else "all networks"
    if flags.reconstruct and by not in ("all networks", "generator.params"):
        by += " and the last weights of the other networks, which it was not trained with"
    if flags.out:
        if film:
            grids.save_film(flags.out, [grids.grid(image[None], 1, padding=0) for image in images])
        else:
            grids.save_image(flags.out, grids.grid(images, flags.columns))
        print(f"{flags.out}: {len(images)} images by {by}")
    if flags.each:
        flags.each.mkdir()
        try:
            for number, image in enumerate(images):
                grids.save_image(flags.each / f"{number:05d}.png", grids.grid(image[None], 1, padding=0))
        except BaseException:  # a full disk, Ctrl-C: the next try would find the folder in its way
            shutil.rmtree(flags.each, ignore_errors=True)
            raise
        print(f"{flags.each}: {len(images)} pictures by {by}")
    if flags.npy:
        buffer = io.BytesIO()
        np.save(buffer, images)
        with atomic(flags.npy) as file:
            file.write(buffer.getbuffer())
        print(f"{flags.npy}: float32 {list(images.shape)} by {by}")
    return DONE


def drawn(game: Game, flags: argparse.Namespace) -> np.ndarray:
    """Images from noise, `[count, C, H, W]`."""
    label = label_of(game, flags)
    if flags.interpolate:
        first, last = (game.latent(np.random.default_rng(seed), 1, label) for seed in flags.interpolate)
        return game.sample(walk(first, last, flags.count, game.latent_dim if game.noise == "normal" else 0))
    return game.sample(game.latent(np.random.default_rng(flags.seed), flags.count, label))


def beside_the_nearest(game: Game, flags: argparse.Namespace) -> np.ndarray:
    """16 images from noise, each followed by the training image nearest to it, `[32, C, H, W]`; says how far these
    are, and how far real images are from the others: a real image held out is to the rest what an unseen one would be.
    """
    config = load_config(flags.run_dir)
    if on_own_pictures(config):
        own = own_pictures(config, game.image, flags.data_dir)
        real = own.images
        if own.checksum != config.get("checksum"):
            print(NOT_ITS_OWN, file=sys.stderr)
    else:
        real = data.load(config.get("dataset", "mnist"), flags.data_dir, game.image).images
    images = game.sample(game.latent(np.random.default_rng(flags.seed), BESIDE, label_of(game, flags)))
    places, far = closest(images, real)
    held_out = np.random.default_rng(0).permutation(len(real))[:HELD_OUT]
    others = closest(data.as_float(real[held_out]), real, held_out)[1] if len(real) > 1 else []
    beside = f"{np.median(others):.1f}" if len(real) > 1 else "none, there is one only"
    print(
        f"nearest training image, pixel by pixel: at a median distance of {np.median(far):.1f}; "
        f"a real image held out: {beside}. Far less would mean that training images were learnt by heart"
    )
    return np.stack([images, data.as_float(real[places])], axis=1).reshape(-1, *game.image)


def closest(images: np.ndarray, real: np.ndarray, but: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Which of `real [N, C, H, W]` is nearest to each of `images [M, C, H, W]` in [-1, 1], that at its place in
    `but [M]` aside, and its Euclidean distance, `[M]` both. Real images, which may be gigabytes, are read once: the
    squares ‖b‖² - 2ab order them as ‖a - b‖² does."""
    rows = images.reshape(len(images), -1)
    order = np.empty((len(real), len(rows)), np.float32)
    for start in range(0, len(real), 2000):
        part = data.as_float(real[start : start + 2000]).reshape(-1, rows.shape[1])
        order[start : start + 2000] = (part**2).sum(axis=1, keepdims=True) - 2 * part @ rows.T
    if but is not None:
        order[but, np.arange(len(rows))] = np.inf
    places = order.argmin(axis=0)
    return places, np.linalg.norm(data.as_float(real[places]).reshape(rows.shape) - rows, axis=1)


def inverted(game: Game, flags: argparse.Namespace) -> np.ndarray:
    """The user's picture and the nearest one that the generator draws, `[2, C, H, W]`; says how near."""
    label, (channels, size, _width), config = label_of(game, flags), game.image, load_config(flags.run_dir)
    how = how_made_square(config) if on_own_pictures(config) else ()  # as those that it was trained on
    given = data.as_float(read_picture(flags.invert, channels, size, *how, way_out=_("name another")))
    found = invert(game, given, label, flags.seed)
    print(
        f"{flags.invert}: the nearest image has a mean squared error of {found.error:.4f}; "
        f"images drawn at random have {found.error_at_random:.4f}"
    )
    if config.get("dataset", "mnist") in ("mnist", "digits") and given.mean() > 0:
        print(_("note: this picture is bright, and digits here are white on black; try it with its colours inverted"))
    return np.stack([given, found.image])


def label_of(game: Game, flags: argparse.Namespace) -> int | None:
    """What --digit or --code asks for; raises `UserError` where the run draws nothing from noise, or no such thing."""
    its = {**vars(flags), "family": load_config(flags.run_dir)["family"], "classes": game.classes}
    if "generator" not in game.networks:
        raise UserError(_("{run_dir}: {family} draws nothing from noise; --reconstruct draws from real images", **its))
    if flags.digit is not None and game.condition != "digit":
        raise UserError(_("--digit: {family} knows no labels; train one that does: python zoo/cgan.py", **its))
    if flags.digit is not None and flags.digit >= game.classes:
        its["last"] = game.classes - 1
        raise UserError(_("--digit {digit}: {run_dir} knows {classes} classes, 0 to {last}", **its))
    if flags.code is not None and game.condition != "code":
        raise UserError(_("--code: {family} has no code; train one that has: python zoo/infogan.py", **its))
    return flags.digit if flags.code is None else flags.code


def reconstructed(
    game: Game, config: dict[str, Any], seed: int, count: int, columns: int, data_dir: str | Path | None = None
) -> np.ndarray:
    """What the family makes of `count` unseen images, `[rows * count, C, H, W]`: a row of the grid for each step.

    One's own pictures have no part that no training saw: of a run on them it is these, the first ones again where there
    are fewer.

    Args:
        game: of a run.
        config: the run's.
        seed: which images.
        columns: of the grid.
        data_dir: where the images are, see `data.load`.

    Raises:
        UserError: the family draws from noise only, or there are no images to begin with, or too few.
    """
    if not game.reconstructs:
        raise UserError(
            _("--reconstruct: {family} draws from noise only; python zoo/vae_gan.py does more", family=config["family"])
        )
    if on_own_pictures(config):
        images = own_pictures(config, game.image, data_dir).images
    else:
        images, *_others = data.load_labelled(config.get("dataset", "mnist"), "test", data_dir, game.image[1])
        if count > len(images):
            values = {"count": count, "images": len(images)}
            raise UserError(_("--count {count}: there are {images:,} images that no training saw", **values))
    chosen = np.resize(np.random.default_rng(seed).permutation(len(images)), count)
    steps = game.reconstruct(data.as_float(images[chosen]))
    starts = range(0, len(chosen), columns)
    return np.concatenate([step[start : start + columns] for start in starts for step in steps])


def on_own_pictures(config: dict[str, Any]) -> bool:
    """Whether a run was trained on one's own pictures."""
    return config.get("dataset") == "folder"


def walk(first: np.ndarray, last: np.ndarray, count: int, dim: int) -> np.ndarray:
    """`count` latent vectors from `first` to `last`, both `[1, D, 1, 1]` and included.

    Spherical in the first `dim` numbers, if these are normal ones: the length goes from one's to the other's in even
    steps too, where a straight line would cut through the middle of the sphere, which the generator never saw (White
    2016, arXiv 1609.04468, section 2.1). What follows, such as a label, goes straight, and so does uniform noise: then
    `dim` is 0.
    """
    t = np.linspace(0, 1, count).reshape(-1, 1, 1, 1)
    (a, label_a), (b, label_b) = ((end[:, :dim], end[:, dim:]) for end in (first, last))
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    a, b = a / lengths[0], b / lengths[1]
    angle = np.arccos(np.clip((a * b).sum(), -1, 1))
    if angle < 1e-6:  # the same seed twice
        direction = np.repeat(a, count, axis=0)
    else:
        direction = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    noise = direction * ((1 - t) * lengths[0] + t * lengths[1])
    return np.concatenate([noise, (1 - t) * label_a + t * label_b], axis=1).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
