"""Judge trained generators: `python -m common.evaluate work/dcgan work/lsgan` prints a table with floor and ceiling."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import cpu
from common.errors import DONE, Parser, UserError, command, whole_number
from common.flags import DATA_DIR_HELP

if TYPE_CHECKING:
    from common.data import Dataset
    from common.gan import GAN
    from common.judge import Judge, Judged

NEIGHBOURS = 2000  # generated images whose nearest training image is looked for: a median needs no more
WEIGHTS = {"generator.params": "raw", "generator_ema.params": "EMA", "generator_best.params": "best"}
COLUMNS = {  # of the table: what it is called there and how it is written
    "frechet": ("Fréchet ↓", "{:.2f}"),
    "kernel": ("kernel ↓", "{:.1f}"),
    "kernel_spread": ("±", "{:.1f}"),
    "score": ("score ↑", "{:.2f}"),
    "precision": ("prec. ↑", "{:.3f}"),
    "recall": ("recall ↑", "{:.3f}"),
    "density": ("dens. ↑", "{:.3f}"),
    "coverage": ("cover. ↑", "{:.3f}"),
    "class_distance": ("classes ↓", "{:.3f}"),
    "confident": ("sure ↑", "{:.3f}"),
    "nearest": ("nearest", "{:.2f}"),
}


class Reference:
    """The real side of every comparison: a judge, and what it sees in the training images.

    Looking at 60,000 images takes a while, so that it is kept in `$XDG_CACHE_HOME` (else `~/.cache`) under the
    checksums of judge and data.
    """

    def __init__(self, dataset: str, images: np.ndarray, checksum: str) -> None:
        from common import judge, metrics

        record = judge.load_record(dataset)
        if checksum != record["data"]:
            raise UserError(f"the judge knows {dataset} ({record['data']}), not these images ({checksum})")
        self.judge: Judge = judge.load_judge(dataset)
        key = hashlib.sha256(f"{record['sha256']} {checksum} {len(images)}".encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paddle-dcgan-lsgan"
        self.cached = cache / f"{dataset}-{key}.npz"
        self.seen: Judged = self._look(images)
        self.moments = metrics.moments(self.seen.features)
        self.shares = metrics.class_shares(self.seen.classes)

    def _look(self, images: np.ndarray) -> Judged:
        from common.judge import Judged, look

        try:
            with self.cached.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                if kept["features"].shape[0] == len(images) and np.isfinite(kept["features"]).all():
                    return Judged(kept["features"], kept["probabilities"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # not there, or damaged: made anew below
        seen = look(self.judge, images)
        buffer = io.BytesIO()
        np.savez(buffer, features=seen.features, probabilities=seen.probabilities)
        keep(self.cached, buffer.getvalue())
        return seen

    def compare(self, seen: Judged) -> dict[str, float]:
        """All metrics of a set of images as the judge sees them; the same set gives the same figures."""
        from common import metrics

        rng = np.random.default_rng(0)
        # As many real images as there are others: the neighbourhoods of a larger set are smaller.
        real = self.seen[np.sort(rng.choice(len(self.seen), min(len(seen), len(self.seen)), replace=False))]
        shares = metrics.class_shares(seen.classes)
        kernel, spread = metrics.kernel_distance(self.seen.features, seen.features, rng)
        found = {
            "frechet": metrics.frechet_distance(*self.moments, *metrics.moments(seen.features)),
            "kernel": kernel,
            "kernel_spread": spread,
            "score": metrics.classifier_score(seen.probabilities),
            **metrics.neighbour_metrics(real.features, seen.features),
            "class_distance": metrics.class_distance(shares, self.shares),
            "confident": metrics.confident_share(seen.probabilities),
            "nearest": metrics.nearest_distance(self.seen.features, seen.features[:NEIGHBOURS]),
        }
        # Six digits: threads add in no fixed order, and a resumed run's file should be the undisturbed one's.
        rounded = {name: float(f"{value:.6g}") for name, value in found.items()}
        return {**rounded, "classes": shares.round(4).tolist()}

    def judge_gan(self, gan: GAN, latent: np.ndarray, ema: bool = False) -> dict[str, float]:
        """All metrics of the images that `gan` draws from `latent [N, 100, 1, 1]`."""
        from common.judge import look
        from common.sample import draw

        return self.compare(look(self.judge, draw(gan, latent, ema)))


class Examiner:
    """Judges a generator and its moving average while they train, on fewer images than the command does.

    It takes nothing from the training's random streams and leaves no trace in the networks.

    Args:
        dataset: what is trained on; its judge is fetched when it is first needed.
    """

    SAMPLES = 2000

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.reference: Reference | None = None
        self.refused = ""

    def examine(self, gan: GAN) -> dict[str, dict] | None:
        """The metrics of both under `raw` and `ema`; None where there is no judge for these images."""
        from tqdm import tqdm

        from common import data

        if self.refused:
            return None
        if self.reference is None:
            name, images, checksum, _ = self.dataset
            if name == "digits":  # the judge keeps a quarter unseen
                images, _, checksum = data.load_labelled(name, "train")
            try:
                tqdm.write("the judge looks at the real images; kept for later runs", file=sys.stdout)
                self.reference = Reference(name, images, checksum)
            except UserError as error:
                self.refused = str(error)
                print(f"note: no metrics: {error}", file=sys.stderr)
                return None
        latent = gan.latent(np.random.default_rng(0), self.SAMPLES).numpy()
        return {"raw": self.reference.judge_gan(gan, latent), "ema": self.reference.judge_gan(gan, latent, ema=True)}


def keep(path: Path, content: bytes) -> None:
    """Write into the cache, which is a convenience: a full or read-only home must not end a training."""
    from common.artifacts import atomic

    try:
        with atomic(path) as file:
            file.write(content)
    except OSError as error:
        print(f"note: what the judge saw could not be kept ({error})", file=sys.stderr)


def anchors(reference: Reference, unseen: np.ndarray, samples: int) -> dict[str, dict]:
    """What the figures mean: those of unseen real images, of a perfect drawer of one digit, and of noise.

    Kept in the cache, since they depend on the judge, the data and the number of samples only.
    """
    from common.judge import look

    path = reference.cached.with_name(f"{reference.cached.stem}-anchors-{samples}.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass  # not there, or damaged: made anew below

    noise = np.random.default_rng(0).uniform(-1, 1, (min(samples, len(unseen)), *unseen.shape[1:])).astype(np.float32)
    one = reference.seen[np.flatnonzero(reference.seen.classes == 1)[:samples]]
    found = {
        "real, unseen": reference.compare(look(reference.judge, unseen[:samples])),
        "real, only 1s": reference.compare(one),
        "noise": reference.compare(look(reference.judge, noise)),
    }
    keep(path, json.dumps(found).encode())
    return found


def judge_runs(
    run_dirs: list[Path], samples: int = 10_000, seed: int = 0, data_dir: str | None = None
) -> tuple[str, dict[str, dict]]:
    """The metrics of every generator of some runs, and of the floor and the ceiling.

    Args:
        run_dirs: what training runs wrote, all on the same data.
        samples: images of each generator.
        seed: of the latent vectors.
        data_dir: folder with MNIST's files, as `--data-dir`.

    Returns:
        The data set's name, and a row of metrics under each name, for `table`.

    Raises:
        UserError: the runs saw different data, or one cannot be read.
    """
    from common import data
    from common.runs import load_config, load_gan

    configs = [load_config(run_dir) for run_dir in run_dirs]
    datasets = {config["dataset"] for config in configs}
    if len(datasets) > 1:
        raise UserError(f"these runs saw different data ({', '.join(sorted(datasets))}): evaluate them apart")
    dataset = datasets.pop()
    images, _, checksum = data.load_labelled(dataset, "train", data_dir)
    unseen, _, _ = data.load_labelled(dataset, "test", data_dir)
    reference = Reference(dataset, images, checksum)
    del images

    rows = {}
    for run_dir in run_dirs:
        for weights, name in WEIGHTS.items():
            if (run_dir / weights).exists() or name == "raw":
                gan = load_gan(run_dir, weights)
                latent = gan.latent(np.random.default_rng(seed), samples).numpy()
                rows[f"{run_dir} {name}"] = reference.judge_gan(gan, latent)
    rows.update(anchors(reference, unseen, samples))
    return dataset, rows


@command
def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = Parser(
        prog="python -m common.evaluate",
        description="Compare what trained generators draw with the real images. ↓ less is better, ↑ more is better; "
        "the rows of real images and of noise are the floor and the ceiling.",
    )
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=Path, nargs="+", help="what training runs wrote")
    parser.add_argument("--samples", type=whole_number(100), default=10_000, help="images of each generator")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the latent vectors")
    parser.add_argument("--data-dir", help=DATA_DIR_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    flags = parser.parse_args(arguments)
    cpu.set_up()

    dataset, rows = judge_runs(flags.run_dirs, flags.samples, flags.seed, flags.data_dir)
    if flags.json:
        print(json.dumps({"dataset": dataset, "samples": flags.samples, "rows": rows}, indent=2, ensure_ascii=False))
    else:
        print(table(rows))
    return DONE


def table(rows: dict[str, dict]) -> str:
    """The rows as a Markdown table, aligned for the terminal."""
    header = ["", *(title for title, _ in COLUMNS.values())]
    cells = [[name, *(form.format(row[key]) for key, (_, form) in COLUMNS.items())] for name, row in rows.items()]
    widths = [max(len(row[i]) for row in (header, *cells)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if not i else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        )
        + " |"
        for row in (header, rule, *cells)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
