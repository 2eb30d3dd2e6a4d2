"""Draw images from a trained generator: `python -m common.sample RUN_DIR --out grid.png`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import cpu
from common.errors import DONE, Parser, UserError, command, whole_number

if TYPE_CHECKING:
    from common.gan import GAN

AT_ONCE = 500  # images a forward pass; bounds the memory, the images do not depend on it


@command
def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = Parser(
        prog="python -m common.sample",
        description="Draw images from a trained generator. The same seed gives the same images on every call; the "
        "first images of a larger --count are those of a smaller one.",
    )
    add = parser.add_argument
    add("run_dir", metavar="RUN_DIR", type=Path, help="what a training run wrote, such as work/dcgan")
    add("--count", type=whole_number(1), default=64, help="images; with --interpolate the length of the walk")
    add("--seed", type=whole_number(0), default=0, help="of the latent vectors")
    add(
        "--interpolate",
        type=whole_number(0),
        nargs=2,
        metavar=("A", "B"),
        help="walk from the first image of seed A to the first of seed B",
    )
    add("--weights", default="generator.params", help="which weights of the run")
    add("--out", type=Path, help="write a grid as PNG")
    add("--npy", type=Path, help="write the images as float32 [N, 1, 32, 32] in [-1, 1]")
    add("--columns", type=whole_number(1), default=8, help="of the grid")
    flags = parser.parse_args(arguments)
    if not (flags.out or flags.npy):
        parser.error("nothing to write: give --out grid.png or --npy samples.npy")
    for path in (flags.out, flags.npy):
        if path and not path.parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")

    cpu.set_up()
    from common import artifacts
    from common.runs import load_gan

    gan = load_gan(flags.run_dir, flags.weights)
    if flags.interpolate:
        first, last = (gan.latent(np.random.default_rng(seed), 1).numpy() for seed in flags.interpolate)
        latent = walk(first, last, flags.count)
    else:
        latent = gan.latent(np.random.default_rng(flags.seed), flags.count).numpy()
    images = draw(gan, latent)
    if flags.out:
        artifacts.save_image(flags.out, artifacts.grid(images, flags.columns))
        print(f"{flags.out}: {len(images)} images")
    if flags.npy:
        buffer = io.BytesIO()
        np.save(buffer, images)
        with artifacts.atomic(flags.npy) as file:
            file.write(buffer.getbuffer())
        print(f"{flags.npy}: float32 {list(images.shape)}")
    return DONE


def draw(gan: GAN, latent: np.ndarray, ema: bool = False) -> np.ndarray:
    """Images `[N, 1, 32, 32]`, float32 in [-1, 1], of the latent vectors `[N, 100, 1, 1]`."""
    import paddle

    parts = [latent[start : start + AT_ONCE] for start in range(0, len(latent), AT_ONCE)]
    return np.concatenate([gan.sample(paddle.to_tensor(part), ema) for part in parts])


def walk(first: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """`count` latent vectors from `first` to `last`, both `[1, 100, 1, 1]` and included.

    Spherical: the length goes from one's to the other's in even steps too, where a straight line would cut through
    the middle of the sphere, which the generator never saw (White 2016, arXiv 1609.04468, section 2.1).
    """
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    a, b = first / lengths[0], last / lengths[1]
    angle = np.arccos(np.clip((a * b).sum(), -1, 1))
    t = np.linspace(0, 1, count).reshape(-1, 1, 1, 1)
    if angle < 1e-6:  # the same seed twice
        direction = np.repeat(a, count, axis=0)
    else:
        direction = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return (direction * ((1 - t) * lengths[0] + t * lengths[1])).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
