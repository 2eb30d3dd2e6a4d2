"""A run's folder, its weights and its logs. Every file appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import locks
from common.files.atomic import append, atomic, remove_parts, synced
from common.files.names import encoded
from common.language import _
from common.run.board import Board
from common.run.shows import Shows

import paddle

# A run's files in its folder, as patterns: what a new run in the same folder moves aside.
RUN_FILES = ("config.json", "*.params", "samples", "progress.gif", "losses.csv*", "metrics.jsonl", "vdlrecords.*.log")


def as_json(content: Any) -> bytes:
    """`content` as indented JSON."""
    return encoded(json.dumps(content, indent=2, ensure_ascii=False)) + b"\n"


def save_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as file:
        file.write(as_json(content))


def as_params(state_dict: dict) -> bytes:
    """A state dict as `paddle.save` writes it; plain `paddle.load` reads it."""
    buffer = io.BytesIO()
    paddle.save(state_dict, buffer)
    return buffer.getvalue()


def save_params(path: Path, state_dict: dict) -> None:
    """Write a state dict as `paddle.save` does, atomically."""
    with atomic(path) as file:
        file.write(as_params(state_dict))


def begin(folder: Path, config: dict[str, Any], new: bool) -> Path | None:
    """Write the `config.json` of a run that begins or, not `new`, goes on in `folder`, which is locked: half files
    there are a killed run's.

    An earlier run is set aside once the new file is written but for its name: what can fail comes before. Where its
    `config.json` is a link, it goes first, or what the link leads to would be written.

    Returns:
        As `set_aside`.
    """
    for place in (folder, folder / "samples"):
        remove_parts(place, 0)
    aside = set_aside(folder) if new and (folder / "config.json").is_symlink() else None
    with atomic(folder / "config.json") as file:
        file.write(as_json(config))
        file.flush()
        os.fsync(file.fileno())
        return aside or (set_aside(folder) if new else None)


def set_aside(folder: Path) -> Path | None:
    """Move an earlier run's files in `folder` to `folder/earlier-N`, so that a new run overwrites nothing: all or none.

    Returns:
        Where they went, None where there was no earlier run.

    Raises:
        UserError: one of them cannot be moved.
    """
    found = [path for pattern in reversed(RUN_FILES) for path in folder.glob(pattern)]  # what --resume needs comes last
    if not found:
        return None
    aside = next(path for n in itertools.count(1) if not (path := folder / f"earlier-{n}").exists())
    aside.mkdir()
    for place, path in enumerate(found):
        try:
            path.rename(aside / path.name)
        except OSError as error:
            for moved in found[:place]:
                (aside / moved.name).rename(moved)
            aside.rmdir()
            values = {"path": path, "reason": error.strerror, "folder": folder}
            raise UserError(
                _("{path}: {reason}, so the run in {folder} cannot be set aside; give another --output-dir", **values)
            ) from error
    return aside


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for one run; where the file system has no locks, say so and go on.

    Raises:
        UserError: another run writes to this folder.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(locks.locked(folder / ".lock"))
        except locks.BusyError:
            raise UserError(
                _("{folder}: another run writes here; wait for it or give another --output-dir", folder=folder)
            ) from None
        except OSError as error:
            lock = folder / ".lock"  # what is there and cannot be locked: a folder, or a link to none
            values = {"folder": lock if os.path.lexists(lock) else folder, "reason": error.strerror}
            said = _(
                "{folder}: {reason}; give another --output-dir; to go on with a run, copy its folder there first "
                "(cp -r)",
                **values,
            )
            raise UserError(said) from error
        if not held:
            said = _("note: {folder}: no locks on this file system; start no second run in this folder", folder=folder)
            print(said, file=sys.stderr)
        yield


class Logs:
    """`losses.csv` with a row for every step, `metrics.jsonl` with a line for every judgement, VisualDL's records.

    The losses are the run's; the other two only show, and what goes wrong with them ends nothing.

    VisualDL gets the scalars of every 20th step and one grid an epoch: every step and every grid would make hundreds of
    megabytes of 100 epochs of MNIST. What else an epoch adds, `docs/board_cost.py` measures.

    Args:
        folder: where to write; the files are appended to.
        flags: of the command line, for VisualDL's page of hyperparameters.
        lengths: cut the files back to these bytes first, which undoes what came after a checkpoint.
        judgements: the metrics that stand beside the losses on that page.
    """

    SCALARS_EVERY = 20

    def __init__(
        self,
        folder: Path,
        flags: dict[str, Any],
        lengths: dict[str, int] | None = None,
        judgements: Sequence[str] = (),
    ) -> None:
        self.flags, self.judgements, self.shows, lengths = flags, judgements, Shows(), lengths or {}
        self._losses, self._lines = folder / "losses.csv", folder / "metrics.jsonl"
        if lengths:
            os.truncate(self._losses, lengths[self._losses.name])
        append(self._losses, b"")
        with self._guarded():
            append(self._lines, b"")
            os.truncate(self._lines, min(self._lines.stat().st_size, lengths.get(self._lines.name, sys.maxsize)))
        log = folder / "vdlrecords.run.log"
        self.board = Board(log, self.shows, lengths.get(log.name))

    def steps(self, rows: list[dict[str, float]]) -> None:
        """Log steps. Each row starts with `step`, `epoch` and `batch`, then what the family's step returned."""
        text = io.StringIO(newline="")
        columns: list[str] = []
        with contextlib.suppress(FileNotFoundError), self._losses.open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), [])  # none if somebody has deleted it: the file begins anew
        # A run that began before there was a column goes on without it, and so does one from which it was deleted.
        missing = ", ".join(name for name in rows[0] if name not in columns and any(row[name] for row in rows))
        if columns and missing:
            self.shows.say(str(self._losses), f"no column {missing}; the others are written")
        table = csv.DictWriter(text, columns or list(rows[0]), extrasaction="ignore")
        if not columns:
            table.writeheader()
            losses = [tag(name) for name in rows[0] if name.startswith("loss")]
            self.board.hyperparameters(self.flags, [*losses, *self.judgements])
        table.writerows(rows)
        append(self._losses, text.getvalue().encode())
        for row in rows:
            if row["step"] % self.SCALARS_EVERY == 0:
                values = {tag(name): row[name] for name in list(row)[3:]}
                for name, value in values.items():
                    self.board.scalar(name, value, row["step"])
                for group in ("loss", "score"):
                    together = {n.partition("/")[2]: value for n, value in values.items() if n.startswith(f"{group}/")}
                    if len(together) > 1:
                        self.board.scalars(f"{group}/all", together, row["step"])

    def metrics(self, line: dict[str, Any]) -> None:
        """Log a judgement: `step`, `epoch`, and the metrics of the `raw` generator and of its `ema`, if it has one."""
        self._add(line)
        for name in ("raw", "ema"):
            for key, value in line.get(name, {}).items():
                if isinstance(value, float):
                    self.board.scalar(f"metric/{key}{' EMA' if name == 'ema' else ''}", value, line["step"])

    def trouble(self, line: dict[str, Any]) -> None:
        """Log what the health watch found: `step`, `trouble` and `advice`."""
        self._add(line)
        self.board.text("health", f"{line['trouble']}: {line['advice']}", line["step"])

    def flush(self) -> dict[str, int]:
        """Bring all that was logged to the disk; returns the lengths of the files."""
        lengths = {self._losses.name: synced(self._losses), **self.board.sync()}
        with self._guarded():
            lengths[self._lines.name] = synced(self._lines)
        return lengths

    def _add(self, line: dict[str, Any]) -> None:
        with self._guarded():
            append(self._lines, json.dumps(line).encode() + b"\n")

    def _guarded(self) -> contextlib.AbstractContextManager:
        return self.shows.only("metrics.jsonl")


def tag(name: str) -> str:
    """VisualDL's tag for a value of a step: `loss_d` is `loss/D`, `score_real` is `score/real`."""
    group, _, rest = name.partition("_")
    return f"{group}/{rest.upper() if len(rest) == 1 else rest}"
