"""Train the judges: `python -m commands.train_judge` writes `common/judging/judges/`.

About 13 minutes on 2 CPU cores for MNIST and digits; `--dataset cifar10` takes half an hour of one core.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import data
from common.data import IMAGE, as_float
from common.errors import DONE, UserError
from common.files.atomic import write_all
from common.judging import metrics
from common.judging.judge import FEATURES, Judge, classify, place, records_in
from common.judging.reference import FEWEST
from common.run.artifacts import as_json, as_params
from common.run.commandline import Parser, command, number_between, seed_number, user_path, whole_number
from common.run.flags import DATA_DIR_HELP

import numpy as np
import paddle
from paddle import nn
from paddle.utils import unique_name
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

BATCH_SIZE = 128
SHIFT = 2  # pixels of random translation, each way
EPOCHS = {"mnist": 8, "fashion-mnist": 12, "kmnist": 8, "digits": 80, "cifar10": 15, "folder": 60}
PHOTOGRAPHS = ("cifar10", "folder")  # a dog looks either way; a digit, a shoe's tip do not
TRIED, BLUR = 2000, 1.5  # images of each kind, and pixels, by which a judge is tried
FEWEST_OF_A_CLASS = 10  # pictures of one's own: enough for neighbours among them
DEGRADED = 8  # to a batch of photographs as many blurred ones are added, and as many images of noise


@command
def main(arguments: list[str] | None = None) -> int:
    """Train the classifiers that the metrics are computed with, test them on images they have not seen, and write their
    weights with a record of how they were made. A judge is kept only if real images seem nearest to it, then blurred
    ones, then those of one class, and noise farthest.
    """
    parser = Parser(
        prog="python -m commands.train_judge",
        description=main.__doc__,
    )
    epochs = ", ".join(f"{dataset} {count}" for dataset, count in EPOCHS.items())
    parser.add_argument(
        "--dataset", choices=list(EPOCHS), nargs="+", default=["mnist", "digits"], help="what to train judges for"
    )
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--epochs", type=whole_number(1), help=f"passes over the images (default: {epochs})")
    parser.add_argument(
        "--learning-rate", type=number_between(0, 1), default=1e-3, help="Adam's, falls to 0 as a cosine"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of every source of randomness")
    flags = parser.parse_args(arguments)
    for dataset in flags.dataset:
        if dataset == "folder":
            own = data.load(dataset, flags.data_dir, (3, *IMAGE[1:]), labelled=True)
            (images, labels), (unseen, answers) = (
                (own.images[chosen], own.labels[chosen])
                for chosen in (data.part_of(len(own.labels), part) for part in ("train", "test"))
            )
            name, checksum, counts = own.judge, own.checksum, np.bincount(own.labels, minlength=2)
        else:
            images, labels, checksum = data.load_labelled(dataset, "train", flags.data_dir)
            unseen, answers, _ = data.load_labelled(dataset, "test", flags.data_dir)
            name, counts = dataset, np.bincount(labels, minlength=2)
        second = counts.argsort()[-2]
        if counts.sum() < FEWEST or counts[second] < FEWEST_OF_A_CLASS:
            raise UserError(
                f"{f'--data-dir {flags.data_dir}' if flags.data_dir else f'--dataset {dataset}'}: {counts.sum()} "
                f"pictures, {counts[second]} of the second largest class, are too few for a judge; at least {FEWEST} "
                f"and {FEWEST_OF_A_CLASS}, or train without one"
            )
        epochs = flags.epochs or EPOCHS[dataset]
        with unique_name.guard():  # the file has the names of layers, which count those of a process
            judge = train(images, labels, epochs, flags.learning_rate, flags.seed, dataset in PHOTOGRAPHS)
        accuracy = float((classify(judge, unseen).classes == answers).mean())
        print(f"{dataset}: {accuracy:.2%} of {len(unseen):,} unseen images", flush=True)
        ones = dataset != "folder" and counts[1] >= FEWEST_OF_A_CLASS
        tried = trial(judge, images, labels, 1 if ones else second)  # a class of many images, but not of most
        for what, one in tried.items():
            print(f"{what}: Fréchet distance {one['frechet']:.2f}, precision {one['precision']:.3f}", flush=True)
        if not is_fit(tried):
            raise UserError(f"{dataset}: unfit, these should be from the nearest to the farthest; not kept")

        path, content = place(name) / f"{name}.params", as_params(judge.state_dict())
        records = records_in(path.parent)
        records[name] = {
            "in_channels": judge.in_channels,
            "accuracy": round(accuracy, 4),
            "unseen images": len(unseen),
            "seed": flags.seed,
            "epochs": epochs,
            "paddle": paddle.__version__,
            "data": checksum,
            "copies": dataset == "cifar10",  # others' pixels may differ: ours went through JPEG
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        write_all({path: content, path.with_name("record.json"): as_json(records)})
    return DONE


def train(
    images: np.ndarray, labels: np.ndarray, epochs: int, learning_rate: float, seed: int, photographs: bool = False
) -> Judge:
    """A judge trained on `images [N, C, 32, 32]`, float32 in [-1, 1] or uint8, with `labels [N]`; each batch is
    shifted at random by up to two pixels.

    Of `photographs` half are mirrored, and the features learn what is none. A judge that has seen nothing but
    photographs is unsure of noise, and unsure features lie in the midst of all classes, near everything. So a second
    head, which is not kept, has to tell how far each image is from a photograph: 0 as it is, ½ blurred, 1 noise.
    """
    paddle.seed(seed)
    rng = np.random.default_rng(seed)
    judge, criterion = Judge(images.shape[1]), nn.CrossEntropyLoss()
    degree, degree_criterion = nn.Linear(FEATURES, 1), nn.BCEWithLogitsLoss()
    steps = epochs * -(-len(images) // BATCH_SIZE)
    schedule = paddle.optimizer.lr.CosineAnnealingDecay(learning_rate, steps)
    parameters = judge.parameters() + (degree.parameters() if photographs else [])
    adam = paddle.optimizer.Adam(schedule, parameters=parameters)
    border = ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT))
    size = images.shape[2]
    with tqdm(total=steps, disable=None) as bar:
        for _ in range(epochs):
            order = rng.permutation(len(images))
            for start in range(0, len(order), BATCH_SIZE):
                chosen = order[start : start + BATCH_SIZE]
                answers = labels[chosen]
                padded = np.pad(as_float(images[chosen]), border, constant_values=-1)
                top, left = rng.integers(0, 2 * SHIFT + 1, 2)  # one shift a batch
                batch = padded[:, :, top : top + size, left : left + size]
                if photographs:
                    batch = np.where(rng.random(len(batch)) < 0.5, batch.T, batch[..., ::-1].T).T
                    parts = batch, blurred(batch[:DEGRADED], rng), noise(batch[:DEGRADED].shape, rng)
                    batch, answers = np.concatenate(parts), np.r_[answers, answers[:DEGRADED]]
                features, logits = judge(paddle.to_tensor(np.ascontiguousarray(batch)))
                loss = criterion(logits[: len(answers)], paddle.to_tensor(answers))  # noise has no class
                if photographs:
                    wanted = np.repeat(np.float32([0, 0.5, 1]), [len(part) for part in parts])[:, None]
                    loss = loss + degree_criterion(degree(features), paddle.to_tensor(wanted))
                loss.backward()
                adam.step()
                adam.clear_grad()
                schedule.step()
                bar.update()
    judge.eval()
    return judge


def trial(judge: Judge, images: np.ndarray, labels: np.ndarray, one: int = 1) -> dict[str, dict[str, float]]:
    """How far what is worse and worse lies from one half of `images [N, C, 32, 32]`, or from 2,000 of them: as many of
    the other half, these blurred, real images of class `one`, and noise. `frechet` and `precision` of each."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    count = min(TRIED, len(images) // 2)
    seen = classify(judge, images[order[:count]]).features
    others = as_float(images[order[count : 2 * count]])
    sets = {
        "the other half": others,
        "blurred": gaussian_filter(others, (0, 0, BLUR, BLUR)),
        "one class": images[order[labels[order] == one][:count]],
        "noise": rng.uniform(-1, 1, others.shape).astype(np.float32),
    }
    found = {}
    for what, some in sets.items():
        features = classify(judge, some).features
        distance = metrics.frechet_distance(*metrics.moments(seen), *metrics.moments(features))
        found[what] = {"frechet": distance, "precision": metrics.neighbour_metrics(seen, features)["precision"]}
    return found


def is_fit(tried: dict[str, dict[str, float]]) -> bool:
    """Whether what `trial` found is in order: each farther than what comes before it, and as to precision the other
    half, blurred, noise. One class is real images, which precision takes for such."""
    distances = [one["frechet"] for one in tried.values()]
    half, hazy, noise = (tried[what]["precision"] for what in ("the other half", "blurred", "noise"))
    return distances == sorted(distances) and half > hazy > noise


def blurred(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images `[N, C, H, W]` under a Gaussian of 1 to 3 pixels."""
    sigma = rng.uniform(1, 3)
    return gaussian_filter(images, (0, 0, sigma, sigma))


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Images of noise in [-1, 1], float32 of `shape [N, C, H, W]`, each of a brightness and a contrast of its own: in
    two batches of five pixel by pixel, else in patches of up to 3 pixels."""
    sigma = max(0.0, rng.uniform(-2, 3))
    drawn = gaussian_filter(rng.standard_normal(shape, np.float32), (0, 0, sigma, sigma))
    contrast, brightness = rng.uniform(0, 1, (len(drawn), 1, 1, 1)), rng.uniform(-0.5, 0.5, (len(drawn), 1, 1, 1))
    return np.clip(brightness + contrast * drawn / drawn.std(), -1, 1).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
