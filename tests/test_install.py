"""What make does before anything is there: which Python, which packages, in which folder."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

from commands import install
from tests.conftest import ROOT

import pytest


@pytest.fixture
def here(monkeypatch):
    """An environment as one says it is, in which every package is there and nothing is installed."""
    asked, lacking, spec, run = [], set(), importlib.util.find_spec, subprocess.run
    pip = SimpleNamespace()  # setuptools warns where one looks for the real one in a process that has distutils
    found = install.version

    def find_spec(name: str) -> object:
        return None if name in lacking else pip if name == "pip" else spec(name)

    def version(name: str) -> str:
        if name in lacking:
            raise PackageNotFoundError
        return found(name)

    def spied(command: list[str], **options) -> object:
        if "install" not in command:
            return run(command, **options)
        asked.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(sys, "prefix", sys.base_prefix)  # no virtual environment, unless a test says so
    monkeypatch.setattr(install, "version", version)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(subprocess, "run", spied)
    return SimpleNamespace(asked=asked, lacking=lacking)


def test_nothing_is_asked_of_pip_where_all_is_there(here, capsys):
    here.lacking.add("pip")  # as in an environment of uv's
    assert install.main([]) == ""
    assert here.asked == []
    assert capsys.readouterr().out == ""


def test_pip_is_asked_for_what_is_missing_alone(here, monkeypatch, capsys):
    here.lacking |= {"filelock", "tqdm"}
    wanted = ["filelock>=3.4,<5", "tqdm>=4.62,<5"]
    assert install.main([]) == ""
    assert here.asked == [[sys.executable, "-m", "pip", "install", "-q", *wanted]]
    assert capsys.readouterr().out == "installing filelock, tqdm\n"
    here.lacking.add("pip")
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    assert install.main([]) == ""
    assert here.asked[1] == ["uv", "pip", "install", "-q", "--python", sys.executable, *wanted]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    way_out = f"{sys.executable} -m ensurepip brings it"  # Debian's own python3 refuses it
    assert install.main([]) == f"{sys.executable} has no pip to install filelock, tqdm with; {way_out}"


@pytest.mark.parametrize("arguments", [[], ["--target", "FOLDER"]])
def test_pip_installs_into_an_environment_whatever_its_settings_say(here, monkeypatch, tmp_path, arguments):
    """With `user = true` in them pip ended there with an error, and so did make."""
    here.lacking.add("tqdm")
    if not arguments:
        monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert install.main([argument.replace("FOLDER", str(tmp_path)) for argument in arguments]) == ""
    assert here.asked[0][:6] == [sys.executable, "-m", "pip", "install", "-q", "--no-user"]


def test_a_version_that_is_not_wanted_is_missing(here, tmp_path):
    (tmp_path / "list.txt").write_text("# a comment\nnumpy>=1\nfilelock>=99  # another\n")
    assert install.main([str(tmp_path / "list.txt")]) == ""
    assert here.asked[0][5:] == ["filelock>=99"]


@pytest.mark.parametrize(
    ("paddle", "gpu", "first"),
    [
        ("", False, ["paddlepaddle>=2.6.2,<4", "numpy>=1.22,<3"]),
        ("", True, ["paddlepaddle-gpu>=2.6.2,<4", "numpy>=1.22,<2"]),
        ("2.6.2", True, ["numpy>=1.22,<2"]),
        ("3.3.1", True, ["numpy>=1.22,<3"]),
        ("0.0.0", False, ["numpy>=1.22,<3"]),  # built from its sources
    ],
)
def test_a_paddle_that_is_there_stays(monkeypatch, paddle, gpu, first):
    monkeypatch.setattr(install, "paddle_version", lambda: paddle)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/nvidia-smi" if gpu else None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    assert install.base()[: len(first) + 1] == [*first, "pillow>=9.1,<14"]


def test_the_version_of_the_paddle_that_is_here():
    import paddle

    assert install.paddle_version() == paddle.__version__


def test_half_a_paddle_is_none(monkeypatch, tmp_path):
    """As Ctrl-C leaves it while pip unpacks: every later `make` ended with a traceback."""
    (tmp_path / "paddle").mkdir()
    (tmp_path / "paddle/__init__.py").touch()
    half = SimpleNamespace(origin=tmp_path / "paddle/__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: half)
    assert install.paddle_version() == ""


@pytest.mark.filterwarnings("ignore:Implicit None on return values")  # importlib.metadata's, from Python 3.12 on
def test_what_pip_could_not_remove_is_no_package(monkeypatch, tmp_path):
    """`WARNING: Ignoring invalid distribution ~umpy`, says pip; a record without a name is a failed installation's."""
    for folder, record in (("~umpy-1.0", "Name: numpy\nVersion: 1.0\n"), ("gone-2.0", ""), ("tqdm-1.0", "")):
        (tmp_path / f"{folder}.dist-info").mkdir()
        (tmp_path / f"{folder}.dist-info/METADATA").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    there = install.there_already([])
    assert f"numpy=={install.version('numpy')}" in there
    assert not [line for line in there if line.startswith(("gone", "tqdm"))]
    assert install.is_met("numpy>=1.22")
    assert not install.is_met("tqdm>=4.62,<5")  # pip mends it


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 14, 0)])
def test_a_python_without_paddle_is_told_the_way_out(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    said = install.main(["--check"])
    assert said.startswith(f"Paddle has no build for Python 3.{version[1]}; ")
    assert said.endswith("from 3.9 to 3.13: make train BASE_PYTHON=python3.12")
    monkeypatch.setenv("VIRTUAL_ENV", "x")
    assert install.main(["--check"]).endswith("deactivate; make train BASE_PYTHON=python3.12")
    monkeypatch.delenv("VIRTUAL_ENV")
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))  # make takes it as long as it is there
    assert install.main(["--check"]).endswith(": rm -r .venv; make train BASE_PYTHON=python3.12")


def test_python_3_6_can_read_it():
    """And runs it up to the check: what comes before is in every Python, and no annotation is only in later ones."""
    text = (ROOT / "commands/install.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)]  # Python 3.9 lets := pass
    begin, check, _rest = text.partition('if __name__ == "__main__" and sys.version_info < OLDEST:\n')
    assert check
    imported = [node for node in ast.parse(begin).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(node) for node in imported] == ["import os", "import sys", "from pathlib import Path"]


@pytest.mark.parametrize(
    ("version", "paddle", "gpu", "said"),
    [
        ((3, 13, 0), "", True, "Paddle has no build for GPUs and Python 3.13; name one from 3.9 to 3.12: "),
        ((3, 13, 0), "", False, ""),
        ((3, 13, 0), "3.3.1", True, ""),
        ((3, 12, 0), "", True, ""),
    ],
)
def test_the_package_index_has_no_gpu_build_for_the_newest_python(monkeypatch, version, paddle, gpu, said):
    """pip would end with `No matching distribution found for paddlepaddle-gpu`, in an environment made for nothing."""
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(install, "paddle_version", lambda: paddle)
    monkeypatch.setattr(install, "has_gpu", lambda: gpu, raising=False)
    assert install.main(["--check"]).startswith(said)
    assert bool(install.main(["--check"])) == bool(said)


@pytest.mark.parametrize("given", [["--help"], ["--target"], ["--target", "x", "--quiet"], ["nowhere.txt"]])
def test_what_is_no_list_is_one_line(given):
    assert install.main(given).startswith(f"{' '.join(given)}: expected python commands/install.py [--target FOLDER]")


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="needs make")
PYTHON = '#!/bin/sh\nprintf "%s|%s\\n" "$GAN_RESUME" "$*"\n'  # says what it is asked to run


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make(*arguments)`: what would be run, in a path with a space, an environment active there."""
    folder = tmp_path / "with space"
    (folder / "env/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "env/bin/python").write_text(PYTHON)
    (folder / "env/bin/python").chmod(0o755)
    monkeypatch.setenv("VIRTUAL_ENV", str(folder / "env"))
    for name in ("MAKEFLAGS", "MAKELEVEL", "ARGS", "GAN_RESUME"):  # of the make that runs these tests
        monkeypatch.delenv(name, raising=False)

    def made(*arguments: str) -> list[str]:
        done = subprocess.run(["make", "-s", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return [line.rstrip() for line in done.stdout.splitlines() if "install.py" not in line]

    return made


@needs_make
@pytest.mark.parametrize("target", ["compare", "best"])
def test_both_trainings_have_folders_of_their_own(make, tmp_path, target):
    """With one for both, LSGAN set DCGAN's run aside, or was refused for ever."""
    asked = ["make", "-s", target, "ARGS=--max-steps 3 --output-dir /tmp/mine"]
    done = subprocess.run(asked, cwd=tmp_path / "with space", capture_output=True, text=True, check=False)
    assert (done.returncode, "train.py" in done.stdout) == (2, False)
    assert f"make {target}: a folder for each, in work/{target}; leave --output-dir out" in done.stderr


FLAGS = {"dcgan": "--penalty 1 --learning-rate 0.0005", "lsgan": "--penalty 10 --learning-rate 0.001"}
TRAIN = f"dcgan/train.py --dataset auto {FLAGS['dcgan']}"


@needs_make
@pytest.mark.parametrize(
    ("arguments", "run", "goes_on"),
    [
        ([], f"{TRAIN} --max-steps 1500 --eval-every 5", "make train ARGS='--resume'"),
        (["ARGS=--resume"], f"{TRAIN} --max-steps 1500 --eval-every 5 --resume", "make train ARGS='--resume'"),
        (["ARGS=--epochs 10"], f"{TRAIN} --epochs 10", "make train ARGS='--epochs 10 --resume'"),
        (["ARGS=--seed '1'"], f"{TRAIN} --seed 1", r"make train ARGS='--seed '\''1'\'' --resume'"),
        (["ARGS=--epochs 10 --resume"], f"{TRAIN} --epochs 10 --resume", "make train ARGS='--epochs 10 --resume'"),
    ],
)
def test_make_train_says_how_to_go_on_and_goes_on(make, arguments, run, goes_on):
    settings, training = make("train", *arguments)
    assert training == f"{goes_on}|{run}"
    assert FLAGS["dcgan"] in settings
    assert settings.endswith(": python dcgan/train.py --dataset auto --max-steps 1500")  # the course's own


@needs_make
def test_make_compare_and_make_best_go_on(make):
    settings, first, second, picture = make("compare", "ARGS=--resume")
    for name, line in (("dcgan", first), ("lsgan", second)):
        assert FLAGS[name] in settings
        assert line.endswith(
            f"{name}/train.py --dataset auto --output-dir work/compare/{name} {FLAGS[name]} --max-steps 1000 --resume"
        )
    assert picture.endswith("--out work/compare.png")
    assert all(line.startswith("make best|") and "--resume" in line for line in make("best"))


@needs_make
def test_an_environment_that_was_removed_is_not_used(make, monkeypatch):
    """As by `make clean` in a shell in which it is active."""
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    made, board = make("-n", "board", "BASE_PYTHON=env/bin/python")
    assert (made, board) == ('"env/bin/python" -m venv --clear .venv', '".venv/bin/python" -m commands.board')


@needs_make
def test_an_environment_that_was_not_made_whole_is_made_anew(make, monkeypatch, tmp_path):
    """As Debian's Python leaves it, without pip, where its package python3-venv is not there."""
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere")
    base, wanted = tmp_path / "python3", f'"{tmp_path / "python3"}" -m venv --clear .venv'
    base.write_text('#!/bin/sh\n[ "$2" != venv ] || { mkdir -p .venv/bin && touch .venv/bin/python; exit 1; }\n')
    base.chmod(0o755)
    asked = ["make", "-s", "setup", f"BASE_PYTHON={base}"]
    assert subprocess.run(asked, cwd=tmp_path / "with space", capture_output=True, check=False).returncode == 2
    assert make("-n", "setup", f"BASE_PYTHON={base}") == [wanted]


@needs_make
@pytest.mark.parametrize(("answers", "used"), [("1", True), ("ld.so: object 'x.so' ignored.\\n1", True), ("", False)])
def test_a_python_that_has_paddle_is_used(make, monkeypatch, tmp_path, answers, used):
    """Whatever it prints before it answers: another Paddle would be installed, for CPUs."""
    monkeypatch.delenv("VIRTUAL_ENV")
    base = tmp_path / "python3"
    base.write_text(f'#!/bin/sh\nprintf "{answers}"\n')
    base.chmod(0o755)
    board = make("-n", "board", f"BASE_PYTHON={base}")[-1]
    assert board == (f'"{base}" -m commands.board' if used else '".venv/bin/python" -m commands.board')


@needs_make
def test_make_help_says_how_to_go_on(make):
    assert any("make train ARGS=--resume" in line for line in make("help"))
