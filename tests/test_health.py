"""The health watch: runs made sick on purpose are named, healthy ones are left in peace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

from common import data
from common.gan import GAN
from common.run.families import builder
from common.run.health import SAMPLES_WARM_UP, WARM_UP, WINDOW, Health, pixel_std
from common.run.runs import load_troubles
from common.train import run
from tests import toy
from tests.conftest import here
from tests.sick import g_frozen, labels_swapped

import numpy as np
import pytest
from visualdl import LogReader

CHANCE, POWER = {"dcgan": 1.386, "lsgan": 0.5}, {"dcgan": 1, "lsgan": 2}


def watch(
    real_spread: float = 1.0,
    scores: tuple[float, float] | None = (0.0, 1.0),
    chance: float | None = CHANCE["dcgan"],
    power: int = 1,
) -> Health:
    return Health(real_spread, scores, chance, power=power)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return data.load("digits").images


def sick_toy(make_sick: Callable[[GAN], None]) -> Callable[..., GAN]:
    """The toy's `build`, with something done to what it builds."""

    def build(**settings: float) -> GAN:
        gan = toy.build(**settings)
        gan.optimizers["discriminator"].set_lr(0.02)
        make_sick(gan)
        return gan

    return build


@pytest.mark.parametrize(
    ("make_sick", "trouble"), [(g_frozen, "D has won"), (labels_swapped, "D answers the wrong way round")]
)
def test_what_is_said_is_seen_and_kept(make_sick, trouble, tmp_path, say):
    """By the loop itself: G that cannot follow, and targets that are swapped."""
    flags = ["--dataset", "digits", "--max-steps", 440, "--eval-every", 0, "--threads", 1, "--output-dir", tmp_path]
    said = say(lambda given: run("lsgan", sick_toy(make_sick), given), *flags)
    assert said.status == 0, said.err
    found = load_troubles(tmp_path)
    assert [line["trouble"] for line in found].count(trouble) == 1
    assert found[0]["trouble"] == trouble
    assert WARM_UP <= found[0]["step"] < WARM_UP + 120
    assert said.out.count(f"!!! step {found[0]['step']}: {trouble}: ") == 1
    assert "text" in LogReader(file_path=str(tmp_path / "vdlrecords.run.log")).get_tags()


def rows(loss_d: list[float], real: float = 0.9, fake: float = 0.1, start: int = 0) -> list[dict]:
    return [
        {"step": start + i, "epoch": 0, "batch": 0, "loss_d": value, "loss_g": 1.0, "grad_g": 1.0,
         "score_real": real, "score_fake": fake}
        for i, value in enumerate(loss_d)
    ]  # fmt: skip


HEALTHY, WON = list(np.linspace(0.2, 0.6, 400)), [0.001, 0.002] * 200


def troubles(health: Health, parts: list[list[float]], start: int = 0) -> list[list[str]]:
    """What `health` says of parts of a run, each of 400 losses of D."""
    said = [health.check_steps(rows(values, start=start + 400 * i)) for i, values in enumerate(parts)]
    return [[line["trouble"] for line in lines] for lines in said]


def test_each_trouble_is_said_when_it_begins_and_when_it_is_back_and_then_no_more():
    parts = [HEALTHY, WON, HEALTHY, WON, HEALTHY, WON, HEALTHY, WON]
    assert troubles(watch(), parts) == [[], ["D has won"], [], ["D has won"], [], [], [], []]


def test_a_trouble_is_said_at_the_step_it_begins():
    health = watch()
    health.check_steps(rows(HEALTHY))
    (said,) = health.check_steps(rows(WON, start=400))
    # the median turns in the middle of the window
    assert 400 + WINDOW / 2 - 10 <= said["step"] <= 400 + WINDOW / 2 + 20


def test_a_resumed_run_remembers_what_was_said():
    """What goes on is no news, and what was said twice before is not said a third time."""
    first = watch()
    said = [line for i, part in enumerate((HEALTHY, WON)) for line in first.check_steps(rows(part, start=400 * i))]
    second = watch()
    second.resume(rows(WON, start=400), sorted(first.ongoing), said, first.spreads)
    assert troubles(second, [WON, HEALTHY, WON, HEALTHY, WON], 800) == [[], [], ["D has won"], [], []]


def test_a_critic_without_a_scale_is_not_misread(digits):
    """Its scores may lie anywhere and its loss is no distance from chance; but a collapse is a collapse."""
    health = watch(pixel_std(digits[:1000]), None, None)
    for losses in (WON, [-40.0] * 400, HEALTHY):
        assert health.check_steps(rows(losses * 2, real=-7.0, fake=900.0)) == []
    one = np.repeat(digits[:1], 64, axis=0)
    assert health.check_samples(SAMPLES_WARM_UP, one) == []
    assert health.check_samples(SAMPLES_WARM_UP + WINDOW, one) != []


def test_no_scores_are_no_trouble():
    """A family may leave the scores out, whatever scale it has."""
    bare = [{key: row[key] for key in ("step", "epoch", "batch", "loss_d", "loss_g")} for row in rows(WON)]
    assert watch().check_steps(bare) == []


def test_the_gap_is_measured_on_the_familys_scale():
    """Targets of -1 and 1: a gap of 1 is half of it, and healthy."""
    half = rows(HEALTHY, real=0.5, fake=-0.5)
    assert troubles(watch(), [HEALTHY]) == [[]]
    assert watch(scores=(-1.0, 1.0)).check_steps(half) == []
    assert [line["trouble"] for line in watch().check_steps(half)] == ["D has won"]


def test_a_loss_that_is_high_throughout_does_not_leap():
    """LSGAN's with `--penalty 10 --learning-rate 0.001` on digits: no step throws D over."""
    high = list(0.5 * np.tile([0.8, 0.8, 0.8, 0.8, 3.0], 120))
    assert watch(chance=CHANCE["lsgan"], power=2).check_steps(rows(high, real=0.5, fake=0.4)) == []


@pytest.mark.parametrize(("off", "said"), [(1.8, []), (2.5, ["D's loss leaps"]), (30.0, ["D's loss leaps"])])
@pytest.mark.parametrize("power", [1, 2])
def test_a_leap_is_measured_by_how_far_d_is_off(power, off, said):
    """A score twice as far off doubles the cross-entropy of a logit, and makes a square four times as large."""
    losses = CHANCE["lsgan"] * np.tile([0.5, 0.5, 0.5, 0.5, off], 120) ** power
    found = watch(chance=CHANCE["lsgan"], power=power).check_steps(rows(list(losses), real=0.5, fake=0.4))
    assert [line["trouble"] for line in found] == said


@pytest.mark.parametrize("power", [1, 2])
def test_a_d_that_is_worse_than_chance_nearly_always_is_named(power):
    """No step stands out: each is that far off."""
    losses = CHANCE["lsgan"] * np.tile([20.0, 30.0, 40.0], 200) ** power
    (found,) = watch(chance=CHANCE["lsgan"], power=power).check_steps(rows(list(losses), real=0.5, fake=0.4))
    assert found["trouble"] == "D's loss leaps"


@pytest.mark.parametrize(("name", "power"), [("dcgan", 1), ("fc_gan", 1), ("lsgan", 2), ("cyclegan", 2)])
def test_a_game_says_how_its_loss_grows(name, power):
    """`power` decides what counts as a leap, so that each family has to say its own."""
    assert builder(name)().power == power


@pytest.mark.parametrize(("real", "fake", "said"), [(0.49, 0.51, []), (0.2, 0.8, ["D answers the wrong way round"])])
def test_a_d_that_hardly_tells_is_not_the_wrong_way_round(real, fake, said):
    """StackGAN's at a good G: what is left for it are real images with wrong labels, which are not among the fakes."""
    losses = rows(list(np.linspace(1.0, 1.2, 400)), real=real, fake=fake)
    assert [line["trouble"] for line in watch().check_steps(losses)] == said


@pytest.mark.parametrize(("real", "fake", "said"), [(0.52, 0.48, []), (0.95, 0.05, ["D has won"])])
def test_a_small_gradient_means_that_d_has_won_only_where_d_can_tell(real, fake, said):
    """With `--penalty` D is nearly flat and answers nearly a half: G's gradient is small, and nobody has won."""
    small = [{**row, "grad_g": 0.05} for row in rows(list(np.linspace(1.2, 1.4, 400)), real=real, fake=fake)]
    assert [line["trouble"] for line in watch().check_steps(small)] == said


@pytest.mark.parametrize("chance", [1.386, 0.693, 0.5])
def test_a_loss_is_measured_by_chance_which_the_family_says(chance):
    """What holds for DCGAN's cross-entropy holds for half of it, FC-GAN's, and for LSGAN's squares."""
    still, small, leaping = np.ones(600), np.tile([0.001, 0.003], 300), np.tile([0.3, 0.3, 0.3, 0.3, 2.0], 120)
    for share, trouble in ((still, "the loss stands still"), (small, "D has won"), (leaping, "D's loss leaps")):
        (found,) = watch(chance=chance).check_steps(rows(list(chance * share), real=0.5, fake=0.49))
        assert found["trouble"] == trouble
        if share is not small:
            assert re.search(rf"(chance is {chance:.3f}|against {chance:.1f} by chance)\b", found["advice"])


def test_collapsed_samples(digits):
    health = watch(pixel_std(digits[:1000]))
    one = np.repeat(digits[:1], 64, axis=0)
    blurred = one + np.random.default_rng(0).normal(0, 0.05, one.shape).astype(np.float32)
    assert health.check_samples(100, blurred) == []  # the first steps of any run look like this
    assert health.check_samples(SAMPLES_WARM_UP, digits[:64]) == []
    (found,) = health.check_samples(SAMPLES_WARM_UP + WINDOW, blurred)
    assert found["trouble"] == "the samples collapse"


def test_of_a_second_stages_generator_the_first_steps_are_its_own(digits):
    """StackGAN's first 2,000 updates are those of another one."""
    blurred, shares, real = 0.1 * digits[:64], [1.0] + [0.0] * 9, [0.1] * 10
    late, at_once = Health(1.0, (0.0, 1.0), 1.386, begin=2000), watch()
    for health, found in ((late, 0), (at_once, 1)):
        assert health.check_samples(2100, blurred) == []
        assert len(health.check_samples(2100 + WINDOW, blurred)) == found
        assert len(health.check_classes(2100 + WINDOW, shares, real)) == found


def test_a_slow_start_is_no_collapse(digits):
    """LSGAN's samples are grey for a thousand steps, and less alike at each look. Once they stay alike, it is said; a
    run that was resumed in between knows what they were."""
    health = watch(pixel_std(digits[:1000]))
    steps, shares = range(0, 1100, 100), [0.01, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28]
    for step, share in zip(steps, shares):
        assert health.check_samples(step, share * digits[:64]) == []
    resumed = watch(pixel_std(digits[:1000]))
    resumed.resume([], [], [], health.spreads)
    assert resumed.check_samples(1100, 0.29 * digits[:64]) == []  # 0.26 two hundred steps ago
    (found,) = resumed.check_samples(1200, 0.29 * digits[:64])
    assert found["trouble"] == "the samples collapse"


@pytest.mark.parametrize(("judged_from", "said"), [(0, ["the samples collapse"]), (1000, [])])
def test_it_looks_at_samples_and_not_at_the_grid(judged_from, said, tmp_path, monkeypatch):
    """BiGAN's grid is half real images; and what draws may not be trained from the start, as StackGAN's."""

    def build(**settings: float) -> GAN:
        gan = toy.build(**settings)
        gan.generator[-2].weight.set_value(0 * gan.generator[-2].weight)  # one grey picture, whatever the noise
        gan.optimizers["generator"].set_lr(0.0)
        gan.show = lambda batch: batch.images.numpy()
        gan.judged_from = judged_from
        return gan

    monkeypatch.setattr("common.run.health.SAMPLES_WARM_UP", 10)
    monkeypatch.setattr("common.run.health.WINDOW", 10)
    flags = ["--dataset", "digits", "--max-steps", 25, "--sample-every", 10, "--threads", 1, "--output-dir", tmp_path]
    assert here(lambda given: run("lsgan", build, given), *flags) == 0
    assert [line["trouble"] for line in load_troubles(tmp_path)] == said


def test_the_judge_says_that_digits_are_missing(tmp_path, monkeypatch):
    """Of a generator that draws one picture."""

    def build(**settings: float) -> GAN:
        gan = toy.build(**settings)
        gan.generator[-2].weight.set_value(0 * gan.generator[-2].weight)
        gan.optimizers["generator"].set_lr(0.0)
        return gan

    monkeypatch.setattr("common.run.health.CLASSES_WARM_UP", 10)
    monkeypatch.setattr("common.run.recorder.Examiner.SAMPLES", 100)
    flags = ["--dataset", "digits", "--max-steps", 29, "--batch-size", 64, "--threads", 1, "--output-dir", tmp_path]
    assert here(lambda given: run("lsgan", build, given), *flags) == 0
    (said,) = load_troubles(tmp_path)
    assert (said["trouble"], said["step"]) == ("digits are missing", 28)


def test_each_grid_is_of_the_same_noise(tmp_path):
    seen = []

    def build(**settings: float) -> GAN:
        gan = toy.build(**settings)
        gan.show = lambda batch: seen.append(batch.drawn(gan.latent)) or batch.images.numpy()
        return gan

    flags = ["--dataset", "digits", "--max-steps", 3, "--sample-every", 1, "--eval-every", 0, "--output-dir", tmp_path]
    assert here(lambda given: run("lsgan", build, given), *flags) == 0
    assert len(seen) == 3
    for noise in seen:
        np.testing.assert_array_equal(noise, seen[0])


def test_missing_digits():
    health = watch()
    assert health.check_classes(56, [1.0] + [0.0] * 9, EVEN) == []  # the first epoch of digits
    assert health.check_classes(5000, EVEN, EVEN) == []
    (found,) = health.check_classes(7000, [0.2] * 5 + [0.0] * 5, EVEN)
    assert "5, 6, 7, 8, 9" in found["advice"]


def test_classes_that_there_are_not_are_not_missed():
    """Of one's own pictures there may be three, one of them rare."""
    health, mine = watch(), [0.6, 0.38, 0.02] + [0.0] * 7
    assert health.check_classes(5000, [0.5, 0.5] + [0.0] * 8, mine) == []
    (found,) = health.check_classes(7000, [1.0] + [0.0] * 9, mine)
    assert "are a 1: mode collapse" in str(found["advice"])


EVEN = [0.1] * 10


def replay(name: str) -> list[dict]:
    """What the watch says of a recorded run, its every step, its samples and what the judge saw in them."""
    family = name.split("-")[1]
    with np.load(Path(__file__).parent / "data" / f"{name}.npz") as recorded:
        columns = {key: recorded[key] for key in recorded.files}
    spreads = {int(step): ratio for step, ratio in columns.pop("spread")}
    classes = {int(step): shares for step, *shares in columns.pop("classes", [])}
    health, said = watch(chance=CHANCE[family], power=POWER[family]), []
    for step, values in enumerate(zip(*columns.values())):
        said += health.check_steps([{"step": step, "epoch": 0, "batch": 0, **dict(zip(columns, values))}])
        if step in spreads:
            said += health.check_samples(step, spreads[step] * CHECKERS)
        if step in classes:
            said += health.check_classes(step, classes[step], EVEN)
    return said


CHECKERS = np.stack([np.ones((1, 2, 2)), -np.ones((1, 2, 2))])  # two images whose spread is 1


@pytest.mark.parametrize(
    ("kind", "family", "troubles"),
    [
        ("d-too-fast", "dcgan", ["D's loss leaps"]),
        ("d-too-fast", "lsgan", ["D's loss leaps", "the samples collapse"]),
        ("g-frozen", "dcgan", ["D has won", "the samples collapse"]),
        ("g-frozen", "lsgan", ["D has won", "the samples collapse"]),
        ("labels-swapped", "dcgan", ["D answers the wrong way round"]),
        ("labels-swapped", "lsgan", ["D answers the wrong way round"]),
        ("batchnorm-off", "dcgan", ["the samples collapse"]),
        ("batchnorm-off", "lsgan", ["D has won", "the samples collapse"]),
    ],
)
def test_every_sick_run_is_named(kind, family, troubles):
    """Real runs on MNIST, made sick and recorded by `tests/sick.py`."""
    said = replay(f"sick-{family}-{kind}")
    assert [line["trouble"] for line in said] == troubles
    assert all(line["step"] <= 500 for line in said)


def test_no_false_alarm_over_five_healthy_epochs(family):
    """`MNIST_DIR=… python FAMILY/train.py --epochs 5 --threads 1 --sample-every 250`, recorded to 4 digits."""
    assert replay(f"healthy-{family}") == []


def test_the_courses_lsgan_leaps_now_and_then_and_nothing_is_wrong():
    """`MNIST_DIR=… python lsgan/train.py --threads 1`, its first 3,000 steps: digits at five epochs."""
    assert replay("healthy-lsgan-leaps") == []
