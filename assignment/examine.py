"""What is done with a submission inside the sandbox; `grade.py` asks for it."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import common
from assignment.check import CHECKS, NotYet, check_files, first_line, import_train, outcome
from assignment.replay import first_steps
from assignment.sandbox import serve
from assignment.student import CODE
from assignment.syntax import changes
from common import data
from common.errors import UserError
from common.machine import choice
from dcgan.train import build as dcgan

import paddle

ROOT = Path(__file__).resolve().parents[1]

choice.measures = False  # it would look at the machine and write to a cache, and the fence lets neither pass


@lru_cache
def dataset(name: str) -> data.Dataset | None:
    """A data set, loaded once for all submissions; None where it is not to be had."""
    try:
        return data.load(name)
    except UserError:
        return None


def read(folder: str, name: str) -> dict[str, Any]:
    """What the code in `folder/name` changes, read and not run: `syntax.Changes` by name."""
    texts = {file: (Path(folder) / name / file).read_text(encoding="utf-8") for file in CODE}
    return changes(texts, name, ROOT / "dcgan")._asdict()


def run(folder: str, name: str, flags: list[str], data_name: str) -> dict[str, Any]:
    """Run the code in `folder/name`.

    Args:
        folder: the submission's.
        name: of the student's own folder in it.
        flags: of the steps to make again.
        data_name: the data set of the handed-in runs; "" makes no steps.

    Returns:
        `checks`: what each of the self-check says, "" where it passes; `dcgan`, `lsgan`: the first steps, or why there
        are none, by this repository's DCGAN and by the student's code.
    """
    images = dataset(data_name) if data_name else None
    why = "its code does not run" if images else "their data set is not known or not here"
    found: dict[str, Any] = {"dcgan": why, "lsgan": why, "checks": {}}
    if images:
        found["dcgan"] = first_steps("dcgan", dcgan, flags, images)
    paddle.set_device("cpu")
    try:
        train = import_train(Path(folder) / name)
        check_files(Path(folder).resolve() / name, train)
    except NotYet as trouble:
        return {**found, "checks": dict.fromkeys(CHECKS, str(trouble))}
    except (Exception, SystemExit) as error:  # whatever a student's code may do
        return {**found, "checks": dict.fromkeys(CHECKS, first_line(error)[:300])}
    found["checks"] = {title: outcome(check, train.build)[:300] for title, check in CHECKS.items()}
    if images:
        try:
            found["lsgan"] = first_steps(name, train.build, flags, images)
        except (Exception, SystemExit) as error:
            found["lsgan"] = first_line(error)[:300]
    return found


if __name__ == "__main__":
    common.imported()
    for wanted in sys.argv[1:]:
        dataset(wanted)  # once, before all forks
    serve({"read": read, "run": run})
