"""Code of strangers, each in a process of its own, with bounds on what it can reach.

Two fences. Where the system allows namespaces (`unshare`; most Linux machines, also without root), the kernel gives the
processes no network, no sight of others, and every file system read-only but one folder. Everywhere, an audit hook
(PEP 578) refuses sockets, new processes and writing elsewhere as far as Python does them. The hook alone stops
accidents and plain malice; it does not stop code that reaches native libraries. `Sandbox.fence` says which there is.

One server process imports Paddle once, in an environment without the user's variables, and forks for each task.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

try:
    import resource
except ImportError:  # Windows, where `grade.py` says that it does not work
    resource = None

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 4 * 2**30  # bytes of address space beyond what the server has: with CUDA's libraries that is a lot already
LARGEST_FILE = 16 * 2**20
MOST_WRITTEN = 64 * 2**20  # bytes in all: a task that has written more is ended; the assignment's own code writes none
LOOKED = 0.5  # seconds between two looks at what it wrote
SMALLEST = 2**12  # bytes that a file or folder counts beside its content
LONGEST_ANSWER = 2**20
GRACE = 120.0  # seconds for the server itself to start: it imports Paddle and reads MNIST
WAITING = 4  # times as long a task may last as it may compute: a busy machine is not its fault
# A mount point's spaces and backslashes stand as \040 and \134 in mountinfo; `printf`'s %b reads \0040 and \0134.
READ_ONLY = r"""
mount --bind "$0" "$0" || exit 1
places=$(cut -d ' ' -f 5 /proc/self/mountinfo | sed 's/\\\([0-7]\{3\}\)/\\0\1/g')
[ "$places" ] || exit 1
printf '%s\n' "$places" | while IFS= read -r place; do
    place=$(printf %b "$place")
    [ "$place" = "$0" ] || mount -o remount,bind,ro "$place" || exit 1
done || exit 1
exec "$@"
"""
NAMESPACES = ["unshare", "--map-root-user", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
# Events of Python's audit hooks (its "audit events table"). `ctypes.dlopen`: the way to call what no event tells of.
FORBIDDEN = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill", "os.killpg", "pty.spawn",
    "subprocess.Popen", "ctypes.dlopen",
}  # fmt: skip
WRITING = {
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "shutil.rmtree", "shutil.move",
}  # fmt: skip


class Sandbox:
    """The server from outside: `ask` it for a task.

    Args:
        server: what to run as `python -m`, with its arguments; it calls `serve`.
        box: a folder; the only one where the tasks can write.
        seconds: how long a task may compute, its threads together; it may last `WAITING` times that.
        environment: what the tasks may see of the user's variables.
    """

    def __init__(self, server: list[str], box: Path, seconds: float, environment: dict[str, str]) -> None:
        self.box, self.seconds = box.resolve(), seconds
        self._started, self._server = server, None
        fenced = [*NAMESPACES, "sh", "-c", READ_ONLY, str(self.box)]
        try:
            self._fenced = fenced if subprocess.run([*fenced, "true"], capture_output=True).returncode == 0 else []
        except OSError:  # no `unshare`: not Linux
            self._fenced = []
        # The names of `HOME` and of folders for caches lead into the box: all else is read-only, or not theirs.
        self._environment = {
            "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # of packages beside Python's own, as on AI Studio
            "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),  # of CUDA, without which its Paddle does not load
            "CUDA_VISIBLE_DEVICES": "",  # the tasks compute on the CPU
            **{name: str(self.box) for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")}, **environment,
        }  # fmt: skip

    @property
    def fence(self) -> str:
        """What keeps the tasks in."""
        if self._fenced:
            return "namespaces and an audit hook"
        bound = "" if Path("/proc/self/statm").exists() else "; memory may have no bound"  # macOS
        return f"an audit hook only, which native code can pass{bound}"

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """What a task returned; where it did not, `{"ended": "why"}`."""
        if self._server is None:
            self._start()
        request = {"task": task, "seconds": self.seconds, "arguments": arguments, "box": str(self.box)}
        try:
            self._server.stdin.write(json.dumps(request).encode() + b"\n")
            self._server.stdin.flush()
            ready, _, _ = select.select([self._server.stdout], [], [], WAITING * self.seconds + GRACE)
            answer = json.loads(self._server.stdout.readline()) if ready else None
        except (OSError, ValueError):  # it was killed
            answer = None
        if not isinstance(answer, dict):
            self.close()
            return {"ended": "it took the whole examiner down"}
        return answer

    def close(self) -> None:
        """End the server and all that it started."""
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
            self._server = None

    def _start(self) -> None:
        self._server = subprocess.Popen(
            [*self._fenced, sys.executable, "-m", *self._started], cwd=ROOT, env=self._environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def serve(tasks: dict[str, Callable[..., dict]]) -> None:
    """The server: a line of JSON in is a task, a line out is what came of it."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = in_a_fork(tasks[request["task"]], request["seconds"], request["arguments"], request["box"])
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def in_a_fork(task: Callable[..., dict], seconds: float, arguments: dict[str, Any], box: str) -> dict[str, Any]:
    """Call `task` in a process of its own, and end that with all that it started once it has computed for `seconds` or
    filled `box`."""
    room = written(box) + MOST_WRITTEN  # what an earlier task left is not this one's
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            confine(Path(arguments["folder"]), seconds)
            refused: list[str] = []
            sys.addaudithook(guard(Path(arguments["folder"]), refused))
            answer = {**task(**arguments), "refused": refused[:10]}
            os.write(into, json.dumps(answer).encode()[:LONGEST_ANSWER])
        except BaseException as error:  # whatever a stranger's code may raise
            os.write(into, json.dumps({"ended": f"{type(error).__name__}: {error!s:.200}"}).encode())
        finally:
            os._exit(0)
    os.close(into)
    content, deadline, full = b"", time.monotonic() + WAITING * seconds, False
    while len(content) <= LONGEST_ANSWER and time.monotonic() < deadline and not full:
        if select.select([out], [], [], LOOKED)[0]:
            piece = os.read(out, 2**16)
            if not piece:
                break
            content += piece
        full = written(box) > room
    late = time.monotonic() >= deadline
    os.close(out)
    if os.getpid() == 1:  # of a namespace: all that the task started, whatever group it is in
        os.kill(-1, signal.SIGKILL)
    else:
        try:
            os.killpg(child, signal.SIGKILL)
        except OSError:
            os.kill(child, signal.SIGKILL)  # it did not get as far as to its own group
    _, status = os.waitpid(child, 0)
    if full:
        return {"ended": f"it wrote more than {MOST_WRITTEN // 2**20} MiB"}
    try:
        answer = json.loads(content)
        if isinstance(answer, dict):
            return answer
    except ValueError:
        pass
    fatal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if late or fatal == signal.SIGXCPU:
        return {"ended": f"it did not come to an end within {seconds:g} seconds"}
    if fatal and fatal != signal.SIGKILL:
        return {"ended": f"it crashed ({signal.Signals(fatal).name}); too much memory ends so, too"}
    return {"ended": "it ended without an answer"}


def written(box: str) -> int:
    """Bytes on the disk below a folder. From outside: `paddle.save` can write without an event for the audit hook."""
    total, folders = 0, [box]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                total += SMALLEST
                with contextlib.suppress(FileNotFoundError):  # it is gone already
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return total


def confine(folder: Path, seconds: float) -> None:
    """Bound this process: a group of its own, nothing to read or to print to, little memory, no large files."""
    os.setsid()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    memory = address_space() + MEMORY
    with contextlib.suppress(ValueError):  # macOS takes no limit below what it maps itself
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))  # SIGXCPU, then SIGKILL


def address_space() -> int:
    """Bytes of address space this process has; where Linux does not say, what Paddle and MNIST take."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2 * 2**30


def guard(folder: Path, refused: list[str]) -> Callable[[str, tuple], None]:
    """An audit hook that raises `PermissionError`, and notes what it refused."""
    inside = os.path.realpath(folder) + os.sep

    def allowed(path: object) -> bool:
        if isinstance(path, int) or path is None:
            return True  # a file that is open already, or none
        real = os.path.realpath(os.fsdecode(path))
        return real.startswith(inside) or real == os.devnull

    def hook(event: str, arguments: tuple) -> None:
        bad = event in FORBIDDEN or event.startswith("socket.")
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            named = isinstance(path, (str, bytes, os.PathLike))
            secret = named and os.path.realpath(os.fsdecode(path)).startswith("/proc/")
            secret &= path != "/proc/self/cgroup"  # read for the number of threads
            folder = named and Path(os.fsdecode(path)).is_dir()  # it would be a `dir_fd`, by which others are opened
            bad = ((bool(writes) or folder) and not allowed(path)) or secret
        elif event in WRITING:
            bad = not all(allowed(path) for path in arguments if isinstance(path, (str, bytes, os.PathLike)))
        if bad:
            refused.append(f"{event} {arguments[0] if arguments else ''!s:.80}")
            raise PermissionError(refused[-1])

    return hook


if __name__ == "__main__":
    sys.exit("this is no command: assignment/grade.py uses it")
