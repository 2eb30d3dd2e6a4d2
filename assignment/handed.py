"""One submission as it was handed in, and what two of them have in common."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import defaultdict
from itertools import islice
from pathlib import Path

from assignment.student import (
    MANIFEST,
    PICTURE,
    QUESTIONS,
    REPORT,
    RUNS,
    Student,
    answers,
    is_answered,
    student,
)
from assignment.unpack import Refused, submission, text
from common.errors import UserError

LOSSES = ("loss_d", "loss_g")  # what is compared of a run's `losses.csv`
DATASETS = ("mnist", "digits")  # on which the required runs may be
MOST_ROWS = 30_000  # of a run that are read: a table of short rows would take a gigabyte and minutes
LONGEST_NAME = 100  # bytes of the student's folder: file systems allow 255
COPIED = 40  # letters from which on equal answers are no coincidence


class Handed:
    """One submission, and what is found out about it."""

    def __init__(self, path: Path) -> None:
        self.path, self.files, self.rows = path, {}, {}
        self.who = Student("", "")
        self.folder = ""
        self.reasons: list[str] = []
        self.by_hand: list[str] = []
        self.code = self.runs = 0
        self.layers = self.criterion = ""

    @property
    def answers(self) -> dict[int, str]:
        """The report's."""
        return answers(text(self.files.get(REPORT, b"")))


def opened(path: Path) -> Handed:
    """Read what was handed in; what is wrong with it stands in its reasons."""
    one = Handed(path)
    try:
        read(one)
    except Exception as error:  # whatever was handed in: the others of the class are graded all the same
        one.files, one.rows, one.folder = {}, {}, ""
        one.by_hand.append(f"cannot be read ({type(error).__name__}: {error!s:.80})")
    return one


def read(one: Handed) -> None:
    """What `opened` says, of one of which only the path is known."""
    try:
        one.files = submission(one.path)
        manifest = json.loads(one.files[MANIFEST])
        one.who = student(str(manifest["number"]), str(manifest["name"]), str(manifest.get("language")))
        sums, one.folder = dict(manifest["files"]), str(manifest["folder"])
    except Refused as refusal:
        one.by_hand.append(str(refusal))
        return
    except KeyError as error:
        one.by_hand.append(f"no {error.args[0]} in it; submit.py packs it")
        return
    except (ValueError, TypeError, AttributeError, RecursionError, UserError) as error:
        one.by_hand.append(f"{MANIFEST} is damaged ({error!s:.80})")
        return
    if not one.folder.isidentifier() or len(one.folder.encode()) > LONGEST_NAME:
        one.by_hand.append(f"the folder's name is {one.folder!r:.40}, no identifier of up to {LONGEST_NAME} bytes")
        one.folder = ""
    changed = [name for name, content in one.files.items() if name != MANIFEST and digest(content) != sums.get(name)]
    one.by_hand += [f"changed after it was packed: {', '.join(changed)}"] * bool(changed)
    for name in RUNS:
        one.rows[name] = losses(one.files.get(f"{name}/losses.csv", b""))
        if len(one.rows[name]) == MOST_ROWS:
            one.by_hand.append(f"{name}/losses.csv: only its first {MOST_ROWS:,} rows are read")
    missing = [n for n in range(1, QUESTIONS + 1) if not is_answered(one.answers.get(n, ""))]
    one.reasons += [f"report: no answer to {', '.join(map(str, missing))}"] * bool(missing)
    one.reasons += [f"no {PICTURE}"] * (PICTURE not in one.files)


def digest(content: bytes) -> str:
    """The checksum that `submit.py` writes."""
    return hashlib.sha256(content).hexdigest()


def losses(content: bytes) -> list[dict[str, float]]:
    """The losses in the first `MOST_ROWS` of a `losses.csv`; none where it is no such table."""
    try:
        table = csv.reader(io.StringIO(text(content)))  # a `DictReader` makes each short row as long as the header
        header = next(table, [])
        columns = {name: header.index(name) for name in LOSSES}
        rows = islice(filter(None, table), MOST_ROWS)
        return [{name: float(row[column]) for name, column in columns.items()} for row in rows]
    except (ValueError, IndexError, csv.Error):
        return []


def config(one: Handed, run: str) -> dict:
    """A run's `config.json`, {} where it is none."""
    try:
        found = json.loads(one.files[f"{run}/config.json"])
    except (KeyError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def data_names(one: Handed) -> list[str]:
    """The data sets of the runs that are there."""
    return [name for run in RUNS for name in DATASETS if config(one, run).get("dataset") == name]


def say_who_copied(handed: list[Handed]) -> None:
    """Mark what is equal in two submissions and cannot be by chance: numbers, rows of losses, answers."""
    seen: dict[tuple, set[str]] = defaultdict(set)
    for one in handed:
        for key in marks(one):
            seen[key].add(one.path.name)
    for one in handed:
        found: dict[tuple, int] = defaultdict(int)
        for key in marks(one):
            others = seen[key] - {one.path.name}
            if others:
                shown, more = sorted(others)[:3], len(others) - 3
                found[key[0], ", ".join(shown) + f" and {more} more" * (more > 0)] += 1
        one.by_hand += [
            f"{what} as in {others}" if what.startswith("the same") else f"{count:,} {what} as in {others}"
            for (what, others), count in sorted(found.items())
        ]


def marks(one: Handed) -> set[tuple]:
    """What no two submissions share: each a kind and a value."""
    found = {("the same number", one.who.number)} if one.who.number else set()
    for run, rows in one.rows.items():
        found |= {(f"rows of {run}/losses.csv", *row.values()) for row in rows}
    plain = {number: "".join(answer.split()) for number, answer in one.answers.items()}
    return found | {(f"the same answer {n}", answer) for n, answer in plain.items() if len(answer) >= COPIED}
