"""The notebooks: each runs on a fresh kernel, and is committed with what a whole run gave."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from base64 import b64encode
from pathlib import Path

from tests.conftest import ROOT

import nbformat
import paddle
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Of every training on images, and of the samples that notebook 4 judges; what they assert holds for any number.
STEPS, SAMPLES = "4", "300"


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_six_are_there():
    assert [path.name[0] for path in NOTEBOOKS] == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_from_top_to_bottom(path: Path, monkeypatch, tmp_path):
    """In a folder of its own, so that it has to find the repository; its asserts check what it claims."""
    monkeypatch.setenv("NOTEBOOK_STEPS", STEPS)
    monkeypatch.setenv("NOTEBOOK_SAMPLES", SAMPLES)
    monkeypatch.setenv("NOTEBOOK_WORK", str(tmp_path / "work"))  # of 0, which goes on with what it finds
    if path.stem[0] in "045":  # no MNIST there: they train on digits, and 4 judges those, which takes less time
        monkeypatch.setenv("MNIST_DIR", str(tmp_path / "nothing"))
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert all(cell.execution_count for cell in code_cells(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_as_a_whole_run_left_it(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    assert path.stat().st_size < 3_000_000
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in text)


@pytest.mark.parametrize("number", [1, 3])
def test_the_live_page_in_a_notebook_is_that_in_docs(number):
    page = b64encode((ROOT / "docs/watch.html").read_bytes()).decode()
    (cell,) = (cell for cell in code_cells(nbformat.read(NOTEBOOKS[number], as_version=4)) if "IFrame(" in cell.source)
    assert f"data:text/html;base64,{page}" in cell.outputs[0].data["text/html"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_ends_with_exercises_whose_answers_are_hidden(path: Path):
    last = nbformat.read(path, as_version=4).cells[-1].source
    assert last.startswith("## Predict, then run")
    questions, ends = len(re.findall(r"^\*\*\d\.", last, re.M)), last.count("\n</details>")
    assert 3 <= questions == last.count("<details><summary>answer · 答案</summary>\n\n") == ends <= 5


# Notebook 0 on AI Studio, as far as that can be tried elsewhere: with another folder in place of /home/aistudio.


def on_aistudio(home: Path, *parts: str) -> dict:
    """Run the code cells of notebook 0 that hold one of `parts`, in order; returns their names."""
    names: dict = {}
    for cell in code_cells(nbformat.read(NOTEBOOKS[0], as_version=4)):
        if any(part in cell.source for part in parts):
            exec(cell.source.replace('"/home/aistudio"', repr(str(home))), names)
    return names


@pytest.mark.parametrize("inside", ["", "dcgan-lsgan-main/"])
def test_on_ai_studio_the_zip_file_is_unpacked_into_the_kept_folder(inside, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr(inside + "common/layers.py", "")
    unpacked = tmp_path / "work" / (inside or "dcgan-lsgan")
    for _ in range(2):  # the second time it is there already
        assert on_aistudio(tmp_path, "ON_AISTUDIO =", "import zipfile")["root"] == unpacked
    assert sys.path[0] == str(unpacked)
    said = capsys.readouterr().out
    assert said.count("unpacked") == 1
    assert "!!!" not in said


def test_on_ai_studio_missing_packages_go_where_they_stay(monkeypatch, tmp_path, capsys):
    installed, here = [], importlib.util.find_spec
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "filelock" else here(name))
    monkeypatch.setattr(subprocess, "run", lambda command, check: installed.append([*map(str, command)]))
    on_aistudio(tmp_path, "ON_AISTUDIO =", "EXTERNAL =")
    kept = str(tmp_path / "external-libraries")
    (command,) = installed
    assert command[1:6] == ["-m", "pip", "install", "-q", "-t"]
    assert command[6:8] == [kept, "filelock>=3.4"]
    assert ("numpy<2" in command) == paddle.__version__.startswith("2.")
    assert sys.path[-1] == os.environ["PYTHONPATH"] == kept
