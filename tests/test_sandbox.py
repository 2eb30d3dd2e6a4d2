"""What code in the sandbox reaches: nothing but its own folder."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from assignment import sandbox as sandbox_module
from assignment.sandbox import Sandbox
from tests.conftest import ROOT

import pytest

HOSTILE = {
    "environment": ("import os; raise ValueError(dict(os.environ))", "ValueError"),
    "system": ("import os; os.system('touch OUTSIDE')", "PermissionError: os.system"),
    "process": ("import subprocess; subprocess.run(['touch', 'OUTSIDE'])", "PermissionError: subprocess.Popen"),
    "fork": ("import os; os.fork()", "PermissionError: os.fork"),
    "native": ("import ctypes; ctypes.CDLL(None)", "PermissionError: ctypes.dlopen"),
    "file": ("open('OUTSIDE', 'w')", "PermissionError: open"),
    "link": ("import os; os.symlink('OUTSIDE', 'here')", "PermissionError: os.symlink"),
    "removal": ("import os; os.remove('SECRET')", "PermissionError: os.remove"),
    "folder": ("import os; os.remove('secret', dir_fd=os.open(os.path.dirname('SECRET'), 0))", "PermissionError: open"),
    "other environment": ("open('/proc/1/environ')", "PermissionError: open /proc"),
    "by another name": ("open('//proc/self/environ')", "PermissionError: open //proc"),
    "network": ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError: socket"),
    "memory": ("bytearray(64 * 2**30)", "MemoryError"),
    "exit": ("import os; os._exit(0)", "it ended without an answer"),
    "crash": ("import os; os.abort()", "it crashed (SIGABRT)"),
    "deep": ("exec('def f(): f()'); f()", "RecursionError"),
    "own folder": ("open('mine.txt', 'w').write('x'); raise ValueError('written')", "ValueError: written"),
}


@pytest.fixture(params=["with namespaces", "without"])
def sandbox(request, tmp_path):
    """A server for hostile code; without namespaces it is Python's audit hook alone that refuses."""
    box = tmp_path / "box"
    box.mkdir()
    with closing(Sandbox(["assignment.examine"], box, 20, {})) as made:
        if request.param == "without":
            made._fenced = []
        elif not made._fenced:
            pytest.skip("this system allows no namespaces")
        yield made


def test_it_reaches_nothing_outside(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "do-not-print")
    (tmp_path / "secret").touch()
    found = {}
    for name, (line, _) in HOSTILE.items():
        folder = sandbox.box / name.replace(" ", "_")
        (folder / "my_lsgan").mkdir(parents=True)
        line = line.replace("OUTSIDE", str(tmp_path / "owned")).replace("SECRET", str(tmp_path / "secret"))
        for file in ("model.py", "train.py"):
            (folder / "my_lsgan" / file).write_text(line)
        answer = sandbox.ask("run", folder=str(folder), name="my_lsgan", flags=[], data_name="")
        found[name] = answer.get("ended") or next(iter(answer["checks"].values()))
        assert "do-not-print" not in json.dumps(answer)
    assert {name: said for name, said in found.items() if not said.startswith(HOSTILE[name][1])} == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "secret"]
    assert (sandbox.box / "own_folder/mine.txt").read_text() == "x"


def test_a_system_that_bounds_no_memory_grades_all_the_same(monkeypatch, tmp_path):
    """macOS takes no limit of address space that is less than what it maps itself: every submission had 0 points."""

    def setrlimit(what: int, limits: tuple[int, int]) -> None:
        if what == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")
        bounded.append(what)

    bounded: list[int] = []
    monkeypatch.setattr(sandbox_module.resource, "setrlimit", setrlimit)
    for name in ("setsid", "dup2"):
        monkeypatch.setattr(sandbox_module.os, name, lambda *_: None)
    monkeypatch.chdir(tmp_path)
    sandbox_module.confine(tmp_path, 5)
    assert {resource.RLIMIT_FSIZE, resource.RLIMIT_CPU} <= {*bounded}


def test_the_kernel_keeps_all_else_read_only(tmp_path):
    """Also for code that no audit hook sees: here a program that is not Python."""
    (tmp_path / "box").mkdir()
    fenced = Sandbox(["assignment.examine"], tmp_path / "box", 20, {})._fenced
    if not fenced:
        pytest.skip("this system allows no namespaces")

    def touched(path: Path) -> bool:
        done = subprocess.run([*fenced, "touch", path], capture_output=True, check=False)
        return done.returncode == 0 or path.exists()

    assert touched(tmp_path / "box/x")
    assert not [path for path in (tmp_path / "x", ROOT / "x", Path.home() / "x", Path("/dev/shm/x")) if touched(path)]
    seen = subprocess.run([*fenced, "ls", "/sys/class/net"], capture_output=True, text=True, check=True).stdout
    processes = subprocess.run([*fenced, "ls", "/proc"], capture_output=True, text=True, check=True).stdout.split()
    assert len([name for name in processes if name.isdigit()]) <= 3, seen


def test_a_mount_point_may_have_any_name(tmp_path):
    """A USB stick's, say, with spaces: the kernel writes them as `\\040`."""
    box, stick = tmp_path / "my box", tmp_path / "my stick \\0401 判"
    box.mkdir()
    stick.mkdir()
    if not Sandbox(["tests.echo"], box, 20, {})._fenced:
        pytest.skip("this system allows no namespaces")
    asked = (
        "import subprocess, sys; from pathlib import Path; from assignment.sandbox import Sandbox; "
        "box, stick = map(Path, sys.argv[1:]); made = Sandbox(['tests.echo'], box, 20, {}); print(made.fence); "
        "[subprocess.run([*made._fenced, 'touch', folder / 'x']) for folder in (box, stick)]; "
        "print([(folder / 'x').exists() for folder in (box, stick)])"
    )
    mounted = 'mount -t tmpfs none "$2" && exec "$0" -c "$3" "$1" "$2"'
    started = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted, sys.executable, box, stick, asked]
    done = subprocess.run(started, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.splitlines() == ["namespaces and an audit hook", "[True, False]"], done.stderr


def test_packages_may_stand_beside_pythons_own(tmp_path, monkeypatch):
    """As on AI Studio, in a folder that `$PYTHONPATH` names."""
    box, packages = tmp_path / "box", tmp_path / "external-libraries"
    box.mkdir()
    packages.mkdir()
    (packages / "beside.py").write_text((ROOT / "tests/echo.py").read_text())
    monkeypatch.syspath_prepend(packages)
    with closing(Sandbox(["beside"], box, 20, {})) as sandbox:
        task = {"folder": str(box)}
        assert sandbox.ask("echo", **task) == {**task, "refused": []}


def test_many_files_fill_no_disk(tmp_path):
    """Each of them may be as large as one may be; what is there already is not the next task's."""
    with closing(Sandbox(["tests.echo"], tmp_path, 2, {})) as sandbox:
        assert sandbox.ask("fill", folder=str(tmp_path)) == {"ended": "it wrote more than 64 MiB"}
        assert sandbox.ask("echo", folder=str(tmp_path)) == {"folder": str(tmp_path), "refused": []}


def test_a_server_that_dies_is_started_again(tmp_path):
    with closing(Sandbox(["tests.echo"], tmp_path, 20, {})) as sandbox:
        task = {"folder": str(tmp_path), "say": "你好"}
        assert sandbox.ask("echo", **task) == {**task, "refused": []}
        sandbox._server.kill()
        assert sandbox._server.stdout.read() == b""  # until all that it started is gone, too
        assert sandbox.ask("echo", **task) == {"ended": "it took the whole examiner down"}
        assert sandbox.ask("echo", **task) == {**task, "refused": []}
