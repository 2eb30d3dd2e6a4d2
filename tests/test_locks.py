"""The lock of a folder: between processes, on file systems that have none, on systems without `fcntl`."""

from __future__ import annotations

import errno
import tempfile
import threading
from pathlib import Path

from common.files import locks
from tests.conftest import check_refused, train
from tests.runs import TOY

import pytest

fcntl = pytest.importorskip("fcntl")


@pytest.fixture(params=["posix", "not posix"])
def system(request, monkeypatch) -> None:
    if request.param == "not posix":
        monkeypatch.setattr(locks, "fcntl", None)


def test_one_at_a_time(tmp_path, system):
    with locks.locked(tmp_path / ".lock") as held:
        assert held
        refused = []

        def second() -> None:
            with pytest.raises(locks.BusyError), locks.locked(tmp_path / ".lock"):
                pass
            refused.append(True)

        other = threading.Thread(target=second)
        other.start()
        other.join()
    assert refused
    with locks.locked(tmp_path / ".lock") as held:  # it is free again, with the file still there
        assert held


def test_the_second_waits(tmp_path, capsys):
    order = []

    def second() -> None:
        with locks.locked(tmp_path / ".lock", "waiting"):
            order.append("second")

    with locks.locked(tmp_path / ".lock", "waiting"):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.3)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "waiting\n"


def test_another_users_file_in_a_common_cache_is_no_lock(tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".lock"))

    monkeypatch.setattr(locks.FileLock, "acquire", refused)
    with locks.locked(tmp_path / ".lock", "waiting") as held:
        assert not held
    with pytest.raises(PermissionError), locks.locked(tmp_path / ".lock"):  # a run's folder
        pass
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with locks.locked(tmp_path / "folder", "waiting") as held:
        assert not held


@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"])
def test_a_file_system_without_locks_is_said_and_the_training_goes_on(tmp_path, monkeypatch, say, error):
    def flock(*_: object) -> None:
        raise OSError(getattr(errno, error), "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    said = say(train, "toy", *TOY, "--max-steps", 1, "--output-dir", tmp_path / "run")
    assert said.status == 0
    assert said.err.count("no locks on this file system; start no second run in this folder") == 1
    assert said.err.count("\n") == 1


def test_a_folder_where_nothing_can_be_written_is_named(tmp_path, monkeypatch, say):
    def refuses(dir: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/tmpuj96y3cl")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuses)
    said = say(train, "toy", *TOY, "--max-steps", 1, "--output-dir", tmp_path / "run")
    check_refused(said, f"{tmp_path / 'run'}: Permission denied; give another --output-dir")


def test_a_lock_that_is_none_is_named(tmp_path, say):
    (tmp_path / "run/.lock").mkdir(parents=True)
    said = say(train, "toy", *TOY, "--max-steps", 1, "--output-dir", tmp_path / "run")
    check_refused(said, f"{tmp_path / 'run/.lock'}: Is a directory; give another --output-dir")
