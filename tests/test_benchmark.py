"""The benchmark measures in processes of their own, and its arithmetic is right."""

from __future__ import annotations

import importlib.util
import time

from common import benchmark
from common.errors import UserError

import pytest


@pytest.mark.parametrize("kind", ["course", "ours", "one", "torch"])
def test_a_row_is_measured_in_a_child(tmp_path, kind):
    if kind == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: pip install torch")
    began = time.time()
    result = benchmark.in_child(tmp_path, kind, 64)
    assert len(result["seconds"]) == (4 if kind == "course" else 10)
    assert all(0 < seconds < time.time() - began for seconds in result["seconds"])
    assert 100 < result["peak"] < 4000
    assert began <= result["started"] <= time.time()


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
    with pytest.raises(UserError, match="no folder /nowhere"):
        benchmark.in_child(tmp_path, "data", "mnist", "/nowhere")


def test_ratios_are_of_medians():
    found = benchmark.compare({"course": [4.0, 2.0, 8.0], "ours": [1.0, 0.5, 2.0], "torch": [0.5, 0.5, 0.5]}, 32)
    assert found["ours"] == {
        "images a second": 32.0, "slowest": 16.0, "fastest": 64.0, "to the course": 4.0, "to PyTorch": 0.5,
    }  # fmt: skip


@pytest.mark.skipif(not benchmark.Path("/proc/stat").exists(), reason="other programs' load is known on Linux only")
def test_load_counts_others_and_not_ourselves():
    with benchmark.Load() as load:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            pass
    assert load.others < benchmark.os.cpu_count() - 0.5


def test_the_report_says_if_the_machine_was_not_quiet():
    speeds = {"32": {"course": {**benchmark.compare({"course": [1.0]}, 32)["course"], "peak MB": 300.0}}}
    around = {"share outside the steps": 0.0123, "cores busy with other programs": 0.01}
    quiet = benchmark.report(speeds, around)
    assert "| 32 | (a) the course's loop, Paddle as installed | 32 | 32 to 32 | 1.00 |" in quiet
    assert "1.2%" in quiet
    assert "NOT A QUIET MACHINE" not in quiet
    assert "NOT A QUIET MACHINE" in benchmark.report(speeds, {**around, "cores busy with other programs": 0.7})
