"""Several processes under Paddle's launcher against one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from common.data import load_digits
from common.errors import UserError
from common.machine import processes
from common.run.flags import parse_flags
from common.train import check_batches
from tests import toy, two_steps
from tests.conftest import ROOT, call, check_refused, make_gan, train, users_environment
from tests.runs import steps_written

import numpy as np
import paddle
import pytest

LAUNCH = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
TOY = [*LAUNCH, ROOT / "tests/toy.py", "--dataset", "digits", "--eval-every", 0, "--sample-every", 20]
TOY += ["--device", "cpu"]


@pytest.fixture(scope="session")
def together(made_once) -> dict[tuple[str, str], dict]:
    """What `two_steps.py` prints under the launcher, by the family and the mode of BatchNorm."""

    def make(folder: Path) -> None:
        done = call(*LAUNCH, ROOT / "tests/two_steps.py", cwd=folder)
        (folder / "printed.txt").write_text(done.stdout)

    lines = (made_once("two-steps", make) / "printed.txt").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith('{"case"')]
    return {tuple(one["case"]): one for one in found}


@pytest.mark.parametrize("case", two_steps.CASES, ids=" ".join)
def test_two_halves_are_once_the_whole(together, case):
    two, one = together[case], two_steps.two_steps(*case)
    # Without statistics of the batch the same sums in another order; with them, of half as many images.
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if case[1] == "eval" else {"rtol": 0.15}
    for mine, its in zip(two["rows"], one["rows"]):
        assert mine.keys() == its.keys()
        for name in mine:
            if name != "grad_g" or case[1] == "eval":
                np.testing.assert_allclose(mine[name], its[name], **tolerance, err_msg=name)
    if case[1] == "eval":
        np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-3, atol=1e-6)


def test_an_environment_that_is_half_a_launchers(monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    with pytest.raises(ValueError, match=r"PADDLE_TRAINER_ID is needed, .*: unset PADDLE_TRAINERS_NUM; for several"):
        processes.start()


def test_processes_that_found_different_data(monkeypatch, tmp_path, say):
    monkeypatch.setattr(processes, "all_equal", lambda number: False)
    said = say(train, "toy", "--dataset", "digits", "--device", "cpu", "--output-dir", tmp_path)
    check_refused(said, "--dataset digits: the processes found different data")


@pytest.mark.parametrize("count", [2, 5, 32])
@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_make_the_batch(monkeypatch, count, world):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", str(world))
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: world)
    parts = []
    for rank in range(world):
        monkeypatch.setattr(paddle.distributed, "get_rank", lambda rank=rank: rank)
        parts.append(list(range(count))[processes.share(count)])
    assert [index for part in parts for index in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def made_at(path: Path) -> int | None:
    """In nanoseconds; None while the file is not there, as between the two renames of a save."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def start(folder: Path, steps: int, *flags: object) -> tuple[subprocess.Popen, Path]:
    """The toy in two processes, once it has made a new checkpoint and so many `steps` in all; the launcher's output
    goes to the file."""
    log, checkpoint = folder / "launch.log", folder / "run/checkpoint.params"
    before = made_at(checkpoint)
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *map(str, TOY), *map(str, flags)],
            cwd=folder,
            env=users_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where a shell runs us with &
        )
    deadline = time.monotonic() + 120
    while made_at(checkpoint) in (None, before) or steps_written(folder / "run") < steps:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    return process, log


def test_stopped_and_resumed_it_is_the_same_run(tmp_path):
    """By the loss of a process, then by Ctrl-C, which saves: nothing is left to do but to compare."""
    flags = ["--output-dir", "run", "--checkpoint-minutes", 0.001, "--resume"]
    process, log = start(tmp_path, 10, *flags)
    os.kill(int(re.search(r"proc_id:(\d+) idx:1", log.read_text()).group(1)), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while "rank=[" not in log.read_text():  # the launcher's own line, once the other process has ended, too
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    again, _ = start(tmp_path, 30, *flags)
    again.send_signal(signal.SIGINT)
    again.wait(60)  # the launcher says 0 or 1 as it happens to be doing this or that
    assert "resumed after" in (tmp_path / "log/workerlog.0").read_text()
    steps = steps_written(tmp_path / "run")
    whole = call(*TOY, "--output-dir", "whole", "--max-steps", steps, cwd=tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert process.wait(60) != 0  # it takes its time: meanwhile the others have run
    assert "2 processes of " in whole.stdout
    for name in ("losses.csv", "generator.params", "generator_ema.params", "discriminator.params"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("flags", "words"), [(["--sync-batchnorm"], "--sync-batchnorm: "), (["--batch-size", "4"], "leaves 1 images")]
)
def test_flags_that_do_not_go_together(flags, words):
    config = {"processes": 2, "device": "cpu"}
    with pytest.raises(UserError, match=words):
        check_batches(make_gan("dcgan"), load_digits(), parse_flags("dcgan", toy.build, flags), config)


def test_more_images_than_there_are(monkeypatch):
    """An update of several batches leaves an epoch's remainder out: here it would leave all."""
    game = make_gan("dcgan")
    monkeypatch.setattr(game, "batches", 5, raising=False)
    flags = parse_flags("dcgan", toy.build, ["--batch-size", "400"])
    with pytest.raises(UserError, match="an update takes 2,000 images, there are 1,797"):
        check_batches(game, load_digits(), flags, {"processes": 1, "device": "cpu"})
