"""The health watch: runs made sick on purpose are named, healthy ones are left in peace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from common import data
from common.health import SAMPLES_WARM_UP, WARM_UP, WINDOW, Health, spread
from tests.conftest import call, make_gan
from tests.sick import g_frozen, labels_swapped


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return data.load("digits").images


def sick(family: str, digits: np.ndarray, make_sick, steps: int) -> list[dict]:
    """What the watch says of `steps` steps of 4 images, up to the first trouble."""
    gan = make_gan(family)
    make_sick(gan)
    health = Health(spread(digits[:1000]))
    for step in range(steps):
        rng = np.random.default_rng(step)
        real = paddle.to_tensor(digits[rng.integers(0, len(digits), 4)])
        values = {name: float(value) for name, value in gan.update(real, rng, step).items()}
        if found := health.look_at_steps([{"step": step, "epoch": 0, "batch": step, **values}]):
            return found
    return []


@pytest.mark.parametrize(
    ("family", "make_sick", "trouble"),
    [
        ("dcgan", g_frozen, "D has won"),
        ("lsgan", labels_swapped, "D answers the wrong way round"),
    ],
)
def test_sick_runs_are_named(family, make_sick, trouble, digits):
    found = sick(family, digits, make_sick, WARM_UP + 120)
    assert [line["trouble"] for line in found] == [trouble]
    assert WARM_UP <= found[0]["step"] < WARM_UP + 120


def rows(loss_d: list[float], real: float = 0.9, fake: float = 0.1, start: int = 0) -> list[dict]:
    return [
        {"step": start + i, "epoch": 0, "batch": 0, "loss_d": value, "loss_g": 1.0, "grad_g": 1.0,
         "score_real": real, "score_fake": fake}
        for i, value in enumerate(loss_d)
    ]  # fmt: skip


def test_each_trouble_is_said_once_and_again_when_it_comes_back():
    health = Health(1.0)
    healthy, won = list(np.linspace(0.2, 0.6, 400)), [0.001, 0.002] * 200
    said = [health.look_at_steps(rows(values, start=400 * i)) for i, values in enumerate((healthy, won, healthy, won))]
    assert [[line["trouble"] for line in lines] for lines in said] == [[], ["D has won"], [], ["D has won"]]
    begins = said[1][0]["step"]
    assert 400 + WINDOW / 2 - 10 <= begins <= 400 + WINDOW / 2 + 20  # the median turns in the middle of the window


def test_a_loss_that_stands_still():
    found = Health(1.0).look_at_steps(rows([0.5] * (WARM_UP + 10), real=0.5, fake=0.49))
    assert [line["trouble"] for line in found] == ["the loss stands still"]
    assert "0.500" in found[0]["advice"]


def test_collapsed_samples(digits):
    health = Health(spread(digits[:1000]))
    one = np.repeat(digits[:1], 64, axis=0)
    blurred = one + np.random.default_rng(0).normal(0, 0.05, one.shape).astype(np.float32)
    assert health.look_at_samples(100, blurred) == []  # the first steps of any run look like this
    assert health.look_at_samples(SAMPLES_WARM_UP, digits[:64]) == []
    (found,) = health.look_at_samples(SAMPLES_WARM_UP + 100, blurred)
    assert found["trouble"] == "the samples collapse"


def test_missing_digits():
    health = Health(1.0)
    assert health.look_at_classes(56, [1.0] + [0.0] * 9) == []  # the first epoch of digits
    assert health.look_at_classes(5000, [0.1] * 10) == []
    (found,) = health.look_at_classes(7000, [0.2] * 5 + [0.0] * 5)
    assert "5, 6, 7, 8, 9" in found["advice"]


def test_what_is_said_is_seen_and_kept(tmp_path):
    """By the command itself: G that cannot follow, for its learning rate is as good as none."""
    script = (Path(__file__).parent / "toy.py").read_text()
    assert 'run("lsgan", build)' in script
    make_sick = """    gan.optimizers["generator"].set_lr(0.0)
    gan.optimizers["discriminator"].set_lr(0.02)
    return gan


if __name__"""
    script = script.replace("    return GAN(", "    gan = GAN(").replace("if __name__", make_sick)
    script = script.replace("Path(__file__).resolve().parents[1]", repr(str(Path(__file__).parents[1])))
    toy = tmp_path / "toy.py"
    toy.write_text(script)
    done = call(toy, "--dataset", "digits", "--max-steps", "600", "--eval-every", "0", "--output-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("D has won") == 1
    lines = (tmp_path / "run/metrics.jsonl").read_text()
    assert lines.count("D has won") == 1

    from visualdl import LogReader

    assert "text" in LogReader(file_path=str(tmp_path / "run/vdlrecords.run.log")).get_tags()


def replay(name: str) -> list[dict]:
    """What the watch says of a recorded run, its every step, its samples and what the judge saw in them."""
    with np.load(Path(__file__).parent / "data" / f"{name}.npz") as recorded:
        columns = {key: recorded[key] for key in recorded.files}
    spreads = {int(step): ratio for step, ratio in columns.pop("spread")}
    classes = {int(step): shares for step, *shares in columns.pop("classes", [])}
    health, said = Health(1.0), []
    for step, values in enumerate(zip(*columns.values())):
        said += health.look_at_steps([{"step": step, "epoch": 0, "batch": 0, **dict(zip(columns, values))}])
        if step in spreads:
            said += health.look_at_samples(step, spreads[step] * CHECKERS)
        if step in classes:
            said += health.look_at_classes(step, classes[step])
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
