"""Every family there is, with no special case: it trains, is killed, resumes, draws, is judged and compared."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from pathlib import Path
from typing import Callable

from commands import compare, evaluate, sample
from common.data import load_labelled
from common.files.weights import load_params
from common.game import Game
from common.run import checkpoint
from common.run.families import builder, families, image_of
from common.run.recorder import Recorder
from common.run.runs import load_config, load_game, load_losses
from tests.conftest import batch_of_noise, train
from tests.runs import result, steps_written

import numpy as np
import pytest
from PIL import Image

STEPS = 4
FLAGS = ["--threads", 1, "--batch-size", 4, "--eval-every", 0, "--sample-every", 3]
# Where the default takes more than is needed. What has two stages is stopped in the first and resumed into the second.
STAGES = ["--first-updates", 3]
MORE = {"wgan_gp": ["--critic-steps", 2], "stackgan": STAGES, "self_conditioned": STAGES}
LARGE = "dcgan --size 64 --channels 3 --augment"  # on pictures of one's own, hence with the penalty
# One family after the other, so that what its tests share is made in one worker and forgotten before the next.
pytestmark = pytest.mark.parametrize("name", [*families(), LARGE], scope="module")


def family_of(name: str) -> str:
    return name.partition(" ")[0]


def game_of(name: str) -> Game:
    return builder("dcgan")(size=64, channels=3) if name == LARGE else builder(name)()


def in_colour(name: str) -> bool:
    return name == LARGE or image_of(builder(name))[0] == 3


@pytest.fixture(scope="module")
def game(name) -> Game:
    """A new one, for tests that leave it as it is."""
    return game_of(name)


@pytest.fixture(scope="session")
def pictures(made_once) -> Path:
    """What families in colour are trained on here: there is no data set in colour without a download."""

    def make(folder: Path) -> None:
        for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)):
            Image.fromarray(pixels).save(folder / f"{index}.png")

    return made_once("pictures", make)


@pytest.fixture
def play(name, pictures) -> Callable[..., int]:
    """`play(folder)`: a run of the family, resumed where it was begun."""

    def run(folder: Path, device: str = "cpu") -> int:
        images = ["--dataset", "folder", "--data-dir", pictures] if in_colour(name) else ["--dataset", "digits"]
        family, *settings = name.split()
        flags = [*images, *FLAGS, *MORE.get(name, []), *settings, "--max-steps", STEPS, "--output-dir", folder]
        return train(family, *flags, "--resume", device=device)

    return run


@pytest.fixture
def whole(name, made_once, play) -> Path:
    """An undisturbed run."""

    def make(folder: Path) -> None:
        assert play(folder) == 0

    return made_once(f"family-{name.replace(' ', '')}", make)


def test_it_writes_what_a_run_writes(name, game, whole):
    assert steps_written(whole) == STEPS
    losses = load_losses(whole)
    columns = list(losses)
    assert columns[:4] == ["step", "epoch", "batch", "loss_d"]
    assert all(np.isfinite(values).all() for values in losses.values())
    config = load_config(whole)
    assert config["family"] == family_of(name)
    assert config["scores"] == (list(game.scores) if game.scores else None)
    assert list(config["parameters"]) == list(game.networks)
    for network_name, network in checkpoint.all_networks(game).items():
        kept = load_params(whole / f"{network_name}.params")
        assert {key for key, value in kept.items() if isinstance(value, np.ndarray)} == set(network.state_dict())
    assert [path.name for path in sorted((whole / "samples").iterdir())] == [
        "0000_0000.png", "0000_0003.png",
    ]  # fmt: skip
    with Image.open(whole / "samples/0000_0003.png") as grid:
        assert grid.width == 8 * (game.image[2] + 2) + 2
        assert np.asarray(grid).std() > 5


class Killed(BaseException):
    """Ends a run as SIGKILL does: the loop writes nothing more, and what it wrote since its last checkpoint stays."""


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")  # of the killed
def test_killed_and_resumed_it_is_the_same_run(whole, play, device, tmp_path, monkeypatch):
    """Byte for byte on a CPU; a GPU adds up in no fixed order."""
    log = Recorder.log

    def kill(self, step: int, *rest: object, **named: object) -> bool:
        fine = log(self, step, *rest, **named)
        if step == 1:
            self.flags.checkpoint_minutes = 0  # it is time for one after the next step
        if step == 3:  # which draws a grid, so that its row is in the file
            raise Killed
        return fine

    monkeypatch.setattr(Recorder, "log", kill)
    with pytest.raises(Killed):
        play(tmp_path / "run", device)
    gc.collect()  # what the killed run had open is closed here, by Python in place of the system
    assert steps_written(tmp_path / "run") == 4
    monkeypatch.setattr(Recorder, "log", log)
    assert checkpoint.load_checkpoint(tmp_path / "run")[0]["step"] == 3
    assert play(tmp_path / "run", device) == 0
    if device == "cpu":
        assert result(tmp_path / "run") == result(whole)
    else:
        expected = load_losses(whole)
        for column, values in load_losses(tmp_path / "run").items():
            np.testing.assert_allclose(values, expected[column], rtol=0.05, atol=0.05, err_msg=column)


def test_it_draws(name, whole, tmp_path, say, device):
    """Those that draw from pictures only say so."""
    game = load_game(whole)
    said = say(sample.main, whole, "--count", 5, "--npy", tmp_path / "a.npy", "--out", tmp_path / "a.png")
    if "generator" not in game.networks:
        assert (said.status, said.err.count("\n")) == (2, 1)
        assert f"{family_of(name)} draws nothing from noise; --reconstruct" in said.err
        return
    assert (said.status, said.err) == (0, "")
    images = np.load(tmp_path / "a.npy")
    assert images.shape == (5, *game.image)
    assert np.abs(images).max() <= 1
    expected = game.sample(game.latent(np.random.default_rng(0), 5))
    np.testing.assert_allclose(images, expected, atol=1e-5)
    average = tmp_path / "ema.npy"
    assert say(sample.main, whole, "--count", 5, "--weights", "generator_ema.params", "--npy", average).status == 0
    assert (np.load(average) != images).any()


def test_it_reconstructs(name, whole, tmp_path, say):
    """A row of originals, a row for each step after it, and so on; those that draw from noise only say so."""
    game, out = load_game(whole), tmp_path / "a.npy"
    said = say(sample.main, whole, "--reconstruct", "--count", 8, "--columns", 4, "--npy", out)
    if not game.reconstructs:
        assert (said.status, said.err.count("\n")) == (2, 1)
        assert f"--reconstruct: {family_of(name)} draws from noise only" in said.err
        return
    assert (said.status, said.err) == (0, "")
    unseen, _, _ = load_labelled("digits", "test", size=game.image[1])
    steps = game.reconstruct(unseen[np.random.default_rng(0).permutation(len(unseen))[:8]])
    rows = np.load(out).reshape(2, len(steps), 4, *game.image)
    for place, step in enumerate(steps):
        np.testing.assert_allclose(rows[:, place].reshape(step.shape), step, atol=1e-5)
    if game.ema:
        average = ["--weights", "generator_ema.params"]
        said = say(sample.main, whole, "--reconstruct", *average, "--count", 8, "--columns", 4, "--npy", out)
        assert "by generator_ema.params and the last weights of the other networks" in said.out
        run = shutil.copytree(whole, tmp_path / "run")
        shutil.copyfile(run / "generator_ema.params", run / "generator_best.params")  # of an earlier step than encoders
        assert "generator_best" not in say(sample.main, run, "--reconstruct", "--count", 8, "--npy", out).out


def test_it_is_judged(name, game, whole, say, monkeypatch):
    for module in [module for path, module in sys.modules.items() if path.startswith("zoo.")]:
        if hasattr(module, "MEASURED"):  # fewer samples for the family's own yardstick
            monkeypatch.setattr(module, "MEASURED", 200)
    monkeypatch.setattr("commands.evaluate.RECONSTRUCTED", 50)
    said = say(evaluate.main, whole, "--samples", 100, "--json")
    assert (said.status, said.err) == (0, "")
    found = json.loads(said.out)
    draws = "generator" in game.networks
    assert {f"{whole} raw", f"{whole} EMA"} & set(found["rows"]) == (
        {f"{whole} raw", f"{whole} EMA"} if draws else set()
    )
    assert {"real, a half" if in_colour(name) else "real, unseen", "noise"} <= set(found["rows"])
    assert ("the features of CIFAR-10's judge" in found["dataset"]) == in_colour(name)
    assert all(np.isfinite(row["frechet"]) for row in found["rows"].values())
    assert not (game.reconstructs and f"{whole} EMA" in found["yardsticks"])  # the encoder is not averaged
    assert ("PSNR" in found["yardsticks"].get(f"{whole} raw", {})) == game.reconstructs
    assert draws or found["yardsticks"][f"{whole} raw"]


def test_it_is_compared(name, whole, tmp_path, say, monkeypatch):
    drawn, draw = [], compare.draw_runs
    monkeypatch.setattr(compare, "draw_runs", lambda *given: drawn.append(draw(*given)) or drawn[0])
    said = say(compare.main, whole, "--out", tmp_path / "a.png")
    assert (said.status, said.err) == (0, "")
    losses, *_ = drawn[0].subfigs
    assert [axes.get_title() for axes in losses.axes] == [compare.load_run(whole).label]


def test_the_same_noise_gives_the_same_latent_vectors(game):
    first, second = (game.latent(np.random.default_rng(5), 12) for _ in range(2))
    assert (first == second).all()
    np.testing.assert_array_equal(first[:7], game.latent(np.random.default_rng(5), 7))
    assert first.dtype == np.float32
    assert isinstance(first, np.ndarray)


def test_the_noise_is_what_the_family_says(game):
    """`commands.sample --interpolate` walks on a sphere if it is normal, and straight, staying inside, if it is not."""
    noise = game.latent(np.random.default_rng(0), 500)[:, : game.latent_dim]
    if game.noise == "uniform":
        assert -1 <= noise.min() < -0.99 < 0.99 < noise.max() < 1
        assert noise.var() == pytest.approx(1 / 3, rel=0.05)
    else:
        assert np.abs(noise).max() > 3
        assert noise.var() == pytest.approx(1, rel=0.05)


def test_the_loss_of_d_is_chance_where_d_cannot_tell(name):
    """`loss_d` is of the scores alone, whatever D pays besides."""
    game = game_of(name)
    assert (game.chance is None) == (game.scores is None)
    if game.chance is None:
        return
    answer = 0.0
    for network_name, network in game.networks.items():
        if network_name.startswith("discriminator"):
            last = [layer for layer in network.sublayers() if list(layer.parameters(include_sublayers=False))][-1]
            last.register_forward_post_hook(lambda layer, inputs, score: 0 * score + answer)
    found = []
    for answer in (0.0, 0.5):  # noqa: B007  a half of logits, and of scores
        found.append({key: value.item() for key, value in game.update(batch_of_noise(game, 4, 0)).items()})
    (values,) = (one for one in found if one["score_real"] == one["score_fake"] == np.mean(game.scores))
    assert values["loss_d"] == pytest.approx(game.chance, rel=1e-5)
