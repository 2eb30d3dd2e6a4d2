"""Say what is wrong with a training at the step it begins, in words a student understands.

The thresholds come from healthy runs, which stay clear of them: five epochs of MNIST of DCGAN and of LSGAN, 520 steps
of digits of every other family, in batches of 16. And from runs made sick on purpose: D's learning rate times 50, G
frozen, labels swapped, BatchNorm off. Each of those is named within 500 steps (`tests/test_health.py` replays the ones
of DCGAN and LSGAN, `tests/sick.py` makes them).
"""

from __future__ import annotations

from collections import Counter, deque

from common.language import Message

import numpy as np

WINDOW = 200  # steps looked at together
WARM_UP = 300  # steps before the first look: the first ones are wild in any run
# D's loss is measured in units of `Game.chance`, where D cannot tell: then one limit holds for every loss.
WON_LOSS = 0.003  # the median: it tells nearly every fake; healthy windows stay above 0.006
WON_GAP = 0.995  # D's score of real less that of fake; 1 is the target, healthy windows stay below 0.99
NO_GRADIENT = 0.1  # the norm that reaches G, median; healthy windows stay above 0.5
WRONG_WAY = -0.1  # the same gap; where a penalty holds D flat it is around 0, with swapped labels below -0.7
STILL = 0.003  # standard deviation of D's loss over its mean; CGAN's, with 16 images, goes down to 0.018
# How far D is off, in the worst twentieth of the steps: its loss for a cross-entropy, which grows with the logit; its
# root for squares, or one limit would call LSGAN sick. Healthy windows stay below 1.87, sick ones pass 2.
LEAP = 1.95
LEAP_OVER = 3  # times the median: a D that a penalty holds back is off by up to 1.8, where it is worst 2.9 times it
LEAP_WARM_UP = 400  # the first windows leap in any run
SPREAD = 0.35  # of the samples, against that of real images; healthy ones pass 0.45 sooner or later
SAMPLES_WARM_UP = 500
GROWTH = 1.1  # of that spread over `WINDOW` steps: samples that are alike because they are still grey grow apart
CLASSES_WARM_UP = 1000  # and before it the first epochs of a small data set lack digits
TIMES = 2  # a trouble is reported: when it begins, and when it is back
COMMON, RARE = 0.05, 0.01  # digits of 5% of the real images or more, 1% of the samples; healthy epochs have all


class Health:
    """Watches one run. Each trouble is reported once when it begins, and once more when it is over and comes back; from
    then on it is no news.

    Args:
        real_spread: `pixel_std` of real images.
        scores: what D is taught to answer for fake and for real images. None, a critic without such a scale: then
            only the samples are watched, since losses and scores have no right size.
        chance: D's loss where it cannot tell real from fake; None where `scores` is.
        classes: what the ten classes are, `digits` or just `classes`.
        power: how D's loss grows with a score that is far off, `Loss.power`.
        begin: the step with which the training of the generator begins, `Game.judged_from`.
    """

    def __init__(
        self,
        real_spread: float,
        scores: tuple[float, float] | None,
        chance: float | None,
        classes: str = "digits",
        power: int = 1,
        begin: int = 0,
    ) -> None:
        self.real_spread, self.scores, self.chance, self.classes = real_spread, scores, chance, classes
        self.power, self.begin = power, begin
        self.spreads: list[tuple[int, float]] = []  # of the samples: the step, and how much of `real_spread`
        self._rows: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self.ongoing: set[str] = set()
        self._times_said: Counter[str] = Counter()

    def resume(
        self,
        rows: list[dict[str, float]],
        ongoing: list[str],
        said: list[dict],
        spreads: list[tuple[int, float]],
    ) -> None:
        """Go on after the steps in `rows`, with the troubles `ongoing`, `said` what was reported until then, and the
        `spreads` seen."""
        self.spreads = list(spreads)
        self._rows.extend(rows)
        self.ongoing = set(ongoing)
        self._times_said.update(line["trouble"] for line in said)

    def check_steps(self, rows: list[dict[str, float]]) -> list[dict]:
        """What begins to be wrong with these steps' losses and scores: a row of `step`, `trouble` and `advice` each."""
        if self.scores is None or self.chance is None or not {"loss_d", "score_real", "score_fake"} <= set(rows[0]):
            return []
        if self._rows and self._rows[-1].keys() != rows[0].keys():  # of a `losses.csv` that somebody changed
            self._rows.clear()
        found = []
        for row in rows:
            self._rows.append(row)
            if row["step"] < WARM_UP or len(self._rows) < WINDOW or row["step"] % 10:
                continue
            window = {name: np.array([past[name] for past in self._rows]) for name in row if "_" in name}
            loss_d = window["loss_d"] / self.chance
            scale = self.scores[1] - self.scores[0]
            gap = (window["score_real"].mean() - window["score_fake"].mean()) / scale
            gradient = np.median(window.get("grad_g", np.inf))
            starved = gradient < NO_GRADIENT and gap > 0.5  # a D that cannot tell has little gradient to give either
            won = np.median(loss_d) < WON_LOSS or gap > WON_GAP or starved
            found += self._report(
                row["step"], Message("D has won"), won,
                Message("its loss is {loss:.4f}, its score of real images {gap:.3f} above that of fakes, and the "
                        "gradient that reaches G is {gradient:.2g}. Take earlier weights, or give D a smaller learning "
                        "rate", loss=np.median(window["loss_d"]), gap=gap, gradient=gradient),
            )  # fmt: skip
            found += self._report(
                row["step"], Message("D answers the wrong way round"), gap < WRONG_WAY,
                Message("its score of real images is {gap:.2f} below that of fakes. Check the targets: 1 is real, 0 is "
                        "fake", gap=-gap),
            )  # fmt: skip
            found += self._report(
                row["step"], Message("the loss stands still"), loss_d.std() < STILL * abs(loss_d.mean()),
                Message("D's loss has been {loss:.3f} for {steps} steps (chance is {chance:.3f}): nothing is being "
                        "learned. Check the learning rate and the data",
                        loss=window["loss_d"].mean(), steps=WINDOW, chance=self.chance),
            )  # fmt: skip
            worst = np.quantile(loss_d, 0.95)
            off, usually = (max(loss, 0) ** (1 / self.power) for loss in (worst, np.median(loss_d)))
            high = off > LEAP_OVER * usually or usually > LEAP  # now and then, or mostly: then D is worse than chance
            leaps = row["step"] >= LEAP_WARM_UP and off > LEAP and high
            found += self._report(
                row["step"], Message("D's loss leaps"), leaps,
                Message("one step in twenty is above {worst:.1f}, against {chance:.1f} by chance: D's updates "
                        "overshoot. Give D a smaller learning rate", worst=worst * self.chance, chance=self.chance),
            )  # fmt: skip
        return found

    def check_samples(self, step: int, images: np.ndarray) -> list[dict]:
        """What begins to be wrong with a batch of samples `[N, C, H, W]`, all drawn from noise."""
        ratio = (
            pixel_std(images) / self.real_spread if self.real_spread else 1
        )  # real ones that are all alike: so be it
        self.spreads.append((step, ratio))
        while len(self.spreads) > 1 and self.spreads[1][0] <= step - WINDOW:  # the first is the last that old
            self.spreads.pop(0)
        before, then = self.spreads[0]
        stays = before <= step - WINDOW and ratio <= GROWTH * then
        return self._report(
            step, Message("the samples collapse"), step >= self.begin + SAMPLES_WARM_UP and ratio < SPREAD and stays,
            Message("they differ from each other {ratio:.0%} as much as real images do: G generates nearly the same "
                    "for every latent vector. Take earlier weights, or another seed", ratio=ratio),
        )  # fmt: skip

    def check_classes(self, step: int, shares: list[float], real: list[float]) -> list[dict]:
        """What begins to be wrong with the shares of the classes among many samples; `real`: among real images."""
        what = Message("digits are missing") if self.classes == "digits" else Message("classes are missing")
        common = [digit for digit, share in enumerate(real) if share >= COMMON]
        missing = [digit for digit in common if shares[digit] < RARE]
        return self._report(
            step, what, step >= self.begin + CLASSES_WARM_UP and 2 * len(missing) >= len(common),
            Message("less than {rare:.0%} of the samples are a {missing}: mode collapse",
                    rare=RARE, missing=", ".join(map(str, missing))),
        )  # fmt: skip

    def _report(self, step: int, trouble: Message, now: bool, advice: Message) -> list[dict]:
        if not now:
            self.ongoing.discard(trouble)
            return []
        if trouble in self.ongoing:
            return []
        self.ongoing.add(str(trouble))  # which checkpoints keep
        self._times_said[trouble] += 1
        if self._times_said[trouble] > TIMES:
            return []
        return [{"step": step, "trouble": trouble, "advice": advice}]


def what_classes(dataset: str) -> str:
    """What the ten classes of a data set are: `digits`, or just `classes`, known by their numbers."""
    return "digits" if dataset in ("mnist", "digits") else "classes"


def pixel_std(images: np.ndarray) -> float:
    """How much images `[N, C, H, W]` differ from each other: the standard deviation of a pixel, all pixels together."""
    return float(np.sqrt(images.var(axis=0).mean()))
