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

from assignment.notebook import WHO
from tests.conftest import ROOT

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Of every training on images, and of the samples that notebook 4 judges; what they assert holds for any number.
STEPS, SAMPLES = "2", "200"
# Notebook 1 trains on numbers, where its asserts hold after half the steps, too; 2 and 3 take the distance of samples.
SHORTER = {"STEPS = 2500": "STEPS = 1100", "range(1500)": "range(800)", ", 2000)": f", {SAMPLES})"}


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_six_are_there():
    assert [path.name[0] for path in NOTEBOOKS] == ["0", "1", "2", "3", "4", "5"]
    code = "".join(cell.source for path in NOTEBOOKS for cell in code_cells(nbformat.read(path, as_version=4)))
    assert [code.count(words) for words in SHORTER] == [1, 2, 2]


# All are run by `make docs-check`, as all commands of the pages are. 0: see below.
@pytest.mark.pages
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_from_top_to_bottom(path: Path, monkeypatch, tmp_path):
    """In a folder of its own, so that it has to find the repository; its asserts check what it claims."""
    monkeypatch.setenv("NOTEBOOK_STEPS", STEPS)
    monkeypatch.setenv("NOTEBOOK_SAMPLES", SAMPLES)
    if path.stem[0] in "45":  # no MNIST there: they train on digits, and 4 judges those, which takes less time
        monkeypatch.setenv("MNIST_DIR", str(tmp_path / "nothing"))
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
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


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_it_begins_with_its_subject(path: Path):
    """One line finds the repository."""
    first, *others = code_cells(nbformat.read(path, as_version=4))
    assert re.search("^import here( |$)", first.source, re.M)
    assert not [cell for cell in (first, *others) if "sys.path" in cell.source or "Path.cwd" in cell.source]


@pytest.mark.parametrize("number", [1, 3])
def test_the_live_page_in_a_notebook_is_that_in_docs(number):
    page = b64encode((ROOT / "docs/watch.html").read_bytes()).decode()
    (cell,) = (cell for cell in code_cells(nbformat.read(NOTEBOOKS[number], as_version=4)) if "IFrame(" in cell.source)
    assert f"data:text/html;base64,{page}" in cell.outputs[0].data["text/html"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_ends_with_exercises_whose_answers_are_hidden(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    last = cells[-1].source
    assert last.startswith("## Predict, then run")
    assert cells[0].cell_type == "markdown"
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


@pytest.mark.parametrize("first", [True, False])
def test_what_a_command_prints_is_read_whatever_the_system_writes_in(first, tmp_path):
    """UTF-8, which Python took for GBK on a Chinese Windows: the first Chinese line ended the notebook."""
    sources = [cell.source for cell in code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))] if first else [WHO]
    (run,) = re.findall(r"^def run\(.*?(?=^\S)", "\n".join(sources), re.MULTILINE | re.DOTALL)
    called = "run('-X', 'utf8', '-c', 'print(chr(0x8BAD) + chr(0x7EC3))')"
    (tmp_path / "cell.py").write_text(f"import subprocess, sys\nroot = None\n{run}\n{called}", encoding="utf-8")
    ascii_only = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, tmp_path / "cell.py"], capture_output=True, env={**os.environ, **ascii_only})
    assert (done.stdout.decode().strip(), done.stderr) == ("训练", b"")


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


def test_on_ai_studio_packages_go_where_they_stay_and_elsewhere_nowhere(monkeypatch, tmp_path, capsys):
    installed = []
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "one")
    monkeypatch.setattr(subprocess, "run", lambda command, check: installed.append([*map(str, command)]))
    on_aistudio(tmp_path / "nowhere", "ON_AISTUDIO =", "root =", "EXTERNAL =")
    assert installed == []
    on_aistudio(tmp_path, "ON_AISTUDIO =", "root =", "EXTERNAL =")
    kept = str(tmp_path / "external-libraries")
    assert installed == [[sys.executable, str(ROOT / "commands/install.py"), "--target", kept]]
    assert sys.path[1] == kept
    assert os.environ["PYTHONPATH"] == os.pathsep.join([kept, "one"])


def wheel(folder: Path, name: str, version: str, needs: tuple[str, ...] = (), package: Path | None = None) -> None:
    """Write a wheel with what `package` has, or with nothing in it."""
    info = f"{name}-{version}.dist-info"
    said = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path in package.rglob("*.py") if package else ():
            archive.write(path, path.relative_to(package.parent))
        archive.writestr(f"{info}/METADATA", "\n".join(said) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.mark.pages
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_all_of_notebook_0_in_a_home_as_ai_studio_has_it(monkeypatch, tmp_path):
    """The repository is uploaded as a zip file; of the image's own are an old pandas and an old protobuf, and a
    filelock that is too old. A folder of wheels stands for the index, where all three are newer."""
    home, index, image = (tmp_path / name for name in ("aistudio", "index", "image"))
    for folder in (home / "work", index, image):
        folder.mkdir(parents=True)
    with zipfile.ZipFile(home / "dcgan-lsgan.zip", "w") as archive:
        for name in ("commands", "common", "dcgan", "lsgan", "zoo"):
            for path in (ROOT / name).rglob("*.*"):
                if "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(ROOT))
        for path in ROOT.glob("requirements*.txt"):
            archive.write(path, path.name)
        begins = (ROOT / "notebooks/here.py").read_text(encoding="utf-8")
        archive.writestr("notebooks/here.py", begins.replace('"/home/aistudio"', repr(str(home))))
    old = {"pandas": "1.3.5", "protobuf": "3.20.3", "filelock": "3.0"}
    for name, version in old.items():
        wheel(index, name, version)
        with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl") as archive:
            archive.extractall(image)
    here = Path(importlib.util.find_spec("filelock").origin).parent
    wheel(index, "filelock", "3.99", ("protobuf", "pandas"), here)
    for name in ("pandas", "protobuf"):
        wheel(index, name, "99.0")

    for name, value in {
        "HOME": home, "PYTHONPATH": image, "MNIST_DIR": home / "nothing", "NOTEBOOK_STEPS": STEPS,
        "PIP_NO_INDEX": 1, "PIP_FIND_LINKS": index, "PIP_CONFIG_FILE": os.devnull,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    for cell in code_cells(notebook):
        cell.source, cell.outputs = cell.source.replace('"/home/aistudio"', repr(str(home))), []
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(home)}}).execute()
    assert all(cell.execution_count for cell in code_cells(notebook))

    kept = home / "external-libraries"
    found = {path.name for path in kept.glob("*.dist-info")}
    assert found == {"filelock-3.99.dist-info", "pandas-1.3.5.dist-info", "protobuf-3.20.3.dist-info"}
    trained = home / "work/dcgan-lsgan/work/aistudio"  # digits' runs have a folder of their own in it
    assert len(list(trained.rglob("lsgan/generator.params"))) == 1
    found = subprocess.run(  # how notebooks 1 to 5 begin, opened from anywhere below that home
        [sys.executable, "-c", "import here; print(here.root)"], cwd=home, capture_output=True, text=True, check=True
    )
    assert found.stdout == f"{home / 'work/dcgan-lsgan'}\n"
    again = subprocess.run(  # the next start
        [sys.executable, ROOT / "commands/install.py", "--target", kept], capture_output=True, text=True, check=True
    )
    assert again.stdout == ""
