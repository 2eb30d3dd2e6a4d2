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

from common import parallel
from common.data import load_digits
from common.errors import UserError
from common.flags import parse_flags
from common.train import train_together
from tests.conftest import ROOT, call

import numpy as np
import paddle
import pytest

LAUNCH = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
TOY = [*LAUNCH, ROOT / "tests/toy.py", "--dataset", "digits", "--eval-every", "0", "--sample-every", "20"]


def printed(text: str) -> dict:
    """The line of JSON in what the launcher repeats of its first process."""
    return json.loads(next(line for line in text.splitlines() if line.startswith('{"rows"')))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_twice_16_is_once_32(tmp_path, mode):
    script = ROOT / "tests/two_steps.py"
    together, alone = call(*LAUNCH, script, mode, cwd=tmp_path), call(script, mode)
    two, one = printed(together.stdout), printed(alone.stdout)
    # Without statistics of the batch the same sums in another order; with them, of 16 images each in place of 32.
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if mode == "eval" else {"rtol": 0.15}
    for mine, its in zip(two["rows"], one["rows"]):
        assert mine.keys() == its.keys()
        for name in mine:
            # the norm of a mean of gradients is not the mean of the norms
            if name != "grad_g":
                np.testing.assert_allclose(mine[name], its[name], **tolerance, err_msg=name)
    if mode == "eval":
        np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("count", [2, 5, 32])
@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_make_the_batch(monkeypatch, count, world):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", str(world))
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: world)
    parts = []
    for rank in range(world):
        monkeypatch.setattr(paddle.distributed, "get_rank", lambda rank=rank: rank)
        parts.append(list(range(count))[parallel.part(count)])
    assert [index for part in parts for index in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def made_at(path: Path) -> int | None:
    """In nanoseconds; None while the file is not there, as between the two renames of a save."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def start(folder: Path, *flags: object) -> tuple[subprocess.Popen, Path]:
    """The toy in two processes, once it has made a new checkpoint; the launcher's output goes to the file."""
    log, checkpoint = folder / "launch.log", folder / "run/checkpoint.params"
    before = made_at(checkpoint)
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *map(str, TOY), *map(str, flags)],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where a shell runs us with &
        )
    deadline = time.monotonic() + 60
    while made_at(checkpoint) in (None, before):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return process, log


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("pass", False),
        ("raise UserError('wrong flag')", False),
        ("raise RuntimeError('Connection reset by peer')", True),
        ("raise KeyboardInterrupt", True),
        ("os.abort()", True),
        ("os.kill(os.getpid(), signal.SIGKILL)", True),
    ],
)
def test_last_words(end, said):
    code = f"import os, signal; from common.parallel import *\nwith last_words('another is gone'): {end}"
    assert ("another is gone" in call("-c", code).stderr.splitlines()) == said


def kill_second(process: subprocess.Popen, log: Path) -> None:
    os.kill(int(re.search(r"proc_id:(\d+) idx:1", log.read_text()).group(1)), signal.SIGKILL)


def interrupt(process: subprocess.Popen, log: Path) -> None:
    process.send_signal(signal.SIGINT)


def test_stopped_and_resumed_it_is_the_same_run(tmp_path):
    """By Ctrl-C, then by the loss of a process."""
    whole = call(*TOY, "--max-steps", "400", "--output-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "2 processes of " in whole.stdout
    flags = ["--output-dir", "run", "--checkpoint-minutes", "0.002", "--max-steps", "400", "--resume"]
    for stop in (interrupt, kill_second):
        process, log = start(tmp_path, *flags)
        stop(process, log)
        status = process.wait(60)
        steps = len((tmp_path / "run/losses.csv").read_text().splitlines()) - 1
        assert steps < 400  # it did not get to its end
        if stop is kill_second:  # after Ctrl-C the launcher says 0 or 1 as it happens to be doing this or that
            assert status != 0
            assert "rank=[" in log.read_text()  # the launcher's own line
            assert "error: process 0 of 2 ended early: another is gone" in (tmp_path / "log/workerlog.0").read_text()
    rest = call(*TOY, *flags, cwd=tmp_path)
    assert "resumed after" in rest.stdout
    for name in ("losses.csv", "generator.params", "generator_ema.params", "discriminator.params"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("flags", "words"), [(["--sync-batchnorm"], "--sync-batchnorm: "), (["--batch-size", "4"], "leaves 1 images")]
)
def test_flags_that_do_not_go_together(flags, words):
    config = {"processes": 2, "device": "cpu"}
    with pytest.raises(UserError, match=words):
        train_together(None, load_digits(), parse_flags("dcgan", flags), config, rank=0)
