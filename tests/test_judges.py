"""Judges of other data sets than digits: their channels, their record, and what is said where there is none."""

from __future__ import annotations

import json
from types import SimpleNamespace

from commands import train_judge
from common import data
from common.data import as_float
from common.errors import DONE, UserError
from common.judging import judge as judges
from common.judging import reference
from common.judging.judge import Judge, classify, load_judge
from common.judging.reference import Reference
from common.run.recorder import Examiner
from tests.conftest import check_refused

import numpy as np
import pytest

RNG = np.random.default_rng(0)


def test_judges_have_the_channels_of_their_record():
    assert load_judge("mnist").in_channels == 1
    with pytest.raises(UserError, match="this judge sees 1 channels, the images have 3"):
        classify(load_judge("mnist"), np.zeros((2, 3, 32, 32), np.float32))
    images = RNG.integers(0, 256, (3, 3, 40, 40), dtype=np.uint8)
    judge = Judge(3)
    judge.eval()
    of_bytes, of_floats = classify(judge, images), classify(judge, as_float(images))
    np.testing.assert_allclose(of_bytes.features, of_floats.features, atol=1e-6)
    assert of_bytes.probabilities.shape == (3, 10)


def test_cifar10s_judge_is_small_and_says_what_it_reaches():
    judge, record = load_judge("cifar10"), judges.load_record("cifar10")
    assert judge.in_channels == 3
    assert (judges.FOLDER / "cifar10.params").stat().st_size <= 2e6
    assert record["accuracy"] >= 0.8
    assert record["unseen images"] == 10_000


def test_without_a_judge_a_run_says_once_how_to_get_one(capsys):
    dataset = data.Dataset("kmnist", np.zeros((3, 1, 32, 32), np.float32), "md5:0")
    examiner = Examiner(dataset)
    for _ in range(2):
        assert examiner.examine(None) is None
    said = capsys.readouterr()
    assert said.out == ""
    assert "no judge for kmnist; python -m commands.train_judge --dataset kmnist" in said.err
    assert said.err.count("\n") == 1
    Examiner(dataset._replace(name="folder", judge="folder-of-three")).examine(None)
    said = capsys.readouterr()
    assert "3 pictures are too few to compare with" in said.err
    assert "looks at" not in said.out


@pytest.mark.parametrize("content", ["{", "[]", '{"digits": 5}', '{"digits": {"sha256": "0"}}'])
def test_a_damaged_record_is_named(tmp_path, monkeypatch, content):
    (tmp_path / "record.json").write_text(content)
    monkeypatch.setattr(judges, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"record\.json: damaged"):
        judges.load_record("digits")


def test_a_copy_of_cifar10_is_judged_and_a_stranger_is_not(monkeypatch, tmp_path):
    """Its pixels are not the official ones, so that the record cannot name everyone's."""
    even = np.tile(np.eye(10, dtype=np.float32), (30, 1))
    seen = judges.Judged(RNG.normal(size=(300, 64)).astype(np.float32), even)
    monkeypatch.setattr(reference, "load_judge", lambda name: None)
    monkeypatch.setattr(reference, "classify", lambda judge, images: seen)
    images = np.zeros((300, 3, 32, 32), np.uint8)
    record = {"data": "md5:ours", "sha256": "x", "copies": True}
    monkeypatch.setattr(reference, "load_record", lambda name: record)
    assert Reference("cifar10", images, "md5:theirs").shares.tolist() == [0.1] * 10
    seen.probabilities = np.roll(even, 1, axis=1) * 0 + np.eye(10, dtype=np.float32)[3]
    with pytest.raises(UserError, match=r"the judge knows cifar10 .*not these images .*commands.train_judge"):
        Reference("cifar10", images, "md5:noise")
    record["copies"] = False
    with pytest.raises(UserError, match="the judge knows cifar10"):
        Reference("cifar10", images, "md5:theirs")


@pytest.mark.parametrize("dataset", ["mnist", "digits", "cifar10"])
def test_a_judge_sees_what_is_worse_and_worse_farther_and_farther(dataset, request):
    """Noise, one class and blurred images, from the real ones."""
    folder = None if dataset == "digits" else request.getfixturevalue(f"real_{dataset}")
    images, labels, _ = data.load_labelled(dataset, "train", folder and str(folder))
    tried = train_judge.trial(load_judge(dataset), images, labels)
    assert train_judge.is_fit(tried), tried
    half, hazy, one_class, noise = tried.values()
    assert noise["frechet"] > 1.2 * one_class["frechet"] > 1.2**2 * hazy["frechet"] > 10 * half["frechet"]
    assert noise["precision"] < 0.01
    assert one_class["precision"] > hazy["precision"]


def test_a_judge_that_takes_noise_for_real_is_not_kept(tmp_path, monkeypatch, say):
    images = RNG.integers(0, 256, (120, 3, 32, 32), dtype=np.uint8)
    monkeypatch.setattr(judges, "FOLDER", tmp_path)
    monkeypatch.setattr(data, "load_labelled", lambda *_: (images, np.arange(120) % 10, "md5:x"))
    said = say(train_judge.main, "--dataset", "cifar10", "--epochs", "1")
    check_refused(said, "cifar10: unfit")
    assert list(tmp_path.iterdir()) == []


def test_a_judge_of_labels_with_few_1s_and_none_of_one_label(tmp_path, monkeypatch, say):
    """Its trial compares all images with those of one class: the 1s, but not all sets like MNIST have some."""
    images, labels = RNG.integers(0, 256, (120, 3, 32, 32), dtype=np.uint8), np.full(120, 7)
    monkeypatch.setattr(judges, "FOLDER", tmp_path)
    monkeypatch.setattr(data, "load_labelled", lambda *_: (images, labels, "md5:x"))
    refused = say(train_judge.main, "--dataset", "cifar10", "--epochs", "1")
    check_refused(refused, "--dataset cifar10: 120 pictures, 0 of the second largest class, are too few for a judge")
    labels[:20], labels[20:23] = 3, 1
    check_refused(say(train_judge.main, "--dataset", "cifar10", "--epochs", "1"), "cifar10: unfit")


def test_a_judge_is_trained_in_colour(tmp_path, monkeypatch):
    images = RNG.integers(0, 256, (120, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(120) % 10
    monkeypatch.setattr(judges, "FOLDER", tmp_path)
    monkeypatch.setattr(train_judge, "is_fit", lambda tried: True)  # after one epoch on noise it is not
    monkeypatch.setattr(data, "load_labelled", lambda *_: (images, labels, "md5:x"))
    content = []
    for _ in range(2):
        assert train_judge.main(["--dataset", "cifar10", "--epochs", "1"]) == DONE
        content.append((tmp_path / "cifar10.params").read_bytes())
    assert content[0] == content[1]  # the same command makes the same judge
    record = json.loads((tmp_path / "record.json").read_text())["cifar10"]
    assert record["in_channels"] == 3
    assert record["data"] == "md5:x"
    assert load_judge("cifar10").in_channels == 3


def test_the_average_is_judged_by_its_own_pictures():
    examiner = Examiner(data.Dataset("digits", np.zeros((1, 1, 1, 1)), ""))

    def same(pictures: str) -> str:
        return pictures

    examiner.reference = SimpleNamespace(see=same, compare=same, judge_images=same)

    def sample(z: int, ema: bool = False) -> str:
        return "ema" if ema else "raw"

    game = SimpleNamespace(ema=True, population=lambda rng, count: 0, sample=sample)
    assert examiner.examine(game) == {"raw": "raw", "ema": "ema"}
