"""Fetch one file over HTTP so that it is whole and right, or not there at all."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from common.errors import UserError
from common.files import locks
from common.files.atomic import file_md5
from common.language import _

from tqdm import tqdm

TRIES = 3
TIMEOUT = 20.0  # seconds to connect, and between two pieces of the file
SLOWEST = 2_000  # bytes a second, on average after the first TIMEOUT: a mirror that only drips never times out
MAX_BYTES = 64 * 2**20


class _BrokenOffError(Exception):
    """This try did not bring the whole file."""


def fetch(url: str, path: Path, md5: str, timeout: float = TIMEOUT, limit: int = MAX_BYTES) -> None:
    """Download `url` to `path`, going on from `path.part` where an earlier try was cut off.

    Of several processes that want the same file the first brings it and the others wait. Each writes to a part of its
    own name all the same: a file system may have no locks.

    Paddle's own downloader writes under the final name, waits without limit and starts over after a cut: a closed
    network would hang it, a captive portal's page would stay in its cache. This one takes the same URL and fills the
    same cache.

    Args:
        md5: what the whole file must have.
        timeout: seconds without a byte after which a try ends.
        limit: bytes after which a try ends, whatever the server says.

    Raises:
        UserError: every try failed; `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = _("waiting: another process downloads to {folder}", folder=path.parent)
    with locks.locked(path.with_name(".download.lock"), waiting) as alone:
        if not path.is_file() or file_md5(path) != md5:  # else another process has brought it
            _fetch(url, path, md5, timeout, limit, alone)


def _fetch(url: str, path: Path, md5: str, timeout: float, limit: int, alone: bool) -> None:
    """Download `url` to `path`; what came of it before the last try failed is kept as `path.part`.

    Where `alone`, no other process is at it, and what killed ones left counts, too: the longest is gone on with.
    """
    left = path.with_name(f"{path.name}.part")
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    found = sorted(path.parent.glob(f"{path.name}.*part"), key=lambda one: one.stat().st_size) if alone else [left]
    for one in found:  # each takes the place of the one before
        with contextlib.suppress(FileNotFoundError):  # there is none, or another process was quicker
            one.replace(part)
    try:
        _try(url, part, path, md5, timeout, limit)
    finally:
        if part.exists():
            part.replace(left)


def _try(url: str, part: Path, path: Path, md5: str, timeout: float, limit: int) -> None:
    """Download `url` to `part`, and give it the name `path` once it is whole and right."""
    problem = ""
    for _attempt in range(TRIES):
        try:
            _continue(url, part, timeout, limit)
        except _BrokenOffError as error:
            problem = str(error)
            continue
        found = file_md5(part)
        if found == md5:
            part.replace(path)
            return
        what = _("an HTML page") if begins(part).lstrip().startswith(b"<") else _("another file")
        problem = _("the answer is {what} (md5 {found}, expected {md5})", what=what, found=found, md5=md5)
        part.unlink()  # wrong from some byte on that we do not know: nothing to go on from
    scheme = url.partition(":")[0]
    proxy = _(", by the proxy in ${scheme}_proxy", scheme=scheme) if scheme in urllib.request.getproxies() else ""
    raise UserError(
        _("{url}: download failed after {tries} tries: {problem}", url=url, tries=TRIES, problem=problem) + proxy
    )


def begins(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(1024)


def _continue(url: str, part: Path, timeout: float, limit: int) -> None:
    """Append what is missing of `url` to `part`, or start over where the server does not serve ranges."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        # An opener of its own: the common one keeps the proxies of the first download of the process.
        with urllib.request.build_opener().open(request, timeout=timeout) as answer:
            resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            have = have if resumed else 0
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            shown = {"unit": "B", "unit_scale": True, "desc": Path(url).name, "disable": None, "leave": False}
            bar = tqdm(total=total, initial=have, **shown)
            with part.open("ab" if resumed else "wb") as file, bar:
                _copy(answer, file, bar, timeout, limit)
                if total is not None and file.tell() < total:
                    raise _BrokenOffError(_("cut off after {got:,} of {total:,} bytes", got=file.tell(), total=total))
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is as long as the file, or longer; the checksum decides
            answered = _("the server answered {code} {reason}", code=error.code, reason=error.reason)
            raise _BrokenOffError(answered) from error
    except socket.timeout as error:  # TimeoutError from Python 3.10 on
        raise _BrokenOffError(_("nothing came for {timeout:g} seconds", timeout=timeout)) from error
    except urllib.error.URLError as error:
        raise _BrokenOffError(_("no connection ({reason})", reason=error.reason)) from error
    except (ConnectionError, http.client.HTTPException) as error:
        raise _BrokenOffError(_("the connection broke off ({error})", error=error)) from error
    except (ValueError, OverflowError) as error:  # our URL is sound: a proxy's is misspelt
        raise _BrokenOffError(str(error)) from error


def _read(answer: http.client.HTTPResponse) -> bytes:
    """What comes next. Apart from the file's own errors: a full disk is no lost route, and trying again is no help."""
    try:
        return answer.read1(65536)
    except socket.timeout:
        raise
    except OSError as error:  # TLS's, too, and a route that is gone
        raise _BrokenOffError(_("the connection broke off ({error})", error=error)) from error


def _copy(answer: http.client.HTTPResponse, file, bar: tqdm, timeout: float, limit: int) -> None:
    """Write the answer to `file` as it comes, within bounds of size and slowness."""
    started, received = time.monotonic(), 0
    while piece := _read(answer):
        file.write(piece)
        bar.update(len(piece))
        received += len(piece)
        if file.tell() > limit:
            raise _BrokenOffError(_("more than {most} MB came", most=limit >> 20))
        elapsed = time.monotonic() - started
        if elapsed > timeout and received < SLOWEST * elapsed:
            came = _("only {received:,} bytes came in {elapsed:.0f} seconds", received=received, elapsed=elapsed)
            raise _BrokenOffError(came)
