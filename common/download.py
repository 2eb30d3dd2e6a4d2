"""Fetch one file over HTTP so that it is whole and right, or not there at all."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import requests
from tqdm import tqdm

from common.errors import UserError

TRIES = 3
TIMEOUT = 20.0  # seconds to connect, and between two pieces of the file
SLOWEST = 2_000  # bytes a second, on average after the first TIMEOUT: a mirror that only drips never times out
MAX_BYTES = 64 * 2**20


def fetch(url: str, path: Path, md5: str, timeout: float = TIMEOUT) -> None:
    """Download `url` to `path`, going on from `path.part` where an earlier try was cut off.

    Paddle's own downloader writes under the final name, has no timeout and starts over after a cut: a closed network
    or a captive portal's HTML page would hang it or stay in its cache. This one takes the same URL and fills the same
    cache.

    Args:
        md5: what the whole file must have.
        timeout: seconds without a byte after which a try ends.

    Raises:
        UserError: every try failed; `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    problem = ""
    for _ in range(TRIES):
        try:
            _continue(url, part, timeout)
        except requests.Timeout:
            problem = f"nothing, or next to nothing, came for {timeout:g} seconds"
            continue
        except requests.HTTPError as error:
            problem = f"the server answered {error.response.status_code} {error.response.reason}"
            continue
        except requests.RequestException as error:
            problem = str(error) if type(error) is requests.RequestException else "no connection, or it broke off"
            continue
        found = hashlib.md5(part.read_bytes()).hexdigest()
        if found == md5:
            part.replace(path)
            return
        html = part.read_bytes()[:200].lstrip().startswith(b"<")
        problem = f"the answer is {'an HTML page' if html else 'another file'} (md5 {found}, expected {md5})"
        part.unlink()  # wrong from some byte on that we do not know: nothing to go on from
    raise UserError(f"{url}: download failed after {TRIES} tries: {problem}")


def _continue(url: str, part: Path, timeout: float) -> None:
    """Append what is missing of `url` to `part`, or start over where the server does not serve ranges."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == 416:  # the part is as long as the file or longer: the checksum decides
            return
        answer.raise_for_status()
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        started, received = time.monotonic(), 0
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None, leave=False)
        with part.open("ab" if resumed else "wb") as file, bar:
            for piece in answer.iter_content(65536):
                received += len(piece)
                if have + received > MAX_BYTES:
                    raise requests.RequestException(f"more than {MAX_BYTES >> 20} MB")
                file.write(piece)
                bar.update(len(piece))
                elapsed = time.monotonic() - started
                if elapsed > timeout and received < SLOWEST * elapsed:
                    raise requests.Timeout(f"less than {SLOWEST} bytes a second")
        if total is not None and have + received < total:
            raise requests.RequestException(f"cut off after {have + received:,} of {total:,} bytes")
