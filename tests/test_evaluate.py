"""The judge at work: in the command, in training, and on what it must refuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from common import data
from common.evaluate import Reference, anchors
from common.judge import FOLDER, load_judge, load_record, look
from tests.conftest import call

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_judges_are_what_their_record_says(dataset):
    record = load_record(dataset)
    content = (FOLDER / f"{dataset}.params").read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert len(content) < 2_000_000
    assert record["accuracy"] >= {"mnist": 0.993, "digits": 0.97}[dataset]
    assert sum(int(p.size) for p in load_judge(dataset).parameters() if not p.stop_gradient) == 225_194


def test_the_digits_judge_reaches_its_accuracy():
    images, labels, _ = data.load_labelled("digits", "test")
    accuracy = (look(load_judge("digits"), images).classes == labels).mean()
    assert accuracy == pytest.approx(load_record("digits")["accuracy"], abs=0.003)


def test_the_mnist_judge_reaches_its_accuracy(real_mnist):
    images, labels, _ = data.load_labelled("mnist", "test", str(real_mnist))
    assert (look(load_judge("mnist"), images).classes == labels).mean() >= 0.993


def test_the_split_of_digits_leaves_nothing_out_and_nothing_twice():
    train, _, _ = data.load_labelled("digits", "train")
    test, _, _ = data.load_labelled("digits", "test")
    assert len(train) + len(test) == 1797
    rows = {image.tobytes() for image in np.concatenate([train, test])}
    assert rows == {image.tobytes() for image in data.load("digits").images}


def test_anchors_are_floor_and_ceiling():
    images, _, checksum = data.load_labelled("digits", "train")
    unseen, _, _ = data.load_labelled("digits", "test")
    reference = Reference("digits", images, checksum)
    found = anchors(reference, unseen, samples=400)
    real, ones, noise = found["real, unseen"], found["real, only 1s"], found["noise"]
    for key in ("frechet", "kernel", "class_distance"):
        assert real[key] < ones[key]
        assert real[key] < noise[key]
    assert real["precision"] > 0.6 > noise["precision"]
    assert real["recall"] > 0.6 > ones["recall"]
    assert ones["precision"] > 0.6  # perfect images of one digit: only diversity is missing
    assert real["score"] > 7 > ones["score"]
    itself = reference.compare(reference.seen)
    assert itself["frechet"] == pytest.approx(0, abs=1e-3)
    assert (itself["precision"], itself["recall"], itself["class_distance"], itself["nearest"]) == (1, 1, 0, 0)


def test_what_the_judge_saw_is_kept_and_a_damaged_copy_is_not_trusted(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, _, checksum = data.load_labelled("digits", "train")
    first = Reference("digits", images, checksum).seen.features
    (kept,) = tmp_path.rglob("*.npz")
    for content in (b"", b"PK\x03\x04 not a zip", kept.read_bytes()[:-100]):
        kept.write_bytes(content)
        assert (Reference("digits", images, checksum).seen.features == first).all()
    assert kept.stat().st_size > 1000


TOY = ["tests/toy.py", "--dataset", "digits", "--threads", "1", "--output-dir"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Path:
    """A run of two epochs and a little, judged after each."""
    folder = tmp_path_factory.mktemp("judged")
    done = call(*TOY, folder, "--max-steps", "120", XDG_CACHE_HOME=str(tmp_path_factory.getbasetemp() / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Fréchet distance") == 2
    return folder


def test_judging_leaves_the_training_alone(judged, tmp_path):
    assert call(*TOY, tmp_path, "--max-steps", "120", "--eval-every", "0").returncode == 0
    for name in ("generator.params", "discriminator.params", "generator_ema.params", "losses.csv"):
        assert (tmp_path / name).read_bytes() == (judged / name).read_bytes()

    lines = [json.loads(line) for line in (judged / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines if "raw" in line] == [(56, 0), (113, 1)]
    assert (judged / "generator_best.params").exists()
    assert not (tmp_path / "generator_best.params").exists()

    from visualdl import LogReader

    reader = LogReader(file_path=str(judged / "vdlrecords.run.log"))
    assert [point.id for point in reader.get_data("scalar", "metric/frechet")] == [56, 113]
    assert {"metric/recall", "metric/frechet EMA", "grad/G"} <= set(reader.get_tags()["scalar"])


def test_resume_judges_every_epoch_once(judged, tmp_path):
    for steps in ("70", "120"):
        assert call(*TOY, tmp_path, "--max-steps", steps, "--resume").returncode == 0
    for name in ("metrics.jsonl", "generator_best.params"):
        assert (judged / name).read_bytes() == (tmp_path / name).read_bytes()


def test_no_judge_for_other_data_is_a_note_not_an_end(tmp_path, mnist_dir):
    done = call("tests/toy.py", "--data-dir", mnist_dir, "--epochs", "3", "--output-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: no metrics: the judge knows mnist") == 1
    done = call("-m", "common.evaluate", tmp_path / "run", "--data-dir", mnist_dir)
    assert done.returncode == 2
