"""A command begins by importing what it uses, and nothing else that takes long."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys

import common
from common.run.commandline import command
from tests.conftest import ROOT, call

import pytest

# Each takes 0.1 to 5 s, beside Paddle's 0.7.
SLOW = [
    "gradio", "matplotlib", "onnxruntime", "paddle2onnx", "pandas", "scipy.linalg", "scipy.ndimage", "scipy.optimize",
    "scipy.signal", "scipy.spatial", "scipy.stats", "skimage", "sklearn", "torch", "visualdl",
]  # fmt: skip
USED = {
    "assignment.submit": {"matplotlib"},  # draws the curves of the runs
    "commands.board": {"visualdl", "pandas"},  # is VisualDL, which imports pandas
    "commands.compare": {"matplotlib"},
    "commands.play": {"matplotlib"},  # the curves on its page
    "commands.results": {"matplotlib"},  # the curves of the report
    "commands.train_judge": {"scipy.ndimage", "scipy.linalg"},  # bends its training images; 1.18's imports the other
}
STARTS, FOLDERS = '__name__ == "__main__"', ("assignment", "commands", "dcgan", "docs", "lsgan", "zoo")
STARTED = [  # by a user: all that `python FILE` and `python -m` are given
    f"{folder}.{path.stem}"
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if folder != "docs" and STARTS in path.read_text(encoding="utf-8")
]
SCRIPT = """
import importlib, json, os, sys
import common, numpy, paddle

before = {*sys.modules}
import common.judging.reference, common.run.runs, common.train  # once, not in each fork; what they import counts
slow, started = map(json.loads, sys.argv[1:])
for module in started:
    if os.fork() == 0:
        importlib.import_module(module)
        print(json.dumps([module, [name for name in slow if name in {*sys.modules} - before]]), flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_crash_ends_the_process_and_says_where():
    """Paddle's own report needs memory: once, where that was damaged, it waited for ever."""
    crash = "import sys; sys.argv = ['-m']; import common, ctypes, paddle; common.imported(); ctypes.string_at(0)"
    crashed = call("-c", crash)
    assert crashed.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in crashed.stderr
    assert "string_at" in crashed.stderr
    assert "Paddle" not in crashed.stderr


def test_a_folder_that_was_removed_below_us(tmp_path):
    """It was called a wrong variable of the environment, and the way out was to make .venv anew."""
    there = f'cd "{tmp_path}" && mkdir gone && cd gone && rmdir ../gone && "$0" "$1" --help'
    called = ["sh", "-c", there, sys.executable, str(ROOT / "dcgan/train.py")]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    line = "error: the folder that you are in is gone; go to one that is there, or to it again: cd FOLDER"
    assert done.stderr.splitlines()[-1] == line


@pytest.mark.parametrize("flags", [["-i"], ["-c"]])
def test_a_session_keeps_its_ctrl_c(flags):
    """In IPython's `%run`, or after `python -i`: it goes on when the program has ended."""
    asks = "import signal, sys; sys.argv = ['-m']; sys.modules.setdefault('{}', sys); import common; "
    asks += "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler); raise SystemExit"
    code = asks.format("IPython" if flags == ["-c"] else "nothing")
    assert call(*{"-i": ["-i", "-c"], "-c": ["-c"]}[flags[0]], code).stdout == "True\n"


def test_garbage_is_looked_for_again_once_all_is_imported():
    """In a program of ours `common` has it done seldom."""
    gc.set_threshold(common.YOUNG)
    try:
        assert command(lambda: gc.get_threshold() == common.usual)() is True
    finally:
        gc.unfreeze()
        gc.set_threshold(*common.usual)
    programs = [path for folder in FOLDERS for path in (ROOT / folder).glob("*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in programs}
    ours = {name for name, text in texts.items() if STARTS in text and "from common" in text}
    ends = ("@command", "sys.exit(run(", "common.imported()")
    assert {name for name in ours if not any(end in texts[name] for end in ends)} == set()
    assert len(ours) > 40


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_program_finds_this_repository_by_its_path_too(folder):
    """`python commands/sample.py`, in any folder, ended in a ModuleNotFoundError."""
    for path in {*(ROOT / folder).glob("*.py")} - {ROOT / "assignment/examine.py"}:  # which `grade.py` starts
        lines = path.read_text(encoding="utf-8").splitlines()
        own = rf"(from|import) (common|{'|'.join(FOLDERS)})\b"
        ours = [place for place, line in enumerate(lines) if re.match(own, line)]
        if any(line.startswith(f"if {STARTS}") for line in lines) and ours:
            assert any(line.strip().startswith("sys.path[0] = ") for line in lines[: ours[0]]), path


def test_a_command_by_its_path(tmp_path):
    called = [sys.executable, ROOT / "commands/sample.py", "nowhere", "--out", "a.png"]
    done = subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Paddle is imported once, and forked")
def test_no_command_imports_what_it_does_not_use():
    called = [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(SLOW), json.dumps(STARTED)]
    done = subprocess.run(called, cwd=ROOT, capture_output=True, text=True, check=False)
    imported = dict(map(json.loads, done.stdout.splitlines()))
    assert [*imported] == STARTED, done.stderr[-2000:]
    assert len(STARTED) > 30
    assert {name: slow for name, slow in imported.items() if not {*slow} <= USED.get(name, set())} == {}
