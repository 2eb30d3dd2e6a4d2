"""The curves of all runs in VisualDL: `python -m commands.board work`, then http://127.0.0.1:8040."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any, Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import BAD_INPUT, DONE, UserError
from common.language import _
from common.run.board import records
from common.run.commandline import Parser, command, user_path, whole_number

try:
    from visualdl import LogReader
    from visualdl.server import api, app, lib
    from visualdl.server.data_manager import DataManager
    from visualdl.utils.string_util import decode_tag
    from werkzeug.exceptions import Forbidden, RequestEntityTooLarge  # Flask's, which VisualDL needs
    from werkzeug.wsgi import get_content_length
except ModuleNotFoundError:
    print(_("error: this shows the curves in VisualDL: pip install visualdl"), file=sys.stderr)
    sys.exit(BAD_INPUT)

MOST = 16 * 2**20  # bytes of a request: the graph of a network that somebody looks at


class Log:
    """What VisualDL's reader asks of a log, which may end in half a record where a disk was full or the power failed:
    VisualDL itself would not start then, for any run.

    Args:
        path: the log.
        dir: its folder, as VisualDL spells it.
    """

    def __init__(self, path: str, dir: str) -> None:
        self.path, self.dir = Path(path), dir
        self.end, self.file, self.damaged = 0, self.path.stat().st_ino, False

    def replaced(self) -> bool:
        """Whether it is another file by now, was cut back or is gone: a run was set aside, resumed or removed."""
        with contextlib.suppress(OSError):
            now = self.path.stat()
            return now.st_ino != self.file or now.st_size < self.end
        return True

    def get_remain(self) -> list[bytes]:
        """The records that were not read yet. Says once what cannot be read."""
        found = []
        try:
            for content, end in records(self.path, self.end):
                found.append(content)
                self.end = end
            problem = f"no record of VisualDL at byte {self.end:,}" if self.path.stat().st_size > self.end else ""
        except OSError as error:
            problem = error.strerror
        if problem and not self.damaged:
            print(f"warning: {self.path}: {problem}; what is after it is not shown", file=sys.stderr)
        self.damaged = bool(problem)
        return found


class Runs(LogReader):
    """VisualDL's reader of all logs below a folder. It calls a run by its path there, whatever name the log has: of two
    runs of one name VisualDL shows one."""

    def load_new_data(self, update: bool = True) -> None:
        """Read what was written since the last time; all anew where a log is not the one that was read."""
        if any(log.replaced() for log in self.readers.values()):
            self.readers, self._tags, self.data_manager = {}, {}, DataManager()
        super().load_new_data(update)
        top = Path(self.logdir[0])
        for key in self.data_manager.get_reservoir("scalar").keys:
            run = Path(key).parent  # of several curves in one chart each is a run to VisualDL: `dcgan/loss_all_D`
            if run.as_posix() not in self.tags2name and run.is_relative_to(top):
                name = run.relative_to(top).as_posix()
                self.tags2name[run.as_posix()], self.name2tags[name] = name, run.as_posix()

    def get_all_walk(self) -> None:
        """The files in each folder, each folder once: VisualDL follows links, also in circles."""
        self.walks, seen = {}, set()
        for folder, folders, files in os.walk(self.logdir[0], followlinks=True):
            try:
                state = Path(folder).stat()
            except OSError:  # just moved
                continue
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders.sort(key=lambda name: Path(folder, name).is_symlink())  # a run by its own name, if it has one here
            self.walks[folder] = files

    def logs(self, update: bool = False) -> dict[str, str]:
        """The log in each folder that has one."""
        found = super().logs(update)
        for dir in found:
            name = Path(dir).relative_to(self.logdir[0]).as_posix()
            self.tags2name[dir], self.name2tags[name] = name, dir
        return found

    def register_reader(self, path: str, dir: str, update: bool = True) -> None:
        """Take up the log `path` in `dir`."""
        if path not in self.readers:
            self.readers[path] = Log(path, dir)

    def update_meta_data(self, record: object) -> None:
        """The name that runs of earlier versions wrote is not used."""


def embeddings(reader: Runs) -> list[dict[str, Any]]:
    """The embeddings there are. VisualDL's own list does not grow while it serves, and has paths for names: of those
    that begin with / it gives the vectors in place of the labels."""
    reader.load_new_data()
    found, logged = [], lib.get_logs(reader, "embeddings")
    for run, tags in zip(logged["runs"], logged["tags"]):
        folder = reader.name2tags.get(run, run)
        for tag in tags:
            (record, *_) = reader.data_manager.get_reservoir("embeddings").get_items(folder, decode_tag(tag))
            points, name = record.embeddings.embeddings, f"{run}/{tag}"
            lib.EMBEDDING_NAME[name] = {"run": folder, "tag": tag}
            found.append({"name": name, "path": name, "shape": [len(points), len(points[0].vectors)]})
    return found


def loopback(host: str) -> bool:
    """Whether a host, which may have a port, is one that leads to the machine it is used on."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def answering(create: Callable[[Any], Any], local: bool = True) -> Callable[[Any], Any]:
    """`create` for an application that answers while a connection is silent, such as one that a browser opens ahead:
    each has a thread, but one at a time asks the reader of the logs. VisualDL's own waits for each connection's end.

    Args:
        create: VisualDL's `create_app`.
        local: refuse who asks for another host than this machine: a page of the web whose name was made to lead here.
    """

    def create_app(arguments: Any) -> Any:
        made, turn = create(arguments), threading.Lock()
        answer, run = made.wsgi_app, made.run

        def one_at_a_time(environ: dict, start_response: Callable) -> Any:
            if local and not loopback(environ.get("HTTP_HOST", "")):
                return Forbidden("This is for the machine that it runs on: open 127.0.0.1.")(environ, start_response)
            length = get_content_length(environ) or 0
            if length > MOST or "HTTP_TRANSFER_ENCODING" in environ:
                return RequestEntityTooLarge()(environ, start_response)
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))  # which may take as long as it likes
            with turn:
                return answer(environ, start_response)

        def serve(host: str, **given: Any) -> None:
            run(host=host.strip("[]"), **{**given, "threaded": True})

        made.wsgi_app, made.run = one_at_a_time, serve
        return made

    return create_app


@command
def main(arguments: list[str] | None = None) -> int:
    """Serve VisualDL on the runs in a folder: to this machine only, with telemetry off. Runs that go on are followed;
    Ctrl-C ends it.
    """
    parser = Parser(
        prog="python -m commands.board",
        description=main.__doc__,
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=user_path, nargs="?", default=Path("work"), help="of runs")
    add("--host", default="127.0.0.1", help="the address to serve on; others can read your logs there")
    add("--port", type=whole_number(1, 65_535), default=8040, help="of that address")
    add("--language", choices=["en", "zh"], default="en", help="of the page")
    flags = parser.parse_args(arguments)
    if not flags.folder.is_dir():
        raise UserError(_("{folder}: there is no such folder; a training makes it: make train", folder=flags.folder))
    if not flags.host.strip():  # a variable of the shell that is not set; a socket would take it for every address
        raise UserError(_("--host: an empty name; 127.0.0.1 is this machine, 0.0.0.0 is every address"))
    with socket.socket(socket.AF_INET6 if ":" in flags.host else socket.AF_INET) as probe:
        try:
            # As VisualDL will: after itself it may be at once.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((flags.host, flags.port))
            probe.listen()
        except (OSError, TypeError, UnicodeError) as error:  # for which VisualDL would wait for ever
            other = "--port" if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else "--host"
            values = {"host": flags.host, "port": flags.port, "error": error, "other": other}
            raise UserError(_("--host {host} --port {port}: {error}; give another {other}", **values)) from error

    host = f"[{flags.host}]" if ":" in flags.host else flags.host  # as an address has it: VisualDL asks itself there
    api.LogReader, lib.get_embeddings_list, app.create_app = Runs, embeddings, answering(app.create_app, loopback(host))
    sys.argv[1:] = [f"--logdir={flags.folder}", "--host", host, "--port", str(flags.port)]
    sys.argv += ["--language", flags.language, "--disable-telemetry"]
    os.environ["no_proxy"] = "*"  # VisualDL asks itself until it answers, then says where it is; a proxy finds it not
    app.main()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
