"""Exact resume, tried for real: processes stopped and killed at any moment end where an undisturbed one ends."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import checkpoint
from common.errors import UserError
from common.gan import GAN
from common.train import run
from tests import toy
from tests.conftest import ROOT, call

import numpy as np
import pytest

STEPS = 400
TOY = ["tests/toy.py", "--eval-every", "0", "--dataset", "digits", "--threads", "1", "--checkpoint-minutes", "0.002"]
# Compared byte for byte. VisualDL's records hold times, the GIF follows from the grids.
COMPARED = ("generator.params", "generator_ema.params", "discriminator.params", "losses.csv")


def result(folder: Path) -> dict[str, str]:
    """What must be equal: hashes of weights, losses and every grid, and VisualDL's points without their times."""
    from visualdl import LogReader

    files = [*(folder / name for name in COMPARED), *sorted((folder / "samples").iterdir())]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    reader = LogReader(file_path=str(folder / "vdlrecords.run.log"))
    for tag in ("loss/D", "loss/G", "score/real", "score/fake"):
        found[tag] = str([(point.id, point.value) for point in reader.get_data("scalar", tag)])
    found["grids"] = str([point.id for point in reader.get_data("image", "samples")])
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = call(*TOY, "--max-steps", STEPS, "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    with (folder / "losses.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(STEPS))
    return result(folder)


def start(folder: Path, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *TOY, "--max-steps", str(STEPS), "--output-dir", str(folder), "--resume", *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def here(*flags: object) -> int:
    """The toy in this process, without the seconds that a new one takes to start; its exit status."""
    return run("lsgan", toy.build, list(map(str, [*TOY[1:], *flags])))


def test_killed_at_random_moments(tmp_path, undisturbed):
    """SIGKILL some steps after the first, again and again, until a run reaches the end."""
    folder, moments, kills = tmp_path / "run", random.Random(7), 0

    def steps() -> int:
        return (folder / "losses.csv").read_text().count("\n")

    while True:
        running = start(folder)
        for line in running.stdout:
            if "step " in line:
                break
        goal = steps() + moments.randint(0, 50)
        while running.poll() is None and steps() < goal:
            time.sleep(0.002)
        try:
            running.communicate(timeout=moments.uniform(0, 0.05))
            break
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            kills += 1
        assert kills < 40
    assert running.returncode == 0
    assert kills >= 3
    print(f"{kills} kills, {kills} resumes")
    assert result(folder) == undisturbed


SLOW_SAVE = """
import os, time
fsync = os.fsync
def slow(descriptor):
    if "checkpoint" in os.readlink(f"/proc/self/fd/{descriptor}"):
        print("saving", flush=True)
        time.sleep(0.4)
    fsync(descriptor)
os.fsync = slow
"""
AS_A_SCRIPT = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, "tests")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_killed_in_the_middle_of_a_save(tmp_path, undisturbed):
    folder = tmp_path / "run"
    for save in (1, 2, 3):  # the first save, and later ones with a good checkpoint beside them
        flags = [*TOY, "--max-steps", str(STEPS), "--output-dir", str(folder), "--resume"]
        running = subprocess.Popen(
            [sys.executable, "-c", SLOW_SAVE + AS_A_SCRIPT, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        seen = 0
        for line in running.stdout:
            seen += line.startswith("saving")
            if seen == save:
                time.sleep(0.1)
                running.kill()
                break
        running.communicate()
        assert list(folder.glob(".checkpoint*.part")), "not killed in the middle of a save"
        assert (folder / checkpoint.NAME).exists() == (save > 1)
    done = start(folder)
    assert done.communicate(timeout=120)[1] == ""
    assert done.returncode == 0
    assert result(folder) == undisturbed
    assert not list(folder.glob(".*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_asked_to_stop_once_and_twice(tmp_path, undisturbed, number, times):
    folder = tmp_path / "run"
    running = start(folder)
    for line in running.stdout:
        if "step 100 " in line:
            break
    for _ in range(times):
        running.send_signal(number)
        time.sleep(0.002)
    shown, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in errors
    if times == 1:
        assert "--resume goes on from here" in shown
    done = start(folder)
    assert done.communicate(timeout=120)[1] == ""
    assert result(folder) == undisturbed


def test_resume_after_the_end_goes_on_with_more(tmp_path, undisturbed):
    """A run of fewer steps, with other grids and checkpoints on the way, goes on to the same end."""
    folder = tmp_path / "run"
    assert call(*TOY, "--max-steps", 333, "--output-dir", folder).returncode == 0
    done = start(folder, "--checkpoint-minutes", "5")
    shown, errors = done.communicate(timeout=120)
    assert (done.returncode, errors) == (0, "")
    assert "resumed after 333" in shown
    assert result(folder) == undisturbed
    again = start(folder)
    shown, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert f"nothing to do: {STEPS} steps are done" in shown
    assert result(folder) == undisturbed


def test_the_real_networks_resume_bit_for_bit(family, tmp_path):
    flags = ["--dataset", "digits", "--sample-every", "5", "--batch-size", "16", "--threads", "2"]
    script = f"{family}/train.py"
    assert call(script, *flags, "--max-steps", 16, "--output-dir", tmp_path / "whole").returncode == 0
    for steps in (6, 16):
        done = call(script, *flags, "--max-steps", steps, "--output-dir", tmp_path / "parts", "--resume")
        assert done.returncode == 0, done.stderr
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_nothing_there_starts_new(tmp_path, capsys):
    assert here("--max-steps", 3, "--output-dir", tmp_path / "run", "--resume") == 0
    assert "nothing to resume" in capsys.readouterr().out


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """A run of 300 steps with two checkpoints."""
    folder = tmp_path_factory.mktemp("half")
    assert call(*TOY, "--max-steps", 200, "--output-dir", folder).returncode == 0
    assert call(*TOY, "--max-steps", 300, "--output-dir", folder, "--resume").returncode == 0
    return folder


@pytest.fixture
def copy(half, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(half, tmp_path / "run"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed", "1"], "--seed was 42 and is now 1"),
        (["--batch-size", "16"], "--batch-size was 32 and is now 16"),
        (["--learning-rate", "0.001"], "--learning-rate was 0.0002 and is now 0.001"),
        (["--beta1", "0.9"], "--beta1 was 0.5 and is now 0.9"),
        (["--label-smoothing", "0.1"], "--label-smoothing was off and is now 0.1"),
        (["--linear-decay"], "--linear-decay was off and is now True"),
    ],
)
def test_what_may_not_change_is_refused_with_both_values(copy, flags, words, capsys):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert here("--output-dir", copy, "--resume", *flags) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_another_family_is_refused(copy, capsys):
    assert run("dcgan", toy.build, ["--dataset", "digits", "--output-dir", str(copy), "--resume"]) == 2
    assert "family was lsgan and is now dcgan" in capsys.readouterr().err


def test_data_replaced_cut_or_removed_between_start_and_resume(tmp_path, mnist_dir, capsys):
    flags = ["--dataset", "mnist", "--data-dir", mnist_dir, "--output-dir", tmp_path / "run"]
    assert here(*flags, "--max-steps", 3) == 0
    path = mnist_dir / "train-images-idx3-ubyte.gz"
    sound = path.read_bytes()
    import gzip

    from tests.conftest import idx_images

    for content, words in (
        (gzip.compress(idx_images(seed=1)), "data set was mnist md5:"),
        (sound[:100], "truncated"),
        (None, "No such file"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        assert here(*flags, "--max-steps", 6, "--resume") == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    path.write_bytes(sound)
    assert here(*flags, "--max-steps", 6, "--resume") == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(copy, damage, undisturbed):
    path = copy / checkpoint.NAME
    content = bytearray(path.read_bytes())
    if damage == "gone":  # killed between the two renames
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"cut": content[:-5], "flipped": content, "empty": b""}[damage])
    done = start(copy)
    shown, errors = done.communicate(timeout=120)
    assert done.returncode == 0
    if damage != "gone":
        assert "going on from the checkpoint before it" in errors
        assert errors.count("\n") == 1
    assert "resumed after" in shown
    assert "resumed after 300" not in shown
    assert result(copy) == undisturbed


def test_no_sound_checkpoint_is_an_error_not_a_new_start(copy, capsys):
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (copy / name).write_bytes(b"broken")
    assert here("--output-dir", copy, "--resume") == 2
    assert "start anew without --resume" in capsys.readouterr().err
    assert (copy / "losses.csv").read_text().count("\n") == 301


def test_a_crafted_checkpoint_runs_nothing(copy, tmp_path):
    import pickle

    from tests.test_weights import Call

    body = pickle.dumps({"step": Call(Path.touch, tmp_path / "proof")}, 4)
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (copy / name).write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(UserError, match="refused"):
        checkpoint.load(copy)
    assert not (tmp_path / "proof").exists()


def test_one_run_at_a_time_and_a_dead_one_does_not_count(tmp_path, capsys):
    folder = tmp_path / "run"
    running = start(folder, "--max-steps", "9000")  # still at it when the second begins
    for line in running.stdout:
        if "step " in line:
            break
    assert here("--output-dir", folder) == 2
    assert "another run writes here" in capsys.readouterr().err
    running.kill()
    running.communicate()
    assert here("--output-dir", folder, "--resume", "--max-steps", 300) == 0


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_checkpoint(copy):
    """RLIMIT_FSIZE stands in for the disk: no file may grow past it."""
    limit = (copy / checkpoint.NAME).stat().st_size - 1
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));" + AS_A_SCRIPT
    before = (copy / checkpoint.NAME).read_bytes()
    done = call("-c", script, *TOY, "--max-steps", 900, "--output-dir", copy, "--resume")
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert str(copy) in done.stderr.splitlines()[-1]
    assert (copy / checkpoint.NAME).read_bytes() == before
    assert not list(copy.glob(".*.part"))


@pytest.mark.parametrize("output", ["/proc/run", "file/run", "file"])
def test_an_output_folder_that_cannot_be(tmp_path, output, monkeypatch, capsys):
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert here("--output-dir", output) == 2
    said = capsys.readouterr().err
    assert output in said
    assert said.count("\n") == 1


def test_the_clock_going_back_does_no_harm(tmp_path, undisturbed):
    script = "import time; now = time.time(); time.time = lambda: now - 1e6 * (time.monotonic() % 2 > 1);" + AS_A_SCRIPT
    done = call("-c", script, *TOY[:-2], "--max-steps", STEPS, "--output-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "run") == undisturbed


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
    assert here("--max-steps", 400, "--checkpoint-minutes", 5, "--output-dir", folder) == 3
    found, _, _ = checkpoint.load(folder)
    assert found["step"] == 57
    with (folder / "losses.csv").open() as file:
        assert np.isnan(float(list(csv.DictReader(file))[99]["loss_g"]))
