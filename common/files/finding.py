"""Where the files of a data set are: named, in a cache, where AI Studio mounts them, or to be downloaded."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from common.errors import UserError
from common.files import cifar, home
from common.files.atomic import cache_folder
from common.files.download import MAX_BYTES, fetch
from common.files.idx import FILES, SOURCES, called, found_below, identity, official_md5
from common.language import _

DATA_HOME = (home.users() or Path.home()) / ".cache/paddle/dataset"  # Paddle's cache
SHOWN = 5  # names of files in a message


class NotHadError(UserError):
    """A data set's files are not here, and could not be downloaded."""


def existing(given: str | Path, source: str, content: str) -> Path:
    """The folder that the user named; raises `UserError` where there is none."""
    try:
        folder = home.expanded(str(given))
    except RuntimeError as error:
        raise UserError(f"{source}: {error}") from None
    if not folder.is_dir():
        values = {"source": source, "folder": folder, "content": content}
        raise UserError(_("{source}: no folder {folder}; name the folder that holds {content}", **values))
    return folder


def find_idx(name: str, data_dir: str | Path | None = None, files: tuple[str, ...] = FILES[:1]) -> Path:
    """The folder with some of `FILES` of MNIST or its like, as `called` there.

    Looked for in `data_dir`, for MNIST else in `$MNIST_DIR`; else in Paddle's cache and where AI Studio mounts data
    sets. At last they are downloaded to Paddle's cache from Paddle's server.

    Raises:
        UserError: the folder named is not there or does not have them, the download failed, or Paddle's server does not
            have this data set.
    """
    given = data_dir or (os.environ.get("MNIST_DIR") if name == "mnist" else None)
    if given:
        source = "--data-dir" if data_dir else "$MNIST_DIR"
        folder = existing(given, source, ", ".join(files))
        found = found_below(folder, name, files)
        if not found:
            values = {"source": source, "folder": folder, "files": _(" and ").join(files), "seen": seen_in(folder)}
            raise UserError(_("{source} {folder}: no {files} there, packed or unpacked; {seen}", **values))
        return found
    folder = downloads(name, files)
    if all((folder / file).is_file() for file in files):
        return folder
    for place in mounted():
        found = found_below(place, name, files)
        # Its sisters have files of the same names: this one and no other.
        if found and all(identity(called(found, file)) == official_md5(name, file) for file in files):
            return found
    source = SOURCES[name]
    if not source.url:
        values = {"name": name, "wanted": ", ".join(files)}
        raise UserError(
            _("--dataset {name}: Paddle's server does not have it; name by --data-dir a folder with {wanted}", **values)
        )
    for file in files:
        if not (folder / file).is_file():
            download(source.url + file, folder / file, official_md5(name, file))
    return folder


def mounted() -> list[Path]:
    """The folders in which AI Studio shows a project its data sets, `~/data/data65` and the like."""
    own = home.users()
    return sorted(path for path in own.glob("data/data*") if path.is_dir()) if own else []


def seen_in(folder: Path) -> str:
    """What a folder holds, in words."""
    names = sorted(path.name for path in folder.iterdir())
    more = _(" and {count} more", count=len(names) - SHOWN) if len(names) > SHOWN else ""
    return _("it holds {names}{more}", names=", ".join(names[:SHOWN]), more=more) if names else _("it is empty")


def find_cifar10(data_dir: str | Path | None = None) -> Path:
    """Where CIFAR-10's files are: `data_dir`, a folder or the archive; else Paddle's cache or where AI Studio mounts
    data sets; at last in Paddle's cache, downloaded."""
    if data_dir:
        path = Path(data_dir)
        wanted = _("CIFAR-10's batches or {archive}", archive=cifar.ARCHIVE)
        return path if path.is_file() else existing(path, "--data-dir", wanted)
    path = downloads("cifar", (cifar.ARCHIVE,)) / cifar.ARCHIVE
    if not path.is_file():
        for place in mounted():
            with contextlib.suppress(UserError):
                return cifar.layout(place)[0]
        download(cifar.URL, path, cifar.ARCHIVES[cifar.ARCHIVE], cifar.MAX_ARCHIVE)
    return path


def downloads(name: str, files: tuple[str, ...]) -> Path:
    """The folder in Paddle's cache where `files` are or can be brought to; else the one in the cache of ours."""
    folder = Path(DATA_HOME) / name
    if all(home.is_there(folder / file) for file in files) or home.writable(folder):
        return folder
    return cache_folder() / name


def download(url: str, path: Path, md5: str, limit: int = MAX_BYTES) -> None:
    """Fetch a file into Paddle's cache; a failure names the way without a network."""
    try:
        fetch(url, path, md5, limit=limit)
    except UserError as error:
        raise NotHadError(
            _(
                "{error}; put {name} into {folder} or a folder named by --data-dir",
                error=error,
                name=path.name,
                folder=path.parent,
            )
        ) from error
