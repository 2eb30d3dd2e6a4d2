"""The benchmark measures in processes of their own, and its arithmetic is right."""

from __future__ import annotations

import importlib.util
import time

from commands import benchmark
from common.errors import UserError

import pytest


@pytest.mark.parametrize(("kind", "threads"), [("course", 0), ("ours", 1), ("torch-last", 1)])
def test_a_row_is_measured_in_a_child(tmp_path, kind, threads):
    if kind == "torch-last" and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: pip install torch")
    began = time.monotonic()
    result = benchmark.in_child(tmp_path, kind, 8, threads, 40)
    assert len(result["seconds"]) == (4 if kind == "course" else 5)
    assert 0 < sum(result["seconds"]) < time.monotonic() - began
    assert 100 < result["peak"] < 4000


def test_the_child_has_an_environment_of_its_own(tmp_path, monkeypatch):
    """This process is set up already: nothing of that may reach the course's loop."""
    seen = {}
    monkeypatch.setattr(benchmark.subprocess, "run", lambda *_, env, **__: seen.update(env) or 1 / 0)
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "7")
    with pytest.raises(ZeroDivisionError):
        benchmark.in_child(tmp_path, "course", 32)
    assert "PATH" in seen
    assert not set(benchmark.CLEARED) & set(seen)


def test_what_cannot_be_measured_says_why(tmp_path):
    flags = ["--dataset", "mnist", "--data-dir", "/nowhere", "--output-dir", tmp_path / "run"]
    with pytest.raises(UserError, match="no folder /nowhere"):
        benchmark.in_child(tmp_path, "training", *flags)


def rows(seconds: dict[str, list[float]]) -> dict[str, list[dict]]:
    """What `compare` takes: a child for each figure, of whose three steps it is the median."""
    return {row: [{"seconds": [one, one / 2, 9.0], "peak": 300.0} for one in ones] for row, ones in seconds.items()}


def test_ratios_are_of_medians_and_to_pytorchs_better_row():
    taken = {
        "course": [4.0, 2.0, 8.0], "ours": [1.0, 0.5, 2.0], "torch": [0.5, 0.5, 0.5], "torch last": [0.25],
        "one": [2.0], "torch one": [2.0], "torch last one": [3.0], "two": [1.0],
        "loaded": [2.0], "torch loaded": [9.0], "torch last loaded": [8.0],
    }  # fmt: skip
    found = benchmark.compare(rows(taken), 32)
    assert found["ours"] == {
        "images a second": 32.0, "slowest": 16.0, "fastest": 64.0, "to the course": 4.0, "peak MB": 300.0,
        "to PyTorch": 0.25,
    }  # fmt: skip
    ratios = {row: one["to PyTorch"] for row, one in found.items()}
    assert (ratios["one"], ratios["loaded"], ratios["two"], ratios["torch"]) == (1.0, 4.0, 0.25, 0.5)


def test_the_other_process_is_busy_as_long_as_the_row_is_measured(tmp_path, monkeypatch):
    started = []
    popen = benchmark.subprocess.Popen
    monkeypatch.setattr(benchmark.subprocess, "Popen", lambda *given: started.append(popen(*given)) or started[-1])
    monkeypatch.setattr(benchmark, "in_child", lambda *_, **__: [one.poll() for one in started])
    assert benchmark.measured(tmp_path, benchmark.ROWS["loaded"], 32) == [None]
    assert started[0].returncode < 0
    assert benchmark.measured(tmp_path, benchmark.ROWS["ours"], 32) == [started[0].returncode]


def test_the_report_says_if_the_machine_was_not_quiet():
    found = {
        "machine": benchmark.machine(),
        "cores busy with other programs": 0.01,
        "speeds": {"32": benchmark.compare(rows({"course": [1.0]}), 32)},
        "training": {"share of the time outside the steps": 0.0123, "peak MB": 400.0},
    }
    quiet = benchmark.report(found)
    assert "| 32 | (a) the course's loop, Paddle as installed | 32 | 32 to 32 | 1.00 |" in quiet
    assert "1.2%" in quiet
    assert "NOT A QUIET MACHINE" not in quiet
    assert "NOT A QUIET MACHINE" in benchmark.report({**found, "cores busy with other programs": 0.7})


def test_every_row_takes_its_turn(monkeypatch, say):
    """The command, with children that take no time."""
    asked = []

    def child(folder, *arguments, launched=False):
        asked.append((*arguments[:2], launched))
        return {"seconds": [1.0], "peak": 1.0, "first step": time.time(), "outside": 0.0}

    monkeypatch.setattr(benchmark, "in_child", child)
    said = say(benchmark.main, "--repeats", 2, "--batch-size", 32, 64, "--dataset", "digits")
    assert said.status == 0
    kinds = [kind for kind, *_ in asked]
    assert kinds.count("ours") == 2 * 2 * 4
    assert kinds.count("course") == 2 * 2
    assert kinds[-1] == "training"
    assert [row for row in asked if row[2]] == [("ours", 32, True), ("ours", 64, True)] * 2
    assert "| 64 | (d) ours, 2 processes x 1 thread | 64 |" in said.out
