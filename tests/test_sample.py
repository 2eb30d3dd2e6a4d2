"""What `commands.sample` draws, by which weights, and of what: runs and the pretrained weights."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

from commands import sample
from commands.invert import Nearest
from common import data
from common.errors import UserError
from common.judging.judge import classify, load_judge, load_record
from common.run.artifacts import save_params
from common.run.families import builder, families
from common.run.recorder import Examiner
from common.run.runs import best_distance, load_game
from tests.conftest import ROOT, call, check_refused, make_gan, train

import numpy as np
import paddle
import pytest
from PIL import Image


def test_plain_paddle_load_gives_the_pictures_of_sample(run_dir, tmp_path):
    """And the command, in a process of its own, from another folder, says nothing on stderr."""
    done = call("-m", "commands.sample", run_dir, "--count", "10", "--seed", "3", "--npy", tmp_path / "a.npy",
                "--weights", "generator.params", "--out", tmp_path / "grid.png",
                cwd=tmp_path, PYTHONPATH=str(ROOT))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    gan = make_gan("dcgan")
    generator = gan.networks["generator"]
    generator.set_state_dict(paddle.load(str(run_dir / "generator.params")))
    expected = gan.sample(gan.latent(np.random.default_rng(3), 10))
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), expected, atol=1e-6)


def test_sample_repeats_and_is_cut_from_one_stream(run_dir, tmp_path, say):
    def npy(*flags: object) -> np.ndarray:
        assert say(sample.main, run_dir, "--npy", tmp_path / "a.npy", *flags).status == 0
        return np.load(tmp_path / "a.npy")

    first = npy("--count", 9)
    assert first.dtype == np.float32
    assert first.shape == (9, 1, 32, 32)
    assert np.abs(first).max() <= 1
    assert (first == npy("--count", 9)).all()
    np.testing.assert_allclose(first[:4], npy("--count", 4), atol=1e-6)
    assert np.abs(first - npy("--count", 9, "--seed", 1)).max() > 0.1
    walk = npy("--count", 9, "--interpolate", 0, 1)
    np.testing.assert_allclose(walk[0], first[0], atol=1e-6)
    np.testing.assert_allclose(walk[-1], npy("--count", 1, "--seed", 1)[0], atol=1e-6)
    steps = np.abs(np.diff(walk, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(walk[0] - walk[-1]).mean()  # in small steps, not in one leap


def test_sample_writes_a_grid(run_dir, tmp_path, say):
    said = say(sample.main, run_dir, "--count", 6, "--columns", 3, "--out", tmp_path / "grid.png")
    assert (said.status, said.err) == (0, "")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 34 + 2, 2 * 34 + 2)


def test_sample_takes_the_best_weights_there_are_and_says_which(run_dir, tmp_path, say):
    """A run that was judged has some that were best; another has the last ones."""
    unjudged = shutil.copytree(run_dir, tmp_path / "unjudged", ignore=shutil.ignore_patterns("*_best.params"))
    for run, weights in ((run_dir, "generator_best.params"), (unjudged, "generator.params")):
        drawn = {}
        for name, flags in (("free", []), ("named", ["--weights", weights])):
            said = say(sample.main, run, "--count", 2, "--npy", tmp_path / "a.npy", *flags)
            assert said.out.endswith(f"by {weights}\n")
            drawn[name] = np.load(tmp_path / "a.npy")
        assert (drawn["free"] == drawn["named"]).all()


def test_many_images_are_drawn_in_parts_that_make_the_whole(monkeypatch):
    """`sample` takes NumPy or a tensor, of any length, and draws so many at once."""
    gan = make_gan("dcgan")
    latent = gan.latent(np.random.default_rng(0), 7)
    whole = gan.sample(latent)
    monkeypatch.setattr("common.game.AT_ONCE", 3)
    seen = []
    gan.networks["generator"].register_forward_pre_hook(lambda layer, inputs: seen.append(len(inputs[0])))
    for z in (latent, paddle.to_tensor(latent)):
        np.testing.assert_allclose(gan.sample(z), whole, atol=1e-6)
    assert seen == [3, 3, 1] * 2
    seen.clear()
    gan.image = (1, 64, 64)  # four times the pixels, with which the memory grows
    gan.sample(latent[:2])
    assert seen == [1, 1]
    gan.image = (1, 28, 28)
    gan.sample(latent)
    assert seen[2:] == [3, 3, 1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["{run}"], "nothing to write"),
        (["{run}", "--out", "no/folder/a.png"], "there is no folder no/folder"),
        (["{run}", "--out", "grid"], "--out grid: expected a name that ends in .png"),
        (["{run}", "--npy", "{run}/generator.params"], "generator.params: expected a name that ends in .npy"),
        (
            ["nowhere", "--out", "a.png"],
            "nowhere/config.json: No such file or directory; name a folder that a training",
        ),
        (
            ["work/infogan", "--code", "3", "--out", "a.png"],
            "work/infogan/config.json: No such file or directory; train it first: python zoo/infogan.py\n",
        ),
        (
            ["else/work/cgan", "--out", "a.png"],
            "first: python zoo/cgan.py --output-dir else/work/cgan; or take our weights, zoo/pretrained/cgan\n",
        ),
        (["./-x/work/cgan", "--out", "a.png"], "first: python zoo/cgan.py --output-dir ./-x/work/cgan; or"),
        (["work/lsgan", "--out", "a.png"], "first: python lsgan/train.py; or take our weights, lsgan/pretrained\n"),
        (["{run}", "--weights", "none.params", "--out", "a.png"], "none.params: No such file"),
        (["{run}", "--weights", "discriminator.params", "--out", "a.png"], "not weights of this Generator"),
        (["{run}", "--weights", "losses.csv", "--out", "a.png"], "losses.csv"),
        (["{run}", "--digit", "7", "--out", "a.png"], "--digit: dcgan knows no labels"),
        (["{run}", "--digit", "10", "--out", "a.png"], "--digit"),
        (["{run}", "--code", "7", "--out", "a.png"], "--code: dcgan has no code"),
        (["{run}", "--reconstruct", "--out", "a.png"], "--reconstruct: dcgan draws from noise only"),
        (["{run}", "--reconstruct", "--digit", "7", "--out", "a.png"], "--reconstruct: draws from real images"),
        (["{run}", "--reconstruct", "--count", "5", "--out", "a.png"], "--count 5: with --reconstruct a multiple"),
    ],
)
def test_sample_bad_input(run_dir, tmp_path, monkeypatch, say, flags, words):
    monkeypatch.chdir(tmp_path)
    check_refused(say(sample.main, *(flag.format(run=run_dir) for flag in flags)), words)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file_to_write(tmp_path, say):
    for flag, name in (("--out", "a.png"), ("--npy", "a.npy")):
        (tmp_path / name).mkdir()
        check_refused(say(sample.main, "nowhere", flag, tmp_path / name), f"{flag} {tmp_path / name}: it is a folder")


def test_the_best_generator_is_the_one_of_the_least_distance(run_dir):
    """The run's own: its file gives the distance that is least in `metrics.jsonl`."""
    found = Examiner(data.load("digits")).examine(load_game(run_dir, "generator_best.params"))
    assert found["raw"]["frechet"] == pytest.approx(best_distance(run_dir, load_record("digits")["sha256"]), rel=1e-3)


def test_networks_that_are_not_there_draw_nothing(tmp_path, say):
    """Untrained ones drew noise, and it was called the run's."""
    (tmp_path / "config.json").write_text('{"family": "cyclegan"}')
    asked = [tmp_path, "--reconstruct", "--count", 8, "--out", tmp_path / "a.png"]
    check_refused(say(sample.main, *asked), ".params: No such file or directory; expected weights")
    (tmp_path / "config.json").write_text('{"family": "bigan", "dataset": "digits"}')
    save_params(tmp_path / "generator.params", builder("bigan")().networks["generator"].state_dict())
    check_refused(say(sample.main, *asked), "encoder.params: not there, and this needs it")
    assert not (tmp_path / "a.png").exists()
    assert say(sample.main, tmp_path, "--count", 8, "--out", tmp_path / "a.png").status == 0


@pytest.mark.parametrize("family", ['"../../evil"', '"common"', '"tests"', "null", "[]"])
def test_config_names_no_module_but_a_family(tmp_path, say, family):
    (tmp_path / "config.json").write_text(f'{{"family": {family}}}')
    check_refused(say(sample.main, tmp_path, "--out", tmp_path / "a.png"), "expected one of dcgan, ")


def test_the_pretrained_cgan_draws_the_digit_asked_for(tmp_path, say):
    for digit in (3, 7):
        flags = ["--digit", digit, "--count", 500, "--npy", tmp_path / "a.npy"]
        assert say(sample.main, ROOT / "zoo/pretrained/cgan", *flags).status == 0
        read = classify(load_judge("mnist"), np.load(tmp_path / "a.npy")).classes
        assert (read == digit).mean() >= 0.97


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_the_pretrained_weights_draw(tmp_path, family, say):
    """Made by an earlier version: those of the repository itself."""
    folder = shutil.copytree(ROOT / family / "pretrained", tmp_path / "pretrained")
    said = say(sample.main, folder, "--count", 4, "--npy", tmp_path / "a.npy")
    assert (said.status, said.err) == (0, "")
    assert np.load(tmp_path / "a.npy").std() > 0.3  # strokes on black, not the grey of a network that knows nothing


def test_more_unseen_images_than_there_are():
    with pytest.raises(UserError, match="--count 456: there are 449 images that no training saw"):
        sample.reconstructed(make_gan("ebgan"), {"family": "ebgan", "dataset": "digits"}, 0, 456, 8)


def test_a_walk_through_uniform_noise_is_straight_and_stays_inside():
    game = make_gan("bigan")
    first, last = (game.latent(np.random.default_rng(seed), 1) for seed in (0, 1))
    walk = sample.walk(first, last, 5, 0)
    np.testing.assert_allclose(walk[[0, 4]], np.concatenate([first, last]))
    np.testing.assert_allclose(walk[2:3], (first + last) / 2, atol=1e-6)
    assert game.noise == "uniform"
    assert np.abs(walk).max() <= 1


def own_pictures(folder: Path) -> Path:
    """Five of them."""
    folder.mkdir()
    for number in range(5):
        Image.new("L", (9, 9), 50 * number).save(folder / f"{number}.png")
    return folder


def test_what_reconstructs_does_so_from_ones_own_pictures(tmp_path, say, monkeypatch):
    """As the last line of such a training says, here of a family of two domains; the run was started elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own_pictures(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    small = ["--batch-size", 2, "--max-steps", 1, "--output-dir", "run", "--dataset", "folder", "--data-dir", "mine"]
    said = say(train, "cyclegan", *small)
    assert said.status == 0
    assert "--reconstruct" in said.out
    monkeypatch.chdir(ROOT)
    said = say(sample.main, tmp_path / "run", "--reconstruct", "--out", tmp_path / "a.png")
    assert (said.status, said.err) == (0, "")
    assert "the pictures that it was trained on" in said.out
    assert say(sample.main, tmp_path / "run", "--reconstruct", "--npy", tmp_path / "a.npy", "--count", 8).status == 0
    first = np.load(tmp_path / "a.npy")[:8]
    assert (first[:3] == first[5:]).all()  # there are five

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for named, words in (
        (str(tmp_path / "gone"), f"--data-dir: no folder {tmp_path / 'gone'}"),
        (None, "--data-dir: "),
    ):
        config["flags"]["data_dir"] = named
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        check_refused(say(sample.main, tmp_path / "run", "--reconstruct", "--out", tmp_path / "a.png"), words)
    given = ["--reconstruct", "--out", tmp_path / "a.png", "--data-dir", tmp_path / "mine"]
    assert say(sample.main, tmp_path / "run", *given).status == 0


def test_every_family_that_reconstructs_takes_ones_own_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = {"dataset": "folder", "flags": {"data_dir": str(own_pictures(tmp_path / "mine"))}}
    able = 0
    for family in families():
        game = make_gan(family)
        if game.reconstructs:
            able += 1
            rows = sample.reconstructed(game, {**config, "family": family}, 0, 4, 2)
            assert len(rows) % 4 == 0, family
            assert np.isfinite(rows).all(), family
    assert able >= 5


@pytest.mark.parametrize(("family", "condition"), [("cgan", "digit"), ("infogan", "code")])
def test_what_is_asked_for_is_asked_for_everywhere(tmp_path, monkeypatch, capsys, family, condition):
    """`--digit` and `--code`, for pictures, for the nearest training images, for what is looked for."""
    (tmp_path / "config.json").write_text(f'{{"family": "{family}"}}')
    real, asked = np.random.default_rng(0).normal(size=(5, 1, 2, 2)).astype(np.float32), []
    game = SimpleNamespace(
        networks={"generator": None}, condition=condition, classes=10, image=(1, 2, 2), noise="uniform", latent_dim=62,
        latent=lambda rng, count, label=None: asked.append(label), sample=lambda z: np.zeros((16, 1, 2, 2)),
    )  # fmt: skip
    flags = {"run_dir": tmp_path, "data_dir": None, "seed": 4, "count": 2, "digit": None, "code": None}
    flags = argparse.Namespace(**{**flags, condition: 7}, invert=tmp_path, interpolate=None)
    monkeypatch.setattr(sample.data, "load", lambda *_: SimpleNamespace(images=real))
    monkeypatch.setattr(sample, "read_picture", lambda *_, **__: np.zeros((1, 2, 2), np.uint8))
    monkeypatch.setattr(
        sample, "invert", lambda game, given, *how: asked.append(how) or Nearest(given, given, 0.0, 0.0)
    )
    sample.drawn(game, flags)
    sample.beside_the_nearest(game, flags)
    sample.inverted(game, flags)
    assert asked == [7, 7, (7, 4)]
    apart = np.linalg.norm((real[:, None] - real).reshape(5, 5, 4), axis=2) + np.diag([np.inf] * 5)
    assert f"held out: {np.median(apart.min(axis=0)):.1f}." in capsys.readouterr().out
    monkeypatch.setattr(sample, "walk", lambda first, last, count, dim: asked.append(dim))
    flags.interpolate = [0, 1]
    sample.drawn(game, flags)
    assert asked[-1] == 0  # uniform noise goes straight: on an arc it would leave [-1, 1]
