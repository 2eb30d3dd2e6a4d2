"""Exact resume: a run that was stopped, or whose files were damaged, ends where an undisturbed one ends."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import inspect
import io
import pickle
from pathlib import Path

from common.errors import UserError
from common.gan import GAN
from common.machine import choice, cpu
from common.run import artifacts, checkpoint
from common.run.identity import identity
from common.run.runs import load_losses
from common.train import run
from tests import toy
from tests.conftest import check_refused, here, idx_images, train
from tests.runs import OFTEN, STEPS, TOY, result
from tests.test_weights import Call

import numpy as np
import paddle
import pytest
from paddle import nn

FLAGS = [*TOY, "--max-steps", STEPS, "--output-dir"]


def test_resume_after_the_end_goes_on_with_more(tmp_path, undisturbed, say):
    """A run of fewer steps, with other grids and checkpoints on the way, goes on to the same end."""
    folder = tmp_path / "run"
    assert train("toy", *FLAGS, folder, "--max-steps", 173) == 0
    said = say(train, "toy", *FLAGS, folder, "--resume", *OFTEN)
    assert (said.status, said.err) == (0, "")
    assert "resumed after 173" in said.out
    assert result(folder) == undisturbed
    config = (folder / "config.json").read_bytes()
    said = say(train, "toy", *FLAGS, folder, "--resume", "--max-steps", 3, "--sample-every", 7)
    assert said.status == 0
    assert f"nothing to do: {STEPS} steps are done" in said.out
    assert result(folder) == undisturbed
    assert (folder / "config.json").read_bytes() == config  # it says how these steps were made


def test_a_run_that_moved_is_told_that_it_rounds_otherwise(half, monkeypatch, say):
    monkeypatch.setattr(cpu, "processor", lambda: "a Z80")
    monkeypatch.setattr(choice, "chosen", {"a key": "a way"})
    said = say(train, "toy", *FLAGS, half, "--resume")
    assert said.status == 0
    assert said.err.startswith("note: this run comes from ")
    assert "; here it is a Z80, " in said.err
    found, _, _ = checkpoint.load_checkpoint(half)
    assert found["computed by"]["machine"].startswith("a Z80, ")
    assert found["computed by"]["ways"]["a key"] == "a way"
    said = say(train, "toy", *FLAGS, half, "--resume")
    assert (said.status, said.err) == (0, "")


def test_nothing_there_starts_new(tmp_path, say):
    said = say(train, "toy", *FLAGS, tmp_path / "run", "--max-steps", 3, "--resume")
    assert said.status == 0
    assert "nothing to resume" in said.out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed", "1"], "--seed was 42 and is now 1"),
        (["--batch-size", "16"], "--batch-size was 32 and is now 16"),
        (["--learning-rate", "0.001"], "--learning-rate was 0.0002 and is now 0.001"),
        (["--beta1", "0.9"], "--beta1 was 0.5 and is now 0.9"),
        (["--label-smoothing", "0.1"], "--label-smoothing was 0.0 and is now 0.1"),
        (["--linear-decay"], "--linear-decay was the default and is now True"),
    ],
)
def test_what_may_not_change_is_refused_with_both_values(half, flags, words, say):
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    check_refused(say(train, "toy", *FLAGS, half, "--resume", *flags), words)
    assert {path: path.read_bytes() for path in half.rglob("*") if path.is_file()} == before


def of_an_earlier_version(run: Path) -> None:
    """Its checkpoint keeps the settings that were not the default, and `config.json` has the others."""
    content, path, _ = checkpoint.load_checkpoint(run)
    del content["settings"]
    body = artifacts.as_params(content)
    path.write_bytes(body + hashlib.sha256(body).digest())


@pytest.mark.parametrize("earlier", [of_an_earlier_version, lambda run: (run / "config.json").unlink()])
def test_a_default_that_is_another_one_since_makes_no_other_run(half, earlier, undisturbed, monkeypatch, say):
    """What was the default is refused where it is another one now, and goes on where it is given."""
    earlier(half)
    names = list(inspect.signature(GAN).parameters)
    defaults = dict(zip(names[-len(GAN.__init__.__defaults__) :], GAN.__init__.__defaults__))
    monkeypatch.setattr(GAN.__init__, "__defaults__", tuple({**defaults, "penalty": 1.0}.values()))
    check_refused(say(train, "toy", *FLAGS, half, "--resume"), "--penalty was 0.0 and is now 1.0; resume with 0.0")
    assert train("toy", *FLAGS, half, "--resume", "--penalty", 0) == 0
    assert result(half) == undisturbed
    assert train("toy", *FLAGS, half, "--max-steps", STEPS + 1, "--resume", "--penalty", 0) == 0
    monkeypatch.setattr(GAN.__init__, "__defaults__", tuple(defaults.values()))
    assert train("toy", *FLAGS, half, "--max-steps", STEPS + 2, "--resume") == 0


def test_a_setting_that_is_newer_than_the_run_is_said(half, say):
    """The common space got noise on its codes, and earlier runs went on with it, unsaid."""
    content, path, _ = checkpoint.load_checkpoint(half)
    for name in ("ema_decay", "label_smoothing"):  # the second one is off by default
        del content["settings"][name]
    body = artifacts.as_params(content)
    path.write_bytes(body + hashlib.sha256(body).digest())
    said = say(train, "toy", *FLAGS, half, "--resume")
    assert said.status == 0
    assert said.err == f"note: {path}: new since this run began: --ema-decay 0.999; to go on as before, turn it off\n"


def test_with_and_without_sync_batchnorm_are_two_runs():
    """On several GPUs, where it changes every normalisation."""
    flags = {"seed": 0, "batch_size": 8, "linear_decay": False, "sync_batchnorm": False}
    config = {"family": "toy", "dataset": "digits", "checksum": "", "processes": 2, "flags": flags}
    without, with_it = (identity({**config, "flags": {**flags, "sync_batchnorm": both}}, []) for both in (False, True))
    assert {**without, "--sync-batchnorm": True} == with_it


def test_the_end_of_a_falling_rate_and_the_processes_are_a_runs_own():
    flags = {"seed": 0, "batch_size": 8, "linear_decay": True, "epochs": 4}
    found = identity({"family": "toy", "dataset": "digits", "checksum": "", "processes": 2, "flags": flags}, [])
    assert (found["processes"], found["--epochs"]) == (2, 4)


def test_dropout_goes_on_too_and_saving_draws_nothing_for_it(tmp_path):
    """In both networks; layers draw from Paddle's own generator."""

    def build() -> GAN:
        game = toy.build()
        dropping = {name: nn.Sequential(*network, nn.Dropout(0.3)) for name, network in game.networks.items()}
        return GAN(*dropping.values(), nn.MSELoss())

    def go(folder: str, steps: int, *flags: object) -> bytes:
        flags = [*TOY, "--max-steps", steps, "--output-dir", tmp_path / folder, *flags]
        assert here(lambda given: run("lsgan", build, given), *flags) == 0
        return (tmp_path / folder / "losses.csv").read_bytes()

    go("stopped", 2, "--checkpoint-minutes", 0)
    assert go("stopped", 4, "--resume") == go("whole", 4)


def test_another_data_set_is_refused_before_it_is_looked_for(half, monkeypatch, say):
    monkeypatch.setattr("common.data.load", None)
    flags = ("--max-steps", 9, "--output-dir", half, "--resume")
    check_refused(
        say(train, "toy", "--dataset", "kmnist", *flags), "--dataset was digits and is now kmnist; resume with"
    )


def test_another_family_is_refused(half, capsys):
    flags = ["--dataset", "digits", "--output-dir", half, "--resume"]
    assert here(lambda given: run("dcgan", toy.build, given), *flags) == 2
    assert "a run of lsgan, not of dcgan; resume it as lsgan" in capsys.readouterr().err


def test_data_replaced_cut_or_removed_between_start_and_resume(tmp_path, mnist_dir, capsys):
    flags = [*FLAGS, tmp_path / "run", "--dataset", "mnist", "--data-dir", mnist_dir]
    assert train("toy", *flags, "--max-steps", 3) == 0
    path = mnist_dir / "train-images-idx3-ubyte.gz"
    sound = path.read_bytes()
    for content, words in (
        (gzip.compress(idx_images(seed=1)), "data set was mnist md5:"),
        (sound[:100], "truncated"),
        (None, "it is empty"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        assert train("toy", *flags, "--max-steps", 6, "--resume") == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    path.write_bytes(sound)
    assert train("toy", *flags, "--max-steps", 6, "--resume") == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(half, damage, undisturbed, say):
    path = half / checkpoint.NAME
    content = bytearray(path.read_bytes())
    if damage == "gone":  # killed between the two renames
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"cut": content[:-5], "flipped": content, "empty": b""}[damage])
    said = say(train, "toy", *FLAGS, half, "--resume")
    assert said.status == 0
    if damage != "gone":
        assert "going on from the checkpoint before it" in said.err
        assert said.err.count("\n") == 1
        # Kept in place of the sound one, it would leave none if this run were killed within its next save.
        assert (half / checkpoint.DAMAGED).exists()
    assert "resumed after" in said.out
    assert "resumed after 180" not in said.out
    assert result(half) == undisturbed


def test_no_sound_checkpoint_is_an_error_not_a_new_start(half, say):
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (half / name).write_bytes(b"broken")
    check_refused(say(train, "toy", *FLAGS, half, "--resume"), "start anew without --resume")
    assert (half / "losses.csv").read_text().count("\n") == 181


def test_a_crafted_checkpoint_runs_nothing(half, tmp_path):
    body = pickle.dumps({"step": Call(Path.touch, tmp_path / "proof")}, 4)
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (half / name).write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(UserError, match="refused"):
        checkpoint.load_checkpoint(half)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "change",
    [
        *({"step": "5"}, {"step": -1}, {"step": 2**31}, {"sample_every": 0}, {"identity": 0}, {"settings": 0}),
        *({"logs": {}}, {"logs": {"losses.csv": 1, "metrics.jsonl": "1"}}),
        *({"networks": 0}, {"networks": {"generator": 0}}, {"optimizers": {"generator": []}}),
        *({"spreads": 5}, {"spreads": [[1]]}, {"spreads": [("a", "b")]}, {"troubles": [{}]}, {"kinds": {"critic": 5}}),
        *({"computed by": 5}, {"computed by": {}}, {"computed by": {"ways": {"a": 1}}}, {"computed by": {"ways": [1]}}),
    ],
)
def test_a_checkpoint_without_a_trainings_state_is_refused(half, change):
    content = {**checkpoint.load_checkpoint(half)[0], **change}
    body = io.BytesIO()
    paddle.save(content, body)
    (half / checkpoint.NAME).write_bytes(body.getvalue() + hashlib.sha256(body.getvalue()).digest())
    _, path, problem = checkpoint.load_checkpoint(half)
    assert (path.name, problem.partition("refused")[1]) == (checkpoint.PREVIOUS, "refused")


@pytest.mark.parametrize(("then", "status"), [("digits md5:of 28x28", 0), ("mnist md5:of 28x28", 2)])
def test_digits_go_on_whatever_their_checksum_was(half, say, then, status):
    """Of earlier versions it was that of the size, and at 28x28 of the processor; digits are always the package's."""
    content = checkpoint.load_checkpoint(half)[0]
    content["identity"]["data set"] = then
    body = io.BytesIO()
    paddle.save(content, body)
    (half / checkpoint.NAME).write_bytes(body.getvalue() + hashlib.sha256(body.getvalue()).digest())
    said = say(train, "toy", *FLAGS, half, "--resume")
    assert said.status == status
    assert ("data set was mnist md5:of 28x28" in said.err) == (status == 2)


@pytest.mark.parametrize("output", ["/proc/run", "file/run", "file"])
def test_an_output_folder_that_cannot_be(tmp_path, output, monkeypatch, say):
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    check_refused(say(train, "toy", *FLAGS, output), output)


def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(half, monkeypatch, say):
    """It may be sound, and newer than the one before it."""
    read = Path.read_bytes

    def refuses(self) -> bytes:
        if self.name == "checkpoint.params":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refuses)
    said = say(train, "toy", *TOY, "--max-steps", STEPS, "--resume", "--output-dir", half)
    check_refused(said, "checkpoint.params: Permission denied; make it readable")


def test_a_breakdown_ends_with_3_and_keeps_what_was_good(tmp_path, monkeypatch):
    """A loss that stops being finite in the second epoch: the weights on disk are the first epoch's."""
    step, calls = GAN.step, []

    def breaks(self, *arguments):
        calls.append(1)
        values = step(self, *arguments)
        if len(calls) == 100:
            values["loss_g"] = values["loss_g"] * float("nan")
        return values

    monkeypatch.setattr(GAN, "step", breaks)
    folder = tmp_path / "run"
    assert train("toy", *FLAGS, folder) == 3
    found, _, _ = checkpoint.load_checkpoint(folder)
    assert found["step"] == 57
    with (folder / "losses.csv").open() as file:
        assert np.isnan(float(list(csv.DictReader(file))[99]["loss_g"]))


def test_scores_that_are_no_numbers_are_a_breakdown_though_bce_takes_none(tmp_path, monkeypatch):
    step, calls = GAN.step, []

    def breaks(self, *arguments):
        if calls:
            weight = self.discriminator.parameters()[0]
            weight.set_value(weight * float("nan"))
        calls.append(1)
        return step(self, *arguments)

    monkeypatch.setattr(GAN, "step", breaks)
    few = ["--dataset", "digits", "--batch-size", 4, "--eval-every", 0, "--max-steps", 40]
    assert train("dcgan", *few, "--output-dir", tmp_path / "run") == 3
    assert np.isnan(load_losses(tmp_path / "run")["score_real"][1])


def test_weights_that_break_down_before_the_losses_are_not_saved(half, monkeypatch, say):
    """At a step after which all is saved: the losses, of before the update, are still finite."""
    step, before = GAN.step, {path: path.read_bytes() for path in half.glob("*.params")}

    def overshoots(self, *arguments):
        values = step(self, *arguments)
        bias = self.networks["generator"].parameters()[-1]
        bias.set_value(paddle.full_like(bias, float("inf")))
        return values

    monkeypatch.setattr(GAN, "step", overshoots)
    said = say(train, "toy", *FLAGS, half, "--max-steps", 181, "--resume")
    assert (said.status, said.err.count("\n")) == (3, 1)
    assert {path: path.read_bytes() for path in half.glob("*.params")} == before
