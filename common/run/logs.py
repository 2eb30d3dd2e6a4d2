"""`losses.csv` and `metrics.jsonl` read back, whatever happened to them since they were written.

They only show what was: one that was cut short, saved by Excel or deleted between stop and `--resume` ends no training.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from common.files.atomic import atomic
from common.language import _

PLACE = ("step", "epoch", "batch")  # the columns that say where a row belongs


def read_losses(path: Path) -> tuple[list[str], list[list[float]]]:
    """The header and the whole rows of a `losses.csv`. The last one may be half written, the run may still be going.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no table of losses.
    """
    return parse_losses(path.read_bytes())


def parse_losses(content: bytes) -> tuple[list[str], list[list[float]]]:
    """What `read_losses` says, of a file's content: as the run wrote it or as Excel saved it, in any of its ways."""
    text = re.sub(r"\r\n?", "\n", decoded(content).partition("\0")[0])
    first = text.partition("\n")[0]
    delimiter = next((one for one in ";\t" if one in first), ",")
    whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
    try:
        begun = not whole.getvalue() and ",".join(PLACE).startswith(first[:16])
        header, *lines = [[*PLACE]] if begun else csv.reader(whole, delimiter=delimiter)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if not set(PLACE) <= set(header):
        raise ValueError(f"no columns {', '.join(PLACE)}")
    if delimiter == ";":  # where it stands for the comma, the comma stands for the point
        lines = [[field.replace(",", ".") for field in line] for line in lines]
    named = [place for place, name in enumerate(header) if name.strip()]  # a row may end in a comma more
    rows = [[line[place] for place in named] for line in lines if len(line) == len(header) and any(line)]
    return [header[place] for place in named], [[float(field or "nan") for field in row] for row in rows]


def decoded(content: bytes, errors: str = "strict") -> str:
    """A text as we wrote it, or as another program saved it: UTF-8, with a mark or without, or UTF-16 with one."""
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf_16 else "utf-8-sig", errors)


def put_back(folder: Path, step: int, lengths: dict[str, int]) -> dict[str, int]:
    """Cut a run's losses and judgements back to a checkpoint. What somebody changed since is mended, what is lost is
    said.

    Args:
        step: of the checkpoint: so many steps were done.
        lengths: in bytes, of each log when it was made; of one that could not be written it says nothing.

    Returns:
        The lengths that they have now.
    """
    losses, metrics = folder / "losses.csv", folder / "metrics.jsonl"
    put_back_losses(losses, step, lengths[losses.name])
    now = {losses.name: losses.stat().st_size}
    with contextlib.suppress(OSError):  # the next line written to it says what is wrong
        put_back_metrics(metrics, step, lengths.get(metrics.name, 0))
        now[metrics.name] = metrics.stat().st_size
    return {**lengths, **now}


def put_back_losses(path: Path, step: int, length: int) -> None:
    """Leave the rows of the first `step` steps in a `losses.csv`."""
    content = content_of(path)
    intact = content[:length]
    if len(intact) == length and intact.endswith(b"\n") and not intact.startswith(codecs.BOM_UTF8):
        with contextlib.suppress(ValueError):
            header, rows = parse_losses(intact)
            if rows and rows[-1][header.index("step")] == step - 1:
                os.truncate(path, length)
                return
    try:
        header, rows = parse_losses(content)
        place = header.index("step")
        rows = {int(row[place]): row for row in rows if 0 <= row[place] < step}
    except (ValueError, OverflowError):
        header, rows = [], {}
        if content.strip(b"\0"):  # somebody's, so not to be lost
            beside = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
            path.rename(next(one for one in beside if not one.exists()))
    text = io.StringIO(newline="")
    if rows:
        counted = [header.index(name) for name in PLACE]
        written = [
            [int(value) if index in counted else value for index, value in enumerate(rows[number])]
            for number in sorted(rows)
        ]
        csv.writer(text).writerows([header, *written])
    with atomic(path) as file:
        file.write(text.getvalue().encode())
    if len(rows) < step:
        say(path, _("the losses of {count:,} steps are", count=step - len(rows)))


def put_back_metrics(path: Path, step: int, length: int) -> None:
    """Leave the lines of the first `step` steps in a `metrics.jsonl`."""
    content = content_of(path)
    kept = b"".join(json.dumps(line).encode() + b"\n" for line in read_lines(content) if line["step"] < step)
    if len(kept) == length and content.startswith(kept):
        path.touch()
        os.truncate(path, length)
        return
    with atomic(path) as file:
        file.write(kept)
    if len(kept) < length:
        say(path, _("judgements are"))
        best = path.with_name("generator_best.params")
        if best.exists():  # how good it is was in there, and the next judgement takes its place
            shutil.copy(best, path.with_name("generator_best_before.params"))


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """The sound lines of a `metrics.jsonl`: each has a `step`."""
    lines = []
    for line in decoded(content, "replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            lines += [found] if isinstance(found, dict) and type(found.get("step")) is int else []
    return lines


def content_of(path: Path) -> bytes:
    """What a file holds, nothing where there is none."""
    return path.read_bytes() if path.exists() else b""


def say(path: Path, lost: str) -> None:
    """Say what cannot come back."""
    changed = path.stat().st_size > 0
    what = _("changed since the run was saved") if changed else _("deleted or damaged since the run was saved")
    values = {"path": path, "what": what, "lost": lost}
    print(_("note: {path}: {what}; {lost} lost, the training goes on without", **values), file=sys.stderr)
