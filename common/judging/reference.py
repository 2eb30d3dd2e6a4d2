"""The real side of every comparison: what a judge sees in the real images, and what a figure means beside it."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

from common import data
from common.data import CLASSES
from common.errors import UserError
from common.files.atomic import cache_folder, keep
from common.judging import metrics
from common.judging.judge import Judged, classify, how_to_train, is_own, judged_by, load_judge, load_record
from common.language import _

import numpy as np

ALIKE = 0.2  # how far from even the classes of a copy may seem; the judge's own errors make less than 0.03
ONES = {"fashion-mnist": "trousers", "kmnist": "き", "cifar10": "automobiles"}  # class 1 of a data set; else digits
FEWEST = 100  # pictures of one's own that a distance can be taken from
NEIGHBOURS = 2000  # generated images whose nearest training image is looked for: a median needs no more


class Reference:
    """The real side of every comparison: a judge, and what it sees in the training images.

    Looking at 60,000 images takes a while, so that it is kept in `$XDG_CACHE_HOME` (else `~/.cache`) under the
    checksums of judge and data, and the shape that these have here.

    Args:
        dataset: the name of its judge, which is its own or, of one's own pictures, `Dataset.judge`.
        images: the training images, `[N, C, H, W]`, float32 in [-1, 1] or uint8.
        checksum: theirs, which the judge's record names.
        unseen: real images that no training saw, for the yardsticks that need some; of one's own there are none. Of
            digits, which come unsplit, a training sees these, too, and only their judge has not.
        data_dir: where they come from, as `--data-dir`.

    Raises:
        UserError: there is no judge for this data set, or it was trained on other images. Where its record says
            `copies`, as CIFAR-10's does, which knows images by their pixels and was trained on ones that went through
            JPEG, other pixels are fine if it finds all ten classes in them. Or one's own pictures are too few.
    """

    def __init__(
        self,
        dataset: str,
        images: np.ndarray,
        checksum: str,
        unseen: np.ndarray | None = None,
        data_dir: str | None = None,
    ) -> None:
        self.unseen, self.data_dir = unseen, data_dir
        record = load_record(dataset)
        known = is_own(dataset) or checksum == record["data"]
        check_enough(dataset, images)
        values = {"data": record["data"], "checksum": checksum, "way_out": how_to_train(dataset)}
        stranger = _(
            "the judge knows {dataset} ({data}), not these images ({checksum}); {way_out}", dataset=dataset, **values
        )
        if not known and not record.get("copies"):
            raise UserError(stranger)
        self.dataset, self.judge, self.shape = dataset, load_judge(dataset), images.shape[1:]
        self.cached = cache_folder() / f"{dataset}-{digest(record['sha256'], checksum, images.shape)}.npz"
        self.seen = self._see_or_recall(images)
        self.moments = metrics.moments(self.seen.features)
        # Images of which the neighbours are looked for: there are no more unseen ones, nor more than half of one's own.
        self.most = len(self.seen) // 2 if unseen is None else min(len(unseen), len(self.seen))
        self.radii: dict[int, np.ndarray] = {}  # of so many real images: the last that `compare` chose
        self.shares = metrics.class_shares(self.seen.classes)
        if not known and metrics.class_distance(self.shares, np.full(CLASSES, 1 / CLASSES)) > ALIKE:
            raise UserError(stranger)

    @property
    def borrowed(self) -> bool:
        """Whether it is another data set's judge, whose figures are for comparing runs on the same pictures only."""
        return judged_by(self.dataset) != self.dataset

    @property
    def judged(self) -> str:
        """What judges, in words; for the data sets whose judge everybody has their name."""
        if not is_own(self.dataset):
            return self.dataset
        how = "the features of CIFAR-10's judge" if self.borrowed else "a judge of their classes"
        return f"{len(self.seen):,} own pictures, by {how}: to compare with runs on the same pictures only"

    def _see_or_recall(self, images: np.ndarray) -> Judged:
        try:
            with self.cached.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                if kept["features"].shape[0] == len(images) and np.isfinite(kept["features"]).all():
                    return Judged(kept["features"], kept["probabilities"])
        except Exception:
            pass  # not there, or damaged in whatever way: made anew below
        seen = self.see(images)
        keep(self.cached, lambda file: np.savez(file, features=seen.features, probabilities=seen.probabilities))
        return seen

    def compare(self, seen: Judged) -> dict[str, float]:
        """All metrics of a set of images as the judge sees them; the same set gives the same figures."""
        rng = np.random.default_rng(0)
        # As many images on either side, and in each row of a table: the neighbourhoods of a larger set are smaller.
        real, fake = (some_of(rng, images, min(len(seen), self.most)) for images in (self.seen, seen))
        if len(real) not in self.radii:  # which are the same for each row of a table, and each epoch
            self.radii = {len(real): metrics.neighbour_distances(real.features, metrics.K_COVERAGE)}
        shares = metrics.class_shares(seen.classes)
        kernel, spread = metrics.kernel_distance(self.seen.features, seen.features, rng)
        found = {
            "frechet": self.distance(seen),
            "kernel": kernel,
            "kernel_spread": spread,
            "score": metrics.classifier_score(seen.probabilities),
            **metrics.neighbour_metrics(real.features, fake.features, radii_real=self.radii[len(real)]),
            "class_distance": metrics.class_distance(shares, self.shares),
            "confident": metrics.confident_share(seen.probabilities),
            "nearest": metrics.nearest_distance(self.seen.features, seen.features[:NEIGHBOURS]),
        }
        # Six digits: threads add in no fixed order, and a resumed run's file should be the undisturbed one's.
        rounded = {name: float(f"{value:.6g}") for name, value in found.items()}
        return {**rounded, "classes": shares.round(4).tolist()}

    def knowing(self, seen: Judged) -> Reference:
        """The same judge that knows of these real images only."""
        other = copy.copy(self)
        other.seen, other.moments, other.radii = seen, metrics.moments(seen.features), {}
        other.shares = metrics.class_shares(seen.classes)
        return other

    def distance(self, seen: Judged) -> float:
        """The Fréchet distance alone."""
        return metrics.frechet_distance(*self.moments, *metrics.moments(seen.features))

    def see(self, images: np.ndarray) -> Judged:
        """What the judge sees in images `[N, C, H, W]`, float32 in [-1, 1] or uint8."""
        return classify(self.judge, images)

    def unseen_at(self, size: int) -> np.ndarray:
        """`unseen` in another size, `[N, C, size, size]`; from the files: twice resized, they would be blurred."""
        if size == self.unseen.shape[-1]:
            return self.unseen
        return data.load_labelled(self.dataset, "test", self.data_dir, size)[0]

    def judge_images(self, images: np.ndarray) -> dict[str, float]:
        """All metrics of generated images `[N, C, H, W]`, float32 in [-1, 1]."""
        return self.compare(self.see(images))


def check_enough(dataset: str, images: np.ndarray) -> None:
    """Raise `UserError` where one's own pictures are too few."""
    if is_own(dataset) and len(images) < FEWEST:
        values = {"count": len(images), "fewest": FEWEST}
        raise UserError(_("{count} pictures are too few to compare with; at least {fewest}", **values))


def floor_and_ceiling(reference: Reference, samples: int) -> dict[str, dict]:
    """What the figures mean: those of unseen real images, of a perfect drawer of class 1, and of noise. Of one's own
    pictures none are unseen, and one half of them beside the other takes that place; of these, and where there are
    hardly any of class 1, it is the most frequent class.

    The real ones are `samples` drawn at random: the first half of MNIST's test images are harder to read than the
    second. Kept in the cache under all that the figures depend on, these formulas among it.
    """
    unseen, seen = reference.unseen, reference.seen
    code = [Path(file).read_bytes() for file in (__file__, metrics.__file__)]
    key = digest(samples, unseen is None or unseen.shape, *code)
    path = reference.cached.with_name(f"{reference.cached.stem}-anchors-{key}.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass  # not there, or damaged: made anew below

    ones = np.flatnonzero(seen.classes == 1)
    if unseen is None:
        one, other = np.array_split(some(len(seen), len(seen)), 2)
        real, beside, others = "real, a half", reference.knowing(seen[one]), seen[other[:samples]]
    else:
        real, beside, others = "real, unseen", reference, reference.see(unseen[some(len(unseen), samples)])
    if unseen is None or len(ones) <= metrics.K_COVERAGE:  # a set like MNIST may have no 1s
        only, one = "one class", seen[np.flatnonzero(seen.classes == reference.shares.argmax())]
    else:
        only, one = ONES.get(reference.dataset, "1s"), seen[ones]
    noise = np.random.default_rng(0).uniform(-1, 1, (len(others), *reference.shape)).astype(np.float32)
    found = {
        real: beside.compare(others),
        f"real, only {only}": reference.compare(one[some(len(one), samples)]),
        "noise": reference.compare(reference.see(noise)),
    }
    keep(path, lambda file: file.write(json.dumps(found).encode()))
    return found


def some_of(rng: np.random.Generator, images: Judged, count: int) -> Judged:
    """`count` of them at random, in their order; all of them where there are no more."""
    return images if len(images) <= count else images[np.sort(rng.choice(len(images), count, replace=False))]


def some(count: int, samples: int) -> np.ndarray:
    """Which of `count` images to take where no more than `samples` are wanted: at random, the same each time."""
    return np.random.default_rng(0).permutation(count)[:samples]


def digest(*parts: object) -> str:
    """Part of a file's name that depends on all of `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
