"""Pictures of one's own, from the first command to the last: what is chosen, how it is judged, what is drawn."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
from pathlib import Path

from commands import evaluate, publish, sample, train_judge
from commands.export import load_trained, model
from commands.invert import Nearest
from commands.play_runs import Runs
from common.data import load
from common.errors import UserError
from common.files.folder import array_md5
from common.game import Game
from common.judging import judge as judges
from common.judging.reference import Reference
from common.run import flags
from common.run.families import builder, families
from common.run.runs import how_made_square, load_config, load_game, load_metrics
from common.settings import settings_of
from docs.own_pictures import some
from tests.conftest import check_refused, train

import numpy as np
import pytest
from PIL import Image, ImageSequence

RNG = np.random.default_rng(0)
SHORT = ["--threads", 1, "--batch-size", 64, "--max-steps", 2, "--sample-every", 2]


@pytest.fixture(scope="module")
def mine(made_once) -> Path:
    """120 pictures of two colours of squares, each colour in a folder."""

    def make(folder: Path) -> None:
        for name, colour in (("reds", (200, 30, 30)), ("blues", (30, 30, 200))):
            (folder / name).mkdir()
            for index in range(60):
                pixels = np.full((40, 40, 3), 255, np.uint8)
                top, left = RNG.integers(0, 20, 2)
                pixels[top : top + 20, left : left + 20] = colour + RNG.integers(-30, 30, 3)
                Image.fromarray(pixels).save(folder / name / f"{index}.png")

    return made_once("own-pictures", make)


@pytest.fixture(scope="module")
def own_run(made_once, mine) -> Path:
    """A run on them of one epoch, judged, at 64 pixels."""

    def make(folder: Path) -> None:
        flags = ["--dataset", "folder", "--data-dir", mine, "--size", 64, "--epochs", 1]
        flags += ["--batch-size", 20, "--max-steps", 6]
        assert train("lsgan", *SHORT, *flags, "--output-dir", folder) == 0

    return made_once("own-run", make)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {"channels": 3, "penalty": 1.0, "learning_rate": 5e-4, "augment": False, "size": 32}),
        (["--penalty", 0, "--augment", "--channels", 1], {"channels": 1, "penalty": 0.0, "augment": True}),
    ],
)
def test_what_differs_is_chosen_and_a_flag_has_the_last_word(mine, given, expected):
    from dcgan.train import build

    parsed = flags.parse_flags("dcgan", build, ["--dataset", "folder", "--data-dir", str(mine), *map(str, given)])
    assert expected.items() <= parsed.settings.items()
    digits = flags.parse_flags("dcgan", build, ["--dataset", "digits"]).settings
    assert (digits["channels"], digits["penalty"], digits["augment"]) == (1, 0.0, False)


def test_what_was_found_for_dcgan_is_chosen_for_no_other_family():
    """StackGAN was worse with it (docs/search.md, Z24)."""
    chosen = {name: flags.chosen_for("folder", settings_of(builder(name))) for name in families()}
    assert {name for name, found in chosen.items() if "penalty" in found} == {"dcgan", "lsgan"}


def test_a_run_that_goes_on_keeps_what_it_had(mine, tmp_path):
    """Also one of a version that chose nothing, and wrote no size; or one that chose `--augment`."""
    from dcgan.train import build

    kept = {"channels": None, "penalty": 0.0, "learning_rate": 2e-4}
    (tmp_path / "config.json").write_text(json.dumps({"family": "dcgan", "dataset": "folder", "flags": kept}))
    given = ["--dataset", "folder", "--data-dir", str(mine), "--output-dir", str(tmp_path), "--resume"]
    settings = flags.parse_flags("dcgan", build, given).settings
    assert {"channels": 1, "penalty": 0.0, "learning_rate": 2e-4, "augment": False}.items() <= settings.items()
    kept["augment"] = True
    (tmp_path / "config.json").write_text(json.dumps({"family": "dcgan", "dataset": "folder", "flags": kept}))
    assert flags.parse_flags("dcgan", build, given).settings["augment"] is True
    for damage in ({"channels": -1}, {"learning_rate": [1]}, {"penalty": "x"}):  # as if it were not there
        broken = {"family": "dcgan", "dataset": "folder", "flags": {**kept, **damage}}
        (tmp_path / "config.json").write_text(json.dumps(broken))
        assert flags.parse_flags("dcgan", build, given).settings["learning_rate"] == 5e-4


def test_the_header_says_what_it_costs_and_what_was_chosen(mine, tmp_path, say):
    load("folder", mine, (3, 32, 32))  # or another worker may be reading them, for which one would wait, and say so
    own = ["--dataset", "folder", "--data-dir", mine, "--eval-every", 0, "--output-dir", tmp_path / "run"]
    check_refused(say(train, "dcgan", *own, "--batch-size", 121), "there are 120; take at most 120")
    said = say(train, "dcgan", *SHORT, "--batch-size", 8, "--max-steps", 1, *own)
    assert said.status == 0
    assert "folder, 120 images, 32x32 in colour, 0.4 MB in memory" in said.out
    assert "--learning-rate 0.0005" in said.out
    assert "--penalty 1.0" in said.out
    assert "--augment" not in said.out


def test_a_picture_in_another_class_is_another_data_set(tmp_path, say):
    """The pixels in the order of the names were the same, and the labels were not looked at."""
    for index in range(1, 10):
        path = tmp_path / "pictures" / ("a" if index < 5 else "b") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    given = ["--dataset", "folder", "--data-dir", tmp_path / "pictures", "--threads", 1, "--batch-size", 4]
    given += ["--eval-every", 0, "--output-dir", tmp_path / "run", "--resume"]
    assert say(train, "cgan", *given, "--max-steps", 2).status == 0
    (tmp_path / "pictures/b/5.png").rename(tmp_path / "pictures/a/5.png")
    check_refused(say(train, "cgan", *given, "--max-steps", 3), "it was trained on other pictures")
    (tmp_path / "pictures/a/5.png").rename(tmp_path / "pictures/b/5.png")
    assert say(train, "cgan", *given, "--max-steps", 3).status == 0


def test_figures_while_it_trains_and_the_best_generator(own_run, mine):
    config, (judged,) = load_config(own_run), load_metrics(own_run)
    assert np.isfinite(judged["raw"]["frechet"])
    assert (own_run / "generator_best.params").is_file()
    assert config["checksum"] == array_md5(load("folder", mine, (3, 64, 64)).images)
    assert not [line for line in (own_run / "metrics.jsonl").read_text().splitlines() if "missing" in line]


def test_own_pictures_are_evaluated_and_published(own_run, tmp_path, say):
    said = say(evaluate.main, own_run, "--samples", 100)
    assert (said.status, said.err) == (0, "")
    assert (
        "120 own pictures, by the features of CIFAR-10's judge: to compare with runs on the same pictures only"
        in said.out
    )
    assert "real, a half" in said.out
    said = say(publish.main, own_run, tmp_path / "card", "--samples", 100)
    assert (said.status, said.err) == (0, "")
    card = (tmp_path / "card/README.md").read_text(encoding="utf-8")
    assert "of 120 own pictures, by the features of CIFAR-10's judge: to compare with runs on the same" in card
    assert "test images" not in card
    assert "--dataset folder --data-dir FOLDER" in card
    assert "--size 64 --channels 3" in card
    program = (
        card.split("```python\n")[1]
        .split("```")[0]
        .replace('"generator.params"', repr(str(tmp_path / "card/generator.params")))
    )
    found: dict[str, object] = {}
    exec(program, found)
    assert found["images"].shape == [64, 3, 64, 64]


def test_the_recipe_of_a_card_makes_the_same_run(mine):
    """Also where a flag took back what a folder chooses, and of how pictures are made square."""
    from dcgan.train import build

    given = ["--dataset", "folder", "--data-dir", str(mine), "--learning-rate", "0.0002", "--penalty", "0"]
    given += ["--channels", "1", "--pad", "--background", "#88ccff"]
    first = flags.parse_flags("dcgan", build, given)
    config = {"family": "dcgan", "dataset": "folder", "flags": {**vars(first), **first.settings}}
    words = shlex.split(publish.recipe(config))[2:]
    again = flags.parse_flags("dcgan", build, [str(mine) if word == "FOLDER" else word for word in words])
    assert vars(again) == vars(first)
    for damage in ({"background": "mud"}, {"background": 5}, {"pad": "yes"}):
        with pytest.raises(UserError, match="which cannot be"):
            how_made_square({"flags": damage})


def test_other_pictures_are_not_compared_with(own_run, mine, tmp_path, say):
    one = np.asarray(Image.open(next(mine.rglob("*.png"))))
    for index in range(120):
        Image.fromarray(np.roll(one, index)).save(tmp_path / f"{index}.png")
    check_refused(say(evaluate.main, own_run, "--data-dir", tmp_path), "saw different pictures")


def test_a_judge_of_their_classes(mine, own_run, tmp_path, monkeypatch, say):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(train_judge, "is_fit", lambda tried: True)  # after few epochs it may not be
    said = say(train_judge.main, "--dataset", "folder", "--data-dir", mine, "--epochs", 8)
    assert said.status == 0
    small = load("folder", mine, (3, 32, 32))
    record = judges.load_record(small.judge)
    assert record["accuracy"] > 0.9  # red from blue
    large = load("folder", mine, (3, 64, 64), labelled=True)
    reference = Reference(large.judge, large.images, large.checksum)  # known at another size, by the same names
    assert not reference.borrowed
    assert (reference.seen.classes == large.labels).mean() > 0.9
    monkeypatch.setattr(Game, "measure", lambda self, reference, run_dir: len(reference.unseen))  # families look there
    assert "by a judge of their classes" in say(evaluate.main, own_run, "--samples", 100).out


def test_ones_own_classes_alone_are_drawn(mine, tmp_path, say):
    """Two of the ten that the networks have room for: no sample is of a label that nothing was learnt of."""
    run = tmp_path / "run"
    flags = ["--dataset", "folder", "--data-dir", mine, "--parts", "three", "--eval-every", 0, "--output-dir", run]
    said = say(train, "cgan", *SHORT, "--batch-size", 2, *flags)
    assert (said.status, said.err) == (0, "")
    assert "classes  0: blues, 1: reds" in said.out
    with Image.open(run / "samples/0000_0001.png") as grid:
        assert grid.size == (8 * 34 + 2, 2 * 34 + 2)  # a row for each
    game = load_game(run)
    labels = game.latent(RNG, 6)[:, game.latent_dim :].argmax(axis=1).ravel()
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]
    check_refused(say(sample.main, run, "--digit", 2, "--out", tmp_path / "a.png"), "knows 2 classes, 0 to 1")
    assert model(load_trained(run, "generator.params"))[0]["labels"] == 2  # the page for the browser draws the same
    for damage in (["one"], [1, 2], "ab", ["x"] * 11):
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        (tmp_path / "config.json").write_text(json.dumps({**config, "classes": damage}))
        with pytest.raises(UserError, match=r"classes is .* which cannot be"):
            load_config(tmp_path)


def test_one_class_makes_no_judge(mine, tmp_path, say):
    check_refused(say(train_judge.main, "--dataset", "folder", "--data-dir", mine / "reds"), "in no sub-folder")
    shutil.copytree(mine / "reds", tmp_path / "mine/reds")
    for made in ([train_judge.main], [train, "cgan"]):
        said = say(*made, "--dataset", "folder", "--data-dir", tmp_path / "mine")
        check_refused(said, "one sub-folder of pictures; classes may be 2 to 10")


@pytest.mark.parametrize(("reds", "blues"), [(2, 1), (60, 9)])
def test_few_pictures_make_no_judge(mine, tmp_path, say, reds, blues):
    """Said before the training."""
    for name, count in (("reds", reds), ("blues", blues)):
        (tmp_path / name).mkdir()
        for index in range(count):
            shutil.copy(mine / name / f"{index}.png", tmp_path / name)
    said = say(train_judge.main, "--dataset", "folder", "--data-dir", tmp_path)
    check_refused(said, f"{reds + blues} pictures, {blues} of the second largest class, are too few")


def test_the_nearest_of_what_it_was_trained_on(own_run, mine, tmp_path, say):
    said = say(sample.main, own_run, "--nearest", "--npy", tmp_path / "a.npy", "--out", tmp_path / "a.png")
    assert (said.status, said.err) == (0, "")
    assert "nearest training image, pixel by pixel: at a median distance of" in said.out
    images = np.load(tmp_path / "a.npy")
    real = load("folder", mine, (3, 64, 64)).images / 127.5 - 1
    assert images.shape == (32, 3, 64, 64)
    for drawn, beside in zip(images[::2], images[1::2]):
        apart = ((real - drawn) ** 2).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(beside, real[apart.argmin()], atol=1e-5)
    found = Runs([own_run]).nearest(own_run.name, images[0])  # on the page of `commands.play`
    np.testing.assert_allclose(found[0], images[1], atol=1e-5)
    (tmp_path / "one").mkdir()
    shutil.copy(next(mine.rglob("*.png")), tmp_path / "one")
    said = say(sample.main, own_run, "--nearest", "--data-dir", tmp_path / "one", "--out", tmp_path / "a.png")
    assert said.status == 0
    assert said.err == "note: these are not the pictures that it was trained on, or not all of them\n"
    assert "held out: none, there is one only" in said.out


def test_a_picture_to_invert_is_made_as_those_of_the_run(own_run, tmp_path, monkeypatch, say):
    shutil.copytree(own_run, tmp_path / "run")
    config = load_config(own_run)
    config["flags"] |= {"pad": True, "background": "red"}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    Image.new("RGB", (90, 30), "blue").save(tmp_path / "wide.png")
    monkeypatch.setattr(sample, "invert", lambda game, given, *_: Nearest(given, given, 0.0, 0.0))
    said = say(sample.main, tmp_path / "run", "--invert", tmp_path / "wide.png", "--npy", tmp_path / "a.npy")
    assert said.status == 0
    given = np.load(tmp_path / "a.npy")[0]
    assert given[:, 0, 0].tolist() == [1, -1, -1]
    assert given[:, 32, 32].tolist() == [-1, -1, 1]


def test_some_pictures_are_these_ones_whatever_was_there_before(mine, tmp_path):
    for folder in (mine, mine / "blues", mine):
        links = [path.resolve() for path in Path(some(folder, 30, tmp_path)).iterdir()]
        assert len(links) == 30
        assert all(folder in path.parents for path in links)


def test_it_is_the_size_that_is_named(own_run, mine, tmp_path, say):
    """Pictures of another --size are others, too."""
    shutil.copytree(own_run, tmp_path / "run")
    own = ["--dataset", "folder", "--data-dir", mine, "--batch-size", 20, "--output-dir", tmp_path / "run", "--resume"]
    check_refused(say(train, "lsgan", *own), "--size was 64 and is now 32; resume with 64")


def test_a_held_out_image_is_not_its_own_neighbour():
    real = RNG.normal(size=(5, 1, 2, 2)).astype(np.float32)
    places, far = sample.closest(real[[3, 1]], real)
    assert (places.tolist(), far.tolist()) == ([3, 1], [0, 0])
    places, far = sample.closest(real[[3, 1]], real, np.array([3, 1]))
    for image, but, place, distance in zip(real[[3, 1]], (3, 1), places, far):
        apart = np.sqrt(((real - image) ** 2).sum(axis=(1, 2, 3)))
        apart[but] = np.inf
        assert (place, distance) == (apart.argmin(), pytest.approx(apart.min(), rel=1e-5))


def test_a_disk_that_is_full_leaves_no_pictures_in_the_way_of_the_next_try(own_run, tmp_path, say, monkeypatch):
    save = sample.grids.save_image

    def save_if_it_fits(path: Path, image: np.ndarray) -> None:
        if path.name == "00001.png":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, image)

    with monkeypatch.context() as patch:
        patch.setattr(sample.grids, "save_image", save_if_it_fits)
        check_refused(say(sample.main, own_run, "--count", 3, "--each", tmp_path / "each"), "No space left on device")
    assert say(sample.main, own_run, "--count", 3, "--each", tmp_path / "each").status == 0


def test_a_file_for_each_and_a_film(own_run, tmp_path, say):
    said = say(sample.main, own_run, "--count", 3, "--each", tmp_path / "each", "--npy", tmp_path / "a.npy")
    assert (said.status, said.err) == (0, "")
    files = sorted((tmp_path / "each").iterdir())
    assert [path.name for path in files] == ["00000.png", "00001.png", "00002.png"]
    for path, image in zip(files, np.load(tmp_path / "a.npy")):
        with Image.open(path) as picture:
            assert np.abs(np.asarray(picture).transpose(2, 0, 1) / 127.5 - 1 - image).max() < 0.005
    check_refused(say(sample.main, own_run, "--each", tmp_path / "each"), "it is there already")
    assert say(sample.main, own_run, "--interpolate", 0, 1, "--count", 5, "--out", tmp_path / "w.gif").status == 0
    with Image.open(tmp_path / "w.gif") as film:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 5
    assert frames[0].shape == (64, 64, 3)
    check_refused(say(sample.main, own_run, "--out", tmp_path / "w.gif"), "ends in .png")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--background", "mud"], "'mud' is no colour"),
        (["--pad", "--dataset", "digits"], "--background and --pad: for --dataset folder"),
        (["--size", "48"], "--size"),
    ],
)
def test_flags_that_cannot_be(tmp_path, say, flags, words):
    check_refused(say(train, "dcgan", *flags, "--output-dir", tmp_path / "run"), words)


def test_pictures_that_are_all_alike_train(tmp_path, say):
    """As does a folder of a thousand of which one has something in it."""
    (tmp_path / "mine").mkdir()
    for index in range(1000):
        (tmp_path / "mine" / f"{index}").mkdir()
    for index in range(8):
        Image.new("RGB", (50, 50), "red").save(tmp_path / "mine/7" / f"{index}.png")
    own = ["--dataset", "folder", "--data-dir", tmp_path / "mine", "--eval-every", 0, "--output-dir", tmp_path / "run"]
    said = say(train, "dcgan", "--threads", 1, "--batch-size", 8, "--max-steps", 2, *own)
    assert (said.status, said.err) == (0, "")


@pytest.mark.parametrize("size", [32, 64, 128])
def test_one_picture_and_none_are_refused_at_every_size(tmp_path, say, size):
    own = ["--dataset", "folder", "--data-dir", tmp_path / "mine", "--size", size, "--output-dir", tmp_path / "run"]
    (tmp_path / "mine").mkdir()
    check_refused(say(train, "dcgan", *own), "no pictures there")
    Image.new("RGB", (50, 50), "red").save(tmp_path / "mine/a.png")
    check_refused(say(train, "dcgan", *own), "an update takes 32 images, there are 1; more are needed")
    (tmp_path / "mine/b.png").write_bytes((tmp_path / "mine/a.png").read_bytes()[:60])
    check_refused(say(train, "dcgan", *own), "b.png: ")
    assert not (tmp_path / "run").exists()
