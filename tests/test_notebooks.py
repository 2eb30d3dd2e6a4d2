"""The notebooks: each runs on a fresh kernel, and is committed with what a whole run gave."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEPS = "10"  # of every training on images; what the notebooks assert holds for any number


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_four_are_there():
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_from_top_to_bottom(path: Path, monkeypatch, tmp_path):
    """In a folder of its own, so that it has to find the repository; its asserts check what it claims."""
    monkeypatch.setenv("NOTEBOOK_STEPS", STEPS)
    if path.stem.startswith("4"):  # no MNIST there: it trains on digits and judges those, which takes less time
        monkeypatch.setenv("MNIST_DIR", str(tmp_path))
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
