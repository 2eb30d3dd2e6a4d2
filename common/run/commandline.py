"""How a command begins and ends: types of flags, and one clear line for what the user can mend."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NoReturn

import common
from common.errors import BAD_INPUT, INTERRUPTED, UserError
from common.files import home
from common.language import _
from common.run import screen

from PIL import ImageColor

NO_HYPHEN = re.compile("[‐-―−－\u3000]")  # what texts and Chinese input methods have for hyphens and spaces
MOST_IMAGES = 100_000  # that a command holds at once: 1.2 GB of 32x32 pixels in colour


class HelpFormatter(argparse.HelpFormatter):
    """Ends the help of a flag with its default, where it has one that says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        default = action.default
        if default is None or default is False or default in ("", argparse.SUPPRESS):
            return action.help
        shown = " ".join(map(str, default)) if isinstance(default, list) else "%(default)s"
        return f"{action.help} (default: {shown})"


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a bad flag with one line instead of the whole usage."""

    def __init__(self, **kwargs) -> None:
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        """End the program with `message` on one line."""
        problem = f"{self.prog}: {translated(message)}"
        if message.startswith("unrecognized") and (found := NO_HYPHEN.search(message)):
            problem += _("; “{letter}” is not the hyphen or the space of a keyboard: type it anew", letter=found[0])
        self.exit(BAD_INPUT, _("{problem} (--help lists the flags)", problem=problem) + "\n")


def translated(message: str) -> str:
    """What argparse says of a flag, in the reader's language."""
    if found := re.fullmatch(r"argument (.+?): expected (?:one|at least one) argument", message):
        return _("argument {flag}: expected one argument", flag=found[1])
    if found := re.fullmatch(r"argument (.+?): invalid choice: (.+) \(choose from (.+)\)", message):
        values = dict(zip(("flag", "value", "choices"), found.groups()))
        return _("argument {flag}: invalid choice: {value} (choose from {choices})", **values)
    if found := re.fullmatch(r"argument (.+?): (.+)", message):
        return _("argument {flag}: {problem}", flag=found[1], problem=found[2])
    if found := re.fullmatch(r"unrecognized arguments: (.+)", message):
        return _("unrecognized arguments: {given}", given=found[1])
    if found := re.fullmatch(r"the following arguments are required: (.+)", message):
        return _("the following arguments are required: {names}", names=found[1])
    return message


def command(main: Callable[..., int] | None = None, *, prints: bool = True) -> Callable[..., int]:
    """Turn what `main` raises into an exit status and, where the user can mend it, one line on stderr.

    Args:
        main: the command.
        prints: whether what it prints is what it is for. A training's is not: it may go to a full disk.
    """
    if main is None:
        return functools.partial(command, prints=prints)

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> int:
        screen.prepare()
        common.imported()
        try:
            with ctrl_c():
                status = main(*args, **kwargs)
            if status or not (prints and (reason := screen.lost_output())):
                return status
            message = f"standard output: {reason}; what was printed is not complete"
        except UserError as error:
            message = str(error)
        except MemoryError:
            message = _(
                "not enough memory; take fewer images at once, or end what holds it, such as a notebook on that GPU"
            )
        except OSError as error:
            if error.errno is None and re.search(r"^\s*\(External\)|ExternalError:", str(error)):
                raise  # Paddle's word for a fault of CUDA and its libraries
            # A full disk, a missing permission, a folder that is a file: the system's own words name the file.
            message = (f"{error.filename}: {error.strerror}" if error.filename else str(error)) + way_out(error)
        except KeyboardInterrupt:
            print("\n" + _("interrupted"), file=sys.stderr)
            return INTERRUPTED
        print(_("error: {problem}", problem=message), file=sys.stderr)
        return BAD_INPUT

    return wrapped


def way_out(error: OSError) -> str:
    """What to do about an error of the system's, in words that follow its own; "" where those say it all."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _("; make room (earlier-1 and the like are old runs) and type the same again, a training with --resume")
    if error.errno in (errno.EACCES, errno.EPERM):
        return _("; change its permissions (chmod -R u+rwX) or name another place")
    if error.errno == errno.EMFILE:
        return _("; allow more: ulimit -n 1024")
    return ""


@contextlib.contextmanager
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` inside: `common/__init__.py` lets it end a program that still imports."""
    here = threading.current_thread() is threading.main_thread()  # no signal comes to another
    if not here or signal.getsignal(signal.SIGINT) not in (common.interrupted_import, common.interrupted):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, common.interrupted)


def whole_number(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """An argparse type: an integer from `least` to `most`, by default the largest that any library here can count to.
    What takes memory for each has a smaller `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(_("{text!r} is not a whole number", text=text[:40])) from None
        if value < least:
            raise argparse.ArgumentTypeError(_("{value} is too small: at least {least}", value=value, least=least))
        if value > most:
            raise argparse.ArgumentTypeError(_("{value} is too large: at most {most}", value=value, most=most))
        return value

    return parse


seed_number = whole_number(0, 2**63 - 1)  # an argparse type: what VisualDL keeps and Paddle takes


def user_path(text: str) -> Path:
    """An argparse type: a path. A `~` at its beginning is the home, also where no shell says so: `--out=~/a.png`."""
    if not text.strip():  # a variable of the shell that is not set; `Path` takes it for the folder we are in
        raise argparse.ArgumentTypeError(_("an empty name; this folder is ."))
    try:
        path = home.expanded(text)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    try:
        path.stat()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text}: this system's encoding cannot write it; another name") from None
    except (OSError, ValueError) as error:  # whatever else it is, those who open it say
        if getattr(error, "errno", None) == errno.ELOOP:
            raise argparse.ArgumentTypeError(f"{text}: a link that leads to itself; remove it") from None
    return path


def colour(text: str) -> str:
    """An argparse type: a colour as PIL and the web name it, such as `white` or `#ff8800`."""
    try:
        ImageColor.getrgb(text)
    except ValueError:
        raise argparse.ArgumentTypeError(_("{text!r} is no colour: white, black, '#ff8800'", text=text[:40])) from None
    return text


def number_between(low: float, high: float) -> Callable[[str], float]:
    """An argparse type: a number x with low <= x < high."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(_("{text!r} is not a number", text=text)) from None
        if not low <= value < high:
            values = {"text": text, "low": low, "high": high}
            raise argparse.ArgumentTypeError(_("{text} is out of range: from {low} to less than {high}", **values))
        return value

    return parse
