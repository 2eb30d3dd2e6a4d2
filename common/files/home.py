"""A home to write to. Paddle makes `~/.cache/paddle` when it is imported, VisualDL `~/.visualdl`, and each ends the
program where it cannot, as on the nodes of a cluster or in a container; where nobody knows a home, they make a folder
that is named `~`. So this has to be settled before they are imported."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
import tempfile
from pathlib import Path

from common.language import _

NEEDED = (".cache/paddle/dataset", ".visualdl/x2paddle")  # folders that Paddle and VisualDL make in the home
VARIABLE = "USERPROFILE" if os.name == "nt" else "HOME"  # what says where the home is

replaced: dict[Path, Path | None] = {}  # a home that took the place of another one, and that one, if there was one


def prepare() -> None:
    """Make the home a temporary folder where there is none, or where what is needed cannot be made there."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        given = os.environ.get(name, "")
        if given.startswith("~"):  # written where no shell made it a folder's name
            os.environ[name] = os.path.expanduser(given)  # noqa: PTH111  Path's raises where there is none
        elif given and name.startswith("XDG") and not Path(given).is_absolute():
            del os.environ[name]  # "consider the path invalid and ignore it" (XDG Base Directory Specification)
    found = known()
    if found is None or not all(is_there(found / name) or writable(found / name) for name in NEEDED):
        replaced[temporary()] = found
        os.environ[VARIABLE] = str(temporary())
        what = _("there is no home folder") if found is None else _("nothing can be written to {folder}", folder=found)
        said = _("note: {what}: what is kept between runs goes to {folder}", what=what, folder=temporary())
        print(said, file=sys.stderr)
    if not all(writable(folder) for folder in matplotlibs()):  # it would warn, and draw up its list of fonts each time
        os.environ["MPLCONFIGDIR"] = str(temporary() / "matplotlib")


def known() -> Path | None:
    """The home as the environment or the system's list of users says; None where neither does."""
    found = os.path.expanduser("~")  # noqa: PTH111  as Paddle and VisualDL do it
    return Path(found) if os.path.isabs(found) and os.environ.get(VARIABLE, found) else None  # noqa: PTH117


def users() -> Path | None:
    """The user's own home, to which nothing can be written perhaps; None where there is none."""
    found = known()
    return replaced.get(found, found) if found else None


def matplotlibs() -> list[Path]:
    """Where Matplotlib keeps its settings and its list of fonts."""
    if os.environ.get("MPLCONFIGDIR"):
        return [Path(os.environ["MPLCONFIGDIR"])]
    places = {"XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache"}
    return [Path(os.environ.get(name) or Path.home() / place) / "matplotlib" for name, place in places.items()]


def expanded(path: str) -> Path:
    """`path`, with a `~` at its beginning as the user's home.

    Raises:
        RuntimeError: no such home is known.
    """
    own = path == "~" or path.startswith("~/")
    with contextlib.suppress(RuntimeError):
        if not own:
            return Path(path).expanduser()
        if users():
            return users() / path[2:]
    raise RuntimeError(f"{path}: no such home is known; a folder of this name is ./{path}")


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder, as far as one may see."""
    return os.path.exists(path)  # noqa: PTH110  Path's raises where one may not look


def writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or where it is not there yet, the folder. Asking leaves nothing behind."""
    place = next((place for place in (folder, *folder.parents) if is_there(place)), folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


@functools.cache
def temporary() -> Path:
    """A folder below the system's temporary one, this user's alone: others could leave there what is then believed.

    Raises:
        OSError: the system has none that can be written to.
    """
    owner = os.getuid() if hasattr(os, "getuid") else None
    try:
        usual = tempfile.gettempdir()
    except FileNotFoundError as error:  # all is read-only, as some containers are
        raise OSError(f"{error.strerror}; let $TMPDIR name a folder that can be written to") from None
    folder = Path(usual, "-".join(["paddle-dcgan-lsgan", *([] if owner is None else [str(owner)])]))
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    mine = owner is None or (found.st_uid == owner and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    if stat.S_ISDIR(found.st_mode) and mine and writable(folder):
        return folder
    return Path(tempfile.mkdtemp(prefix="paddle-dcgan-lsgan-"))
