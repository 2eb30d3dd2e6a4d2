"""Runs that are killed, stopped and starved, for real, end where an undisturbed one ends."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.run import checkpoint
from tests.conftest import check_refused, train
from tests.nursery import Child, Nursery
from tests.runs import OFTEN, STEPS, TOY, result, steps_written

import pytest

FLAGS = [*TOY, "--max-steps", STEPS, "--resume", "--output-dir"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def resumed_at(child: Child) -> int:
    """The step that it goes on from."""
    found = re.search("resumed after (\\d+)", child.out.read_text())
    return int(found.group(1)) if found else 0


def finish(folder: Path) -> None:
    """Let a run go on to its end."""
    assert train("toy", *FLAGS, folder) == 0


def test_a_process_that_nothing_happens_to(tmp_path, nursery, undisturbed):
    """Of those that the other tests disturb."""
    child = nursery.start(tmp_path / "run", *FLAGS, tmp_path / "run")
    assert child.end() == 0
    assert child.err.read_text() == ""
    assert result(tmp_path / "run") == undisturbed


def test_killed_at_random_moments(tmp_path, nursery, undisturbed):
    """SIGKILL some steps after the first, again and again, until a run reaches the end."""
    folder, moments, kills = tmp_path / "run", random.Random(7), 0
    while True:
        child = nursery.start(folder, *FLAGS, folder, *OFTEN)
        steps = moments.randint(10, 60)
        for _ in child.while_running():
            begun = "begun" in child.out.read_text()
            if begun and steps_written(folder) >= resumed_at(child) + steps:
                break
        child.send(signal.SIGKILL)
        status = child.end()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        assert kills < 60
    assert kills >= 3
    assert result(folder) == undisturbed


def test_killed_in_the_middle_of_a_save(tmp_path, nursery, undisturbed):
    folder = tmp_path / "run"
    for save in (1, 2, 3):  # the first save, and later ones with a good checkpoint beside them
        child = nursery.start(folder, *FLAGS, folder, *OFTEN, hang_in_save=save)
        child.wait_for("saving")
        child.send(signal.SIGKILL)
        assert child.end() == -signal.SIGKILL
        assert list(folder.glob(".checkpoint*.part")), "not killed in the middle of a save"
        assert (folder / checkpoint.NAME).exists() == (save > 1)
    finish(folder)
    assert result(folder) == undisturbed
    assert not list(folder.glob(".*.part"))


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGINT, 2), (signal.SIGHUP, 2)],
)
def test_asked_to_stop_once_and_twice(tmp_path, nursery, undisturbed, number, times):
    """Where the terminal is gone, kernel and shell may both say so: that is no second wish."""
    folder = tmp_path / "run"
    child = nursery.start(folder, *FLAGS, folder)
    child.wait_for("step 100 ")
    child.send(number)
    if times == 2:
        child.wait_for("stopping after this step", child.err)
        child.send(number)
    assert child.end() == 130
    assert steps_written(folder) < STEPS
    assert "Traceback" not in child.err.read_text()
    if times == 1 or number == signal.SIGHUP:
        assert "--resume goes on from here" in child.out.read_text()
    finish(folder)
    assert result(folder) == undisturbed


def test_one_run_at_a_time_and_a_dead_one_does_not_count(tmp_path, nursery, say):
    folder = tmp_path / "run"
    child = nursery.start(folder, *FLAGS, folder, "--max-steps", 90_000)  # still at it when the second begins
    child.wait_for("begun")
    check_refused(say(train, "toy", *FLAGS, folder), "another run writes here")
    child.send(signal.SIGKILL)
    assert child.end() == -signal.SIGKILL
    more = steps_written(folder) + 5
    assert train("toy", *FLAGS, folder, "--max-steps", more) == 0
    assert steps_written(folder) == more


def test_in_a_thread_it_trains_without_signals(tmp_path):
    """As in a web application or a notebook's executor, where Python gives no signals."""
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(train, "toy", *FLAGS, tmp_path / "thread", "--max-steps", 30)
        assert done.result() == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert train("toy", *FLAGS, tmp_path / "main", "--max-steps", 30) == 0
    assert result(tmp_path / "thread") == result(tmp_path / "main")


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_checkpoint(half, nursery):
    before = (half / checkpoint.NAME).read_bytes()
    child = nursery.start(half, *FLAGS, half, "--max-steps", 900, largest_file=len(before) - 1)
    assert child.end() == 2
    said = child.err.read_text().splitlines()
    assert "File too large" in said[-1]
    assert str(half) in said[-1]
    assert (half / checkpoint.NAME).read_bytes() == before
    assert not list(half.glob(".*.part"))


def test_nobody_reads_what_it_says(tmp_path, nursery, undisturbed):
    """`python dcgan/train.py | head -1`."""
    child = nursery.start(tmp_path / "run", *FLAGS, tmp_path / "run", unread=True)
    assert child.end() == 0
    assert result(tmp_path / "run") == undisturbed


def test_a_clock_that_jumps_does_no_harm(tmp_path, nursery, undisturbed):
    child = nursery.start(tmp_path / "run", *FLAGS, tmp_path / "run", clock=True)
    assert child.end() == 0, child.err.read_text()
    assert result(tmp_path / "run") == undisturbed
