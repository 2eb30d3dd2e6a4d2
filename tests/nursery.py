"""Trainings of the toy in processes of their own that can be killed, without the second that importing Paddle takes.

`python -m tests.nursery` imports once and forks for each line of JSON that it reads; `Nursery` speaks to it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from common.run.recorder import Recorder
from common.train import run
from tests import toy
from tests.runs import cheaper

SECONDS = 120  # after which a test that waits fails


class Child:
    """A training that `Nursery` started. Its output goes to `out` and `err`."""

    def __init__(self, nursery: Nursery, pid: int, out: Path, err: Path) -> None:
        self.nursery, self.pid, self.out, self.err = nursery, pid, out, err
        self.ended = False

    def send(self, number: int) -> None:
        """Send a signal; to one that has ended, nothing."""
        if not self.has_ended():
            os.kill(self.pid, number)

    def has_ended(self) -> bool:
        """Whether it has; the nursery says so before it lets go of the number of the process."""
        self.ended = self.ended or bool(select.select([self.nursery.process.stdout], [], [], 0)[0])
        return self.ended

    def wait_for(self, words: str, path: Path | None = None, times: int = 1) -> None:
        """Return once it has said the `words` so many times."""
        for _ in self.while_running():
            if (path or self.out).read_text().count(words) >= times:
                return
        raise AssertionError(f"ended without saying {words}: {self.out.read_text()}{self.err.read_text()}")

    def while_running(self) -> Iterator[None]:
        """Look again and again until it has ended."""
        deadline = time.monotonic() + SECONDS
        while not self.has_ended():
            yield
            assert time.monotonic() < deadline, self.out.read_text() + self.err.read_text()
            time.sleep(0.004)
        yield

    def end(self) -> int:
        """Its exit status once it has ended; of one that was killed the signal, negative."""
        for _ in self.while_running():
            pass
        line = self.nursery.process.stdout.readline()
        self.nursery.say("bury")
        self.nursery.child = None
        return int(line)


class Nursery:
    """Starts trainings, one at a time."""

    def __init__(self) -> None:
        called = [sys.executable, "-m", "tests.nursery"]
        self.process = subprocess.Popen(called, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

        self.child: Child | None = None

    def say(self, what: object) -> None:
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    def start(self, folder: Path, *flags: object, **patches: float) -> Child:
        """The toy with `flags`; `patches` are what `patch` takes. Its output is kept beside `folder`."""
        if self.child:  # a test that failed left it behind
            self.child.send(signal.SIGKILL)
            self.child.end()
        out, err = (folder.with_name(f"{folder.name}-{name}.txt") for name in ("out", "err"))
        for path in (out, err):
            path.write_text("")
        self.say({"flags": [*map(str, flags)], "out": str(out), "err": str(err), "patches": patches})
        self.child = Child(self, int(self.process.stdout.readline()), out, err)
        return self.child

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()


def patch(hang_in_save: int = 0, largest_file: int = 0, clock: bool = False, unread: bool = False) -> None:
    """Make this process one to which something happens.

    Args:
        hang_in_save: which save of a checkpoint never comes to its end.
        largest_file: in bytes: stands in for a full disk.
        clock: let it jump back and forth.
        unread: what it says leads into pipes that nobody reads.
    """
    for number in (1, 2) if unread else ():
        read, write = os.pipe()
        os.dup2(write, number)
        os.close(read)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if clock:
        now, jumps = time.time(), iter(range(10**9))
        time.time = lambda: now - 1e6 * (next(jumps) % 2)
    if hang_in_save:
        fsync, saves = os.fsync, iter(range(1, 10**9))

        def hang(descriptor: int) -> None:
            if "checkpoint" in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and next(saves) == hang_in_save:
                print("saving", flush=True)
                signal.pause()
            fsync(descriptor)

        os.fsync = hang


def say_when_begun() -> None:
    """From the first step on, the logs are cut back to the checkpoint that is resumed."""
    log = Recorder.log

    def first(*arguments: object, **named: object) -> bool:
        Recorder.log = log
        print("begun", flush=True)
        return log(*arguments, **named)

    Recorder.log = first


def live(request: dict) -> NoReturn:
    """A child's life."""
    status = 1
    try:
        for number, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), number)
        sys.stdout.reconfigure(line_buffering=True)
        say_when_begun()
        patch(**request["patches"])
        status = run("lsgan", toy.build, request["flags"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    cheaper()
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            live(json.loads(line))
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        sys.stdin.readline()  # until it is said to bury it, the number of the process is nobody else's
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
