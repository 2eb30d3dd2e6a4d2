"""What importing `common` says where Python or a package is not what is needed."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import common
from common.errors import UserError
from common.judging import metrics
from tests.conftest import ROOT, call

import numpy as np
import pytest

OLDEST = (3, 6)  # that can still be met: AI Studio's forks of old projects run 3.7


def test_python_3_6_can_read_it():
    """And says so to a user of it; every other file may use what came later."""
    text = (ROOT / "common/__init__.py").read_text()
    tree = ast.parse(text, feature_version=OLDEST)
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    used = {"faulthandler", "gc", "importlib.util", "os", "signal", "sys", "threading", "zlib"}
    assert names <= used  # of Python's own, nothing of ours before the check
    with pytest.raises(SyntaxError):
        ast.parse("n: int = 1", feature_version=(3, 5))  # it does look; Python 3.9 lets := pass, later ones do not


def test_what_few_need_is_asked_for_where_it_is_needed(monkeypatch):
    find, few = importlib.util.find_spec, ("visualdl", "skimage", "gradio", "onnxruntime")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in few else find(name))
    assert common.what_is_missing() == ""
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UserError, match="need scikit-image: pip install scikit-image"):
        metrics.psnr(*np.zeros((2, 1, 1, 16, 16), np.float32))


@pytest.mark.parametrize("version", [(3, 6, 9, "final", 0), (3, 7, 4, "final", 0), (3, 8, 20, "final", 0)])
def test_an_old_python_is_told_the_way_out(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    said = common.what_is_missing()
    assert f" is Python {version[0]}.{version[1]}, and 3.9 to 3.13 are needed" in said
    assert "make train BASE_PYTHON=python3.12" in said
    assert "\n" not in said


@pytest.mark.parametrize("modules", [["paddle"], ["filelock", "sklearn"], list(common.PACKAGES)])
def test_missing_packages_are_named(monkeypatch, modules):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else find(name))
    said = common.what_is_missing()
    assert f" has no {', '.join(common.PACKAGES[name] for name in common.PACKAGES if name in modules)};" in said
    assert "source .venv/bin/activate" in said
    assert "\n" not in said


def test_what_is_needed_is_what_is_listed():
    for name in ("requirements.txt", "requirements-cpu.txt"):
        listed = (ROOT / name).read_text()
        assert [package for package in common.PACKAGES.values() if package not in listed] == []


def broken(folder: Path, library: str) -> dict[str, str]:
    """An environment in which a shared library that `library` needs is not there."""
    (folder / library).mkdir()
    (folder / library / "__init__.py").write_text("raise ImportError('libgomp.so.1:\\n no such file')")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("library", "environment", "words"),
    [
        ("tqdm", {"TQDM_MININTERVAL": "x"}, f"float: 'x'); {sys.executable} -c \"import tqdm\" says"),
        ("tqdm", {"TQDM_MININTERVAL": "x"}, "Is a variable of the environment wrong (TQDM_MININTERVAL)?"),
        ("matplotlib", {"MPLBACKEND": "garbage"}, "wrong (MPLBACKEND"),
        ("paddle", broken, "(ImportError: libgomp.so.1: no such file)"),
    ],
)
def test_a_library_that_does_not_load_is_one_line_and_status_2(library, environment, words, tmp_path):
    done = call("-m", "commands.compare", **(environment(tmp_path, library) if callable(environment) else environment))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {library} cannot be imported (")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_our_own_code_does_wrong_with_a_library_shows_where(capsys):
    """As a student's file does: the library has loaded, what it is given is wrong."""
    with pytest.raises(ValueError, match="at least one array") as raised:
        np.stack([])
    common.not_imported(raised.type, raised.value, raised.tb)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("loaded", [False, True])
def test_a_file_with_the_name_of_a_library_is_named(monkeypatch, capsys, tmp_path, loaded):
    """As a student's own `paddle.py` or `random.py` beside our folders, which Python finds before the library."""
    monkeypatch.setattr(common, "__file__", str(tmp_path / "common/__init__.py"))
    monkeypatch.setattr(os, "_exit", sys.exit)
    file = tmp_path / "tqdm.py"
    if loaded:  # it ran to its end, and what is asked of it is not there
        monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(__file__=str(file)))
    with pytest.raises(ImportError) as raised:
        exec(compile("raise ImportError", str(tmp_path / "mine.py" if loaded else file), "exec"))
    with pytest.raises(SystemExit, match="2"):
        common.not_imported(raised.type, raised.value, raised.tb)
    problem = "has the name of a Python library and takes its place; give it another name"
    assert capsys.readouterr().err == f"error: {file} {problem}\n"


@pytest.mark.parametrize("command", ["dcgan/train.py", "zoo/cgan.py", "-m commands.sample"])
def test_without_packages_a_command_is_one_line_and_status_2(command):
    """`-S`: Python without what is installed, as where one forgets the environment."""
    done = call("-S", *command.split(), "--help")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sys.executable} has no ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
