"""The judge at work: in the command, in training, and on what it must refuse."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

from commands import evaluate
from common import data
from common.errors import UserError
from common.files import finding
from common.files.atomic import append
from common.judging import metrics
from common.judging.judge import FOLDER, classify, load_judge, load_record
from common.judging.metrics import psnr
from common.judging.reference import Reference, floor_and_ceiling
from common.run.artifacts import save_params
from common.run.families import builder
from common.run.runs import best_distance, load_metrics
from tests.conftest import ROOT, check_refused, train
from tests.runs import JUDGED
from zoo.shared.digits import rarest_digit

import numpy as np
import pytest
from visualdl import LogReader


def table_of(said: str) -> list[str]:
    """The lines of the table."""
    return [line for line in said.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_judges_are_what_their_record_says(dataset):
    record = load_record(dataset)
    content = (FOLDER / f"{dataset}.params").read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert len(content) < 2_000_000
    assert record["accuracy"] >= {"mnist": 0.993, "digits": 0.97}[dataset]
    assert sum(int(p.size) for p in load_judge(dataset).parameters() if not p.stop_gradient) == 225_194


def test_the_digits_judge_reaches_its_accuracy(device):
    images, labels, _ = data.load_labelled("digits", "test")
    accuracy = (classify(load_judge("digits"), images).classes == labels).mean()
    assert accuracy == pytest.approx(load_record("digits")["accuracy"], abs=0.003)


def test_the_mnist_judge_reaches_its_accuracy(real_mnist):
    images, labels, _ = data.load_labelled("mnist", "test", str(real_mnist))
    assert (classify(load_judge("mnist"), images).classes == labels).mean() >= 0.993


def test_without_a_network_the_way_out_is_one_that_the_command_has(tmp_path, monkeypatch, say):
    def no_network(url: str, path: Path, md5: str, limit: int) -> None:
        raise UserError(f"{url}: no connection")

    monkeypatch.setattr(finding, "fetch", no_network)
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path))
    monkeypatch.delenv("MNIST_DIR", raising=False)
    without = say(evaluate.main, ROOT / "dcgan/pretrained")
    check_refused(without, f"train-images-idx3-ubyte.gz: no connection; put train-images-idx3-ubyte.gz into {tmp_path}")
    assert without.err.endswith("or a folder named by --data-dir\n")
    check_refused(say(train, "dcgan", "--output-dir", tmp_path), "named by --data-dir, or use --dataset digits\n")
    colour = say(train, "cifar_gan", "--output-dir", tmp_path)  # it draws no digits
    check_refused(colour, "named by --data-dir\n")


def test_the_split_of_digits_leaves_nothing_out_and_nothing_twice():
    train, _, _ = data.load_labelled("digits", "train")
    test, _, _ = data.load_labelled("digits", "test")
    assert len(train) + len(test) == 1797
    rows = {image.tobytes() for image in np.concatenate([train, test])}
    assert rows == {image.tobytes() for image in data.load("digits").images}


def test_floor_and_ceiling(device):
    images, _, checksum = data.load_labelled("digits", "train")
    unseen, _, _ = data.load_labelled("digits", "test")
    reference = Reference("digits", images, checksum, unseen)
    found = floor_and_ceiling(reference, samples=400)
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
    assert (itself["class_distance"], itself["nearest"]) == (0, 0)


def test_a_larger_set_is_no_denser_around_the_real_images():
    """Of 449 unseen digits the neighbours of ten thousand would cover all."""
    images, _, checksum = data.load_labelled("digits", "train")
    reference = Reference("digits", images, checksum, data.load_labelled("digits", "test")[0])
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 0.5, images.shape), -1, 1).astype(np.float32)
    seen = reference.see(noisy)
    few, many = (reference.compare(seen[:count]) for count in (len(reference.unseen), len(seen)))
    for name in ("precision", "recall", "density", "coverage"):
        assert many[name] == pytest.approx(few[name], abs=0.06), name


def test_a_half_of_ones_own_pictures_is_compared_with_the_other_half():
    images, _, checksum = data.load_labelled("digits", "train")
    own = floor_and_ceiling(Reference("digits", images, checksum), samples=10_000)["real, a half"]
    assert own["nearest"] > 0  # else it is compared with itself
    assert own["precision"] < 0.97


def test_what_is_reconstructed_is_drawn_at_random(monkeypatch):
    """The first half of MNIST's test images are harder than the second."""
    images, _, checksum = data.load_labelled("digits", "train")
    reference = Reference("digits", images, checksum, data.load_labelled("digits", "test")[0])
    given = []
    game = SimpleNamespace(image=(1, 32, 32), reconstructs=True)
    game.reconstruct = lambda images: given.append(images) or [images, images]
    monkeypatch.setattr(evaluate, "RECONSTRUCTED", 20)
    found = evaluate.reconstructions(game, reference)
    assert found["read alike"].figure == 1 > found["read alike"].floor
    places = [int(np.flatnonzero((reference.unseen == image).all(axis=(1, 2, 3)))[0]) for image in given[0]]
    assert len({*places}) == 20
    assert max(places) > 100


def test_a_reconstruction_is_compared_with_what_it_began_with(monkeypatch):
    images, _, checksum = data.load_labelled("digits", "train")
    reference = Reference("digits", images, checksum, data.load_labelled("digits", "test")[0])
    given = []
    game = SimpleNamespace(image=(1, 32, 32), reconstructs=True)
    game.reconstruct = lambda images: given.append(images) or [images, images, -images]
    found = evaluate.reconstructions(game, reference)["PSNR"]
    x = given[0]
    assert found[:2] == (psnr(x, -x), psnr(x, np.broadcast_to(x.mean(axis=0), x.shape)))


def test_who_learns_by_heart_is_near_to_real_images(reference):
    """And half of the real images has radii of its own."""
    assert reference.compare(reference.seen[np.zeros(300, int)])["nearest"] == pytest.approx(0, abs=1e-3)
    assert reference.radii
    assert reference.knowing(reference.seen[:100]).radii == {}


def test_a_set_like_mnist_without_1s_has_another_class_in_their_place():
    images, labels, checksum = data.load_labelled("digits", "train")
    unseen, answers, _ = data.load_labelled("digits", "test")
    found = floor_and_ceiling(Reference("digits", images[labels != 1], checksum, unseen[answers != 1]), samples=100)
    assert [*found] == ["real, unseen", "real, only one class", "noise"]
    assert found["real, only one class"]["recall"] < found["real, unseen"]["recall"]


def test_what_the_judge_saw_is_kept_and_a_damaged_copy_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, _, checksum = data.load_labelled("digits", "train")
    images = images[:200]
    first = Reference("digits", images, checksum).seen.features
    (kept,) = tmp_path.rglob("*.npz")
    whole = kept.read_bytes()
    unknown = bytearray(whole)
    unknown[unknown.index(b"PK\x01\x02") + 10] = 99  # a way of packing that there is not
    for content in (b"", b"PK\x03\x04 not a zip", whole[:-100], bytes(unknown)):
        kept.write_bytes(content)
        assert (Reference("digits", images, checksum).seen.features == first).all()
    assert kept.stat().st_size > 1000


def test_what_another_judge_saw_is_kept_apart(reference, monkeypatch):
    """As after `commands.train_judge`."""
    images, _, checksum = data.load_labelled("digits", "train")
    assert Reference("digits", images, checksum).cached == reference.cached
    another = {**load_record("digits"), "sha256": "another"}
    monkeypatch.setattr("common.judging.reference.load_record", lambda name: another)
    monkeypatch.setattr(Reference, "_see_or_recall", lambda self, images: reference.seen)
    assert Reference("digits", images, checksum).cached != reference.cached


def test_what_was_seen_in_another_size_is_kept_apart(tmp_path, monkeypatch):
    """MNIST's checksum is its file's: that of images of 28x28 made from it, and of 32x32."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, _, checksum = data.load_labelled("digits", "train")
    small, _, _ = data.load_labelled("digits", "train", size=28)
    first, second = (Reference("digits", some[:200], checksum).seen.features for some in (images, small))
    assert np.abs(first - second).max() > 1e-3
    assert (Reference("digits", images[:200], checksum).seen.features == first).all()


def test_the_floor_is_computed_anew_with_other_formulas(reference, tmp_path, monkeypatch):
    """A metric that an earlier version did not have would be missing from what it kept."""
    monkeypatch.setattr(reference, "cached", tmp_path / "seen.npz")
    code = tmp_path / "metrics.py"
    code.write_text("one version")
    monkeypatch.setattr(metrics, "__file__", str(code))
    floor_and_ceiling(reference, samples=100)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text("{}")
    assert floor_and_ceiling(reference, samples=100) == {}  # kept, and read
    assert floor_and_ceiling(reference, samples=120) != {}
    code.write_text("another version")
    assert "real, unseen" in floor_and_ceiling(reference, samples=100)


def test_the_floors_images_are_drawn_at_random(reference, tmp_path, monkeypatch):
    """Sorted by what they show, as a folder's are, the first of them would be of one class."""
    monkeypatch.setattr(reference, "cached", tmp_path / "seen.npz")
    unseen = reference.unseen[np.argsort(reference.see(reference.unseen).classes, kind="stable")]
    monkeypatch.setattr(reference, "unseen", unseen)
    real = floor_and_ceiling(reference, samples=150)["real, unseen"]
    assert min(real["classes"]) > 0.02
    assert real["class_distance"] < 0.2


def test_judging_leaves_the_training_alone(judged, tmp_path):
    assert train("toy", *JUDGED, "--eval-every", 0, "--output-dir", tmp_path) == 0
    for name in ("generator.params", "discriminator.params", "generator_ema.params", "losses.csv"):
        assert (tmp_path / name).read_bytes() == (judged / name).read_bytes()

    lines = [json.loads(line) for line in (judged / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines if "raw" in line] == [(56, 0), (113, 1)]
    assert (judged / "generator_best.params").exists()
    assert not (tmp_path / "generator_best.params").exists()

    reader = LogReader(file_path=str(judged / "vdlrecords.run.log"))
    assert [point.id for point in reader.get_data("scalar", "metric/frechet")] == [56, 113]
    assert {"metric/recall", "metric/frechet EMA", "grad/G"} <= set(reader.get_tags()["scalar"])


def test_resume_judges_every_epoch_once(judged, tmp_path):
    for steps in (70, 120):
        assert train("toy", *JUDGED, "--max-steps", steps, "--output-dir", tmp_path, "--resume") == 0
    for name in ("metrics.jsonl", "generator_best.params"):
        assert (judged / name).read_bytes() == (tmp_path / name).read_bytes()


def test_another_judges_distances_are_not_compared_with(judged, tmp_path):
    """A judge of one's own pictures takes the place of CIFAR-10's: no later epoch could be the best."""
    digest = load_record("digits")["sha256"]
    assert {line["judge"] for line in load_metrics(judged)} == {digest}
    one = load_metrics(judged)[0]
    for judge, distance in ((digest, 310.0), ("another", 9.4), (digest, 120.0)):
        line = {**one, "judge": judge, "raw": {**one["raw"], "frechet": distance}}
        del line["ema"]
        append(tmp_path / "metrics.jsonl", json.dumps(line).encode() + b"\n")
    assert [best_distance(tmp_path, judge) for judge in (digest, "another", "a new one")] == [120.0, 9.4, np.inf]
    earlier = {name: value for name, value in line.items() if name != "judge"}  # versions that did not say whose
    append(tmp_path / "metrics.jsonl", json.dumps(earlier).encode() + b"\n")
    assert best_distance(tmp_path, "a new one") == 120.0


def test_networks_that_are_not_there_have_no_yardsticks(tmp_path, say):
    """They were measured untrained, without a word."""
    (tmp_path / "config.json").write_text('{"family": "wgan", "dataset": "digits"}')
    save_params(tmp_path / "generator.params", builder("wgan")().networks["generator"].state_dict())
    said = say(evaluate.main, tmp_path, "--samples", 100)
    assert (said.status, "yardstick" in said.out) == (0, False)
    assert f"note: no yardsticks: {tmp_path / 'critic.params'}: not there" in said.err


def test_no_judge_for_other_data_is_a_note_not_an_end(tmp_path, mnist_dir, say):
    flags = ["--data-dir", mnist_dir, "--epochs", 3, "--output-dir", tmp_path / "run"]
    said = say(train, "toy", *flags)
    assert said.status == 0
    assert said.err.count("note: no metrics: the judge knows mnist") == 1
    said = say(evaluate.main, tmp_path / "run", "--data-dir", mnist_dir)
    assert said.status == 2
    assert "Traceback" not in said.err


def test_the_table_and_the_json_agree(run_dir, say, monkeypatch):
    """A row for each generator, the floor and the ceiling; judged once."""
    judge, judged = evaluate.judge_runs, []

    def once(*given: object) -> tuple:
        judged.extend([] if judged else [judge(*given)])
        return judged[0]

    monkeypatch.setattr(evaluate, "judge_runs", once)
    said = say(evaluate.main, run_dir, "--samples", 300)
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("\nunseen: by the judge; a training on digits sees all of them\n")
    rows = list(csv.reader(table_of(said.out), delimiter="|"))
    names = [row[1].strip() for row in rows[2:]]
    assert names == [f"{run_dir} raw", f"{run_dir} EMA", f"{run_dir} best", "real, unseen", "real, only 1s", "noise"]
    found = json.loads(say(evaluate.main, run_dir, "--samples", 300, "--json").out)
    assert (found["dataset"], found["samples"], found["yardsticks"]) == ("digits", 300, {})
    assert len(rows) == 2 + len(found["rows"])
    for row, name in zip(rows[2:], found["rows"]):
        assert row[1].strip() == name
        assert float(row[2]) == pytest.approx(found["rows"][name]["frechet"], abs=0.006)
    assert found["rows"]["noise"]["frechet"] > found["rows"]["real, unseen"]["frechet"]


def test_runs_on_other_data_are_not_compared(judged, tmp_path, say):
    other = Path(shutil.copytree(judged, tmp_path / "other"))
    (other / "config.json").write_text((judged / "config.json").read_text().replace(': "digits"', ': "mnist"'))
    check_refused(say(evaluate.main, judged, other), "these runs saw different data (digits, mnist)")


def test_real_images_go_the_way_of_the_drawn_ones(tmp_path):
    """Digits of 28 pixels are enlarged from 8 and then to the judge's 32; real ones straight to 32 were 0.5 apart."""
    runs = [tmp_path / family for family in ("fc_gan", "dcgan")]
    for run_dir in runs:
        run_dir.mkdir()
        save_params(run_dir / "generator.params", builder(run_dir.name)().networks["generator"].state_dict())
        (run_dir / "config.json").write_text(json.dumps({"family": run_dir.name, "flags": {}, "dataset": "digits"}))
    assert evaluate.reference_of(runs[:1]).shape == (1, 28, 28)
    assert evaluate.reference_of(runs).shape == (1, 32, 32)  # one table, one reference


def test_runs_of_several_sizes_are_told_that_it_is_unfair(tmp_path, capsys):
    runs = [tmp_path / "large", tmp_path / "small"]
    for run_dir, size in zip(runs, (64, 32)):
        run_dir.mkdir()
        save_params(run_dir / "generator.params", builder("dcgan")(size=size).networks["generator"].state_dict())
        config = {"family": "dcgan", "flags": {"size": size}, "dataset": "digits"}
        (run_dir / "config.json").write_text(json.dumps(config))
    evaluate.reference_of(runs)
    assert "draw 32 and 64 pixels and are all compared with real images of 32" in capsys.readouterr().err
    evaluate.reference_of(runs[:1])
    assert capsys.readouterr().err == ""


def test_each_row_is_of_its_own_weights_on_what_the_seed_draws(tmp_path, monkeypatch):
    drawn = []

    def load(run_dir: Path, weights: str = "generator.params") -> SimpleNamespace:
        def population(rng: np.random.Generator, count: int) -> None:
            drawn.append(rng.integers(10**9))

        return SimpleNamespace(
            networks={"generator": None}, reconstructs=False, sample=lambda z: weights, population=population
        )

    monkeypatch.setattr(evaluate, "load_game", load)
    reference = SimpleNamespace(unseen=None, judged="digits", judge_images=lambda images: images)
    monkeypatch.setattr(evaluate, "reference_of", lambda *given: reference)
    monkeypatch.setattr(evaluate, "floor_and_ceiling", lambda *given: {})
    for name in evaluate.WEIGHTS:
        (tmp_path / name).touch()
    rows = evaluate.judge_runs([tmp_path], 100, seed=7)[1]
    assert rows == {f"{tmp_path} {name}": weights for weights, name in evaluate.WEIGHTS.items()}
    assert drawn == [np.random.default_rng(7).integers(10**9)] * 3


def test_the_rarest_digit_is_the_rarest():
    game = SimpleNamespace(latent=lambda *_: None, sample=lambda z: None)
    reference = SimpleNamespace(see=lambda images: SimpleNamespace(classes=np.arange(2000) % 9))
    (found,) = rarest_digit(game, reference).values()
    assert found.figure == 0
