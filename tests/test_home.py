"""A home that is read-only, or none at all: what is kept between runs goes elsewhere, and the run goes on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from common.files import atomic, home
from tests.conftest import CHEAPER, ROOT, call

import pytest

NEITHER = {"XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """An environment that says nothing of folders but the system's temporary one, with nothing said or made yet."""
    for name, value in NEITHER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(home, "replaced", {})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    kept = home.temporary, atomic.instead_of
    for once in kept:
        once.cache_clear()
    yield tmp_path / f"paddle-dcgan-lsgan-{os.getuid()}"
    for once in kept:
        once.cache_clear()


@pytest.fixture
def unwritable(tmp_path) -> Path:
    """A folder that cannot be made, by the superuser either: what it would lie in is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file/home"


@pytest.mark.parametrize("none", ["~", "", "relative"])
def test_no_home(elsewhere, monkeypatch, capsys, none):
    monkeypatch.setenv("HOME", none)
    home.prepare()
    assert home.users() is None
    assert Path.home() == elsewhere
    assert capsys.readouterr().err == (
        f"note: there is no home folder: what is kept between runs goes to {elsewhere}\n"
    )
    assert elsewhere in atomic.cache_folder().parents
    assert capsys.readouterr().err == ""
    with pytest.raises(RuntimeError):
        home.expanded("~/data")
    assert [path.name for path in elsewhere.parent.iterdir()] == [elsewhere.name]  # none named ~


def test_a_home_that_cannot_be_written(elsewhere, monkeypatch, capsys, unwritable):
    monkeypatch.setenv("HOME", str(unwritable))
    home.prepare()
    assert Path.home() == elsewhere
    assert home.expanded("~/data") == unwritable / "data"  # what the user has there can be read
    assert capsys.readouterr().err.startswith(f"note: nothing can be written to {unwritable}: ")


def test_a_home_in_which_all_is_there(elsewhere, monkeypatch, tmp_path, capsys):
    own = tmp_path / "own"
    for name in home.NEEDED:
        (own / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(own))
    monkeypatch.setattr(home, "writable", lambda folder: False)
    monkeypatch.setattr(home, "temporary", lambda: tmp_path / "temporary")
    home.prepare()
    assert Path.home() == home.users() == own
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "temporary/matplotlib")
    assert capsys.readouterr().err == ""


def test_a_sound_home_stays_and_nothing_is_made_there(elsewhere, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    home.prepare()
    assert os.environ["HOME"] == str(tmp_path / "new")
    assert os.environ["MPLCONFIGDIR"] == capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_once(elsewhere, monkeypatch, capsys, unwritable):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unwritable))
    for _ in range(2):
        assert atomic.cache_folder() == elsewhere / "cache"
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", NEITHER)
def test_a_tilde_that_no_shell_expanded(elsewhere, monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, "~/kept")
    home.prepare()
    assert os.environ[name] == str(tmp_path / "kept")


def test_a_cache_that_is_relative_is_none(elsewhere, monkeypatch, tmp_path):
    """It would be another one in each folder where a command is typed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "kept")
    home.prepare()
    assert atomic.cache_home() == tmp_path / ".cache/paddle-dcgan-lsgan"


def test_another_users_temporary_folder_is_not_believed(elsewhere):
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    found = home.temporary()
    assert found != elsewhere
    assert found.stat().st_mode & 0o077 == 0


def test_nowhere_to_write(elsewhere, monkeypatch, unwritable):
    """A container of which all is read-only: said when `common` is imported."""
    monkeypatch.setenv("HOME", str(unwritable))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(unwritable)])
    with pytest.raises(OSError, match=r"let \$TMPDIR name"):
        home.prepare()


def test_a_training_without_a_home(tmp_path, unwritable):
    """Judged after its epoch, with VisualDL's log, in a process of its own: both make their folders on import."""
    (tmp_path / "tmp").mkdir()
    done = call(
        "-c", CHEAPER, ROOT / "tests/toy.py", "--dataset", "digits", "--epochs", 1, "--batch-size", 512,
        "--output-dir", "run", cwd=tmp_path, PYTHONPATH=str(ROOT),
        HOME=str(unwritable), TMPDIR=str(tmp_path / "tmp"), **NEITHER,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "epoch 1: Fréchet distance" in done.stdout
    assert done.stderr.count("note: ") == 1
    assert (tmp_path / "run/vdlrecords.run.log").stat().st_size > 1000
    assert list(tmp_path.glob("tmp/*/.cache/paddle-dcgan-lsgan/digits-*.npz"))
