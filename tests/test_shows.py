"""What only shows ends nothing that works: pictures, judgements, logs, the screen."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common.files.atomic import append, write_all
from common.game import Game
from common.judging.reference import Reference
from common.run.artifacts import Logs
from common.run.commandline import command
from common.run.interrupt import Interrupt
from tests.conftest import ROOT, call, train, users_environment
from tests.runs import JUDGED, STEPS, TOY, result

import numpy as np
import pytest


def work(folder: Path) -> dict[str, str]:
    """What of a run is no show, hashed."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (*folder.glob("*.params"), folder / "losses.csv")
        if "checkpoint" not in path.name
    }


@contextlib.contextmanager
def largest_file() -> Iterator[None]:
    """Files may grow to 1,000 bytes inside, as on a disk that is full then. No fixture: pytest itself writes to a file
    between a test and its end, where its output goes to one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_show_of_a_run_can_be_written(half, undisturbed, say):
    """Each is said once; and once they can, the run goes on with them."""
    shutil.rmtree(half / "samples")
    (half / "samples").write_text("no folder")
    for name in ("metrics.jsonl", "vdlrecords.run.log", "progress.gif"):
        (half / name).unlink()
        (half / name).mkdir()
    said = say(train, "toy", *TOY, "--max-steps", STEPS, "--sample-every", 2, "--resume", "--output-dir", half)
    assert said.status == 0
    assert said.err.count("\n") == 3, said.err  # there is no grid for a GIF
    for name in ("samples", "metrics.jsonl", "vdlrecords.run.log"):
        assert said.err.count(f"{half / name}") == 1
    assert work(half).items() <= undisturbed.items()
    (half / "samples").unlink()
    for name in ("metrics.jsonl", "vdlrecords.run.log", "progress.gif"):
        (half / name).rmdir()
    said = say(train, "toy", *TOY, "--max-steps", STEPS + 20, "--resume", "--output-dir", half)
    assert (said.status, said.err) == (0, "")
    assert result(half)["loss/D"].startswith(f"[({STEPS + 10}, ")


@pytest.mark.parametrize("name", ["0000_0000 (1).png", "0000_0100.png"])
def test_a_grid_that_is_none(half, name, undisturbed, say):
    """A copy under a name of its own is left alone; of a picture that is damaged no GIF can be made."""
    (half / "samples" / name).write_text("no picture")
    said = say(train, "toy", *TOY, "--max-steps", STEPS, "--resume", "--output-dir", half)
    assert said.status == 0
    assert ("progress.gif" in said.err) == (name == "0000_0100.png")
    assert work(half).items() <= undisturbed.items()


def test_a_familys_own_show_fails(tmp_path, undisturbed, monkeypatch, say):
    """In the middle of drawing, when BatchNorm is set to its running statistics: the training does not notice."""
    monkeypatch.setattr(Game, "show", lambda self, batch: self.sample(np.zeros((1, 3), np.float32)))
    said = say(train, "toy", *TOY, "--max-steps", STEPS, "--output-dir", tmp_path)
    assert said.status == 0
    assert said.err.startswith("warning: the sample grid: ")
    assert said.err.count("\n") == 1
    assert work(tmp_path).items() <= undisturbed.items()


def test_a_black_grid(tmp_path, undisturbed, monkeypatch, say):
    monkeypatch.setattr(Game, "show", lambda self, batch: np.full((64, 1, 32, 32), -1, np.float32))
    said = say(train, "toy", *TOY, "--max-steps", STEPS, "--output-dir", tmp_path)
    assert (said.status, said.err) == (0, "")
    assert work(tmp_path).items() <= undisturbed.items()
    assert result(tmp_path)["grids"] == undisturbed["grids"]


def test_a_judgement_fails(tmp_path, judged, monkeypatch, say):
    """Of two the first: it is said, and the second is made."""
    compare, calls = Reference.compare, []

    def fails(self, seen):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return compare(self, seen)

    monkeypatch.setattr(Reference, "compare", fails)
    said = say(train, "toy", *JUDGED, "--output-dir", tmp_path)
    assert said.status == 0
    assert said.err == "warning: the judgement: MemoryError; the training goes on\n"
    last = [(folder / "metrics.jsonl").read_text().splitlines()[-1] for folder in (tmp_path, judged)]
    assert last[0] == last[1]
    assert (tmp_path / "metrics.jsonl").read_text().count("frechet") == 2  # raw and EMA of one


@largest_file()
def test_a_file_grows_by_whole_pieces(tmp_path):
    path = tmp_path / "file"
    append(path, bytes(600))
    with pytest.raises(OSError, match="File too large") as caught:
        append(path, b"\xff" * 600)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == bytes(600)
    append(path, bytes(400))
    assert path.stat().st_size == 1000


@largest_file()
def test_of_files_that_belong_together_none_changes_where_one_cannot_be_written(tmp_path, monkeypatch):
    """As a generator and its card, on a disk that is full in between."""
    small, large = tmp_path / "README.md", tmp_path / "generator.params"
    write_all({small: b"old", large: b"old"})
    with pytest.raises(OSError, match="File too large") as caught:
        write_all({small: b"new", large: bytes(1001)})
    assert caught.value.filename == str(large)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {small: b"old", large: b"old"}
    with monkeypatch.context() as patch:  # the second does not come to the disk
        reached = iter([None])
        patch.setattr(os, "fsync", lambda _: next(reached))
        with pytest.raises(StopIteration):
            write_all({small: b"new", large: b"new"})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {small: b"old", large: b"old"}
    write_all({small: b"new", large: bytes(1000)})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {small: b"new", large: bytes(1000)}


@largest_file()
def test_a_folder_that_was_made_for_files_that_cannot_be_written_goes(tmp_path):
    with pytest.raises(OSError, match="File too large"):
        write_all({tmp_path / "new/README.md": b"new", tmp_path / "new/generator.params": bytes(1001)})
    assert [*tmp_path.iterdir()] == []


def test_a_second_ctrl_c_in_the_midst_of_paddle_is_a_ctrl_c(capsys):
    """What is raised in a layer's `backward` Paddle makes an OSError of."""

    def interrupted_twice() -> None:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.asked
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt as error:
                raise OSError("(External) {many lines}") from error

    assert command(interrupted_twice)() == 130
    assert capsys.readouterr().err.endswith("\ninterrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_from_the_start_stays_so(number):
    """As by `nohup`, or by a script that begins a training with `&`: its own Ctrl-C is not for that."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            assert not interrupt.asked
            assert signal.getsignal(number) == signal.SIG_IGN
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@largest_file()
def test_losses_that_cannot_be_written_are_an_error_with_a_name(tmp_path):
    logs, steps = Logs(tmp_path, {}), range(200)

    def write() -> None:
        for step in steps:
            logs.steps([{"step": step, "epoch": 0, "batch": step, "loss_d": step / 3}])

    with pytest.raises(OSError, match="File too large") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "losses.csv")
    *rows, rest = (tmp_path / "losses.csv").read_bytes().split(b"\r\n")
    assert rows[-1].startswith(f"{len(rows) - 2},0,".encode())
    assert rest == b""


# A command without Paddle, which takes a second to import. What `command` does about the screen is the same.
PROGRAM = r"""
import os, sys
from common.run.commandline import command

@command(prints={prints})
def main():
    for _ in range(2000):
        print("Fréchet ↓ \udcb0", flush={flush})
    print("é", file=sys.stderr)
    return os.dup(0) < 3  # a file that is opened gets no number of a standard stream

sys.exit(main())
"""
SAID = "Fréchet ↓ \\udcb0\n" * 2000


def speak(
    prints: bool = True, flush: bool = False, before: str = "exec", after: str = "", **options
) -> subprocess.Popen:
    """Start it, from a shell that does something with its streams."""
    program = PROGRAM.format(prints=prints, flush=flush)
    shell = f'{before} "$0" -c "$1" {after}'
    return subprocess.Popen(["bash", "-c", shell, sys.executable, program], cwd=ROOT, **options)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp1251", "gbk", "utf-8"])
def test_files_and_pipes_are_utf_8(tmp_path, encoding):
    """A disk, since Windows writes in its own encoding there: `python -m commands.evaluate … > table.md`."""
    environment = {**users_environment(), "PYTHONIOENCODING": encoding}
    done = speak(stderr=subprocess.PIPE, after=f"> {tmp_path / 'table.md'}", env=environment)
    assert done.communicate()[1].decode() == "é\n"
    assert done.returncode == 0
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == SAID


def test_a_terminal_keeps_its_encoding():
    controller, terminal = pty.openpty()
    environment = {**users_environment(), "PYTHONIOENCODING": "cp1251"}
    child = speak(stdout=terminal, stderr=subprocess.DEVNULL, env=environment)
    os.close(terminal)
    said = b""
    with contextlib.suppress(OSError):  # so Linux tells the end
        while piece := os.read(controller, 2**16):
            said += piece
    os.close(controller)
    assert child.wait(60) == 0
    assert said.decode("cp1251").replace("\r", "") == "Fr?chet ? ?\n" * 2000


@pytest.mark.parametrize("flush", [False, True])
def test_a_pipe_that_nobody_reads_to_its_end(flush):
    child = speak(flush=flush, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline().decode() == "Fréchet ↓ \\udcb0\n"
    child.stdout.close()
    assert child.stderr.read().decode() == "é\n"
    child.stderr.close()
    assert child.wait(60) == 0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "make room (earlier-1"),
        (errno.EACCES, "chmod -R u+rwX"),
        (errno.EMFILE, "ulimit"),
        (errno.EIO, ""),
    ],
)
def test_an_error_of_the_systems_names_a_way_out_where_there_is_one(number, words, capsys):
    @command
    def fails() -> int:
        raise OSError(number, os.strerror(number), "run/losses.csv")

    assert fails() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: run/losses.csv: {os.strerror(number)}")
    assert (words in said, ";" in said) == (True, bool(words))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(closed):
    child = speak(after=closed, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = (said.decode() for said in child.communicate())
    assert out == ("" if ">&-" in closed.split() else SAID)
    assert err == ("" if "2>&-" in closed else "é\n")
    assert child.returncode == 0


@pytest.mark.parametrize("prints", [True, False])
def test_a_full_disk_below_what_is_printed(prints):
    """An error for a command that is there to print; a training goes on to its end."""
    child = speak(prints=prints, after="> /dev/full", stderr=subprocess.PIPE)
    _, *said = child.communicate()[1].decode().splitlines()
    assert said == ["error: standard output: No space left on device; what was printed is not complete"] * prints
    assert child.returncode == 2 * prints


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc, where it shows what is being imported")
@pytest.mark.parametrize("command", ["dcgan/train.py", "-m commands.sample"])
def test_ctrl_c_while_it_imports(command):
    called = [sys.executable, *command.split(), "--help"]
    child = subprocess.Popen(called, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    maps = Path(f"/proc/{child.pid}/maps")
    while child.poll() is None and "libpaddle" not in maps.read_text():
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert [said.decode() for said in child.communicate()] == ["", "\ninterrupted\n"]
    assert child.returncode == 130


LOOP = """
import sys, time
sys.path[0] = sys.path[0].rsplit("/", 1)[0]
from common.gan import GAN
try:
    print("training", flush=True)
    time.sleep(60)
finally:
    open("saved.txt", "w").close()
"""


def test_ctrl_c_in_a_students_own_loop_is_its_own(tmp_path):
    """In a folder of the repository, without `command`: it ended at once, and nothing was saved."""
    shutil.copytree(ROOT / "common", tmp_path / "common", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/loop.py").write_text(LOOP)
    called = [sys.executable, tmp_path / "mine/loop.py"]
    child = subprocess.Popen(called, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"training\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate()[1].decode() == "\ninterrupted\n"
    assert (child.returncode, (tmp_path / "saved.txt").exists()) == (-signal.SIGINT, True)


def test_a_program_from_elsewhere_keeps_its_ctrl_c():
    done = call("-c", "import common, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)")
    assert done.stdout == "True\n"
