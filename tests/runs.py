"""Runs of the toy that must end alike, whatever happened to them on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

from common.machine import choice
from common.run import recorder

from visualdl import LogReader

STEPS = 190
TOY = ["--eval-every", 0, "--dataset", "digits", "--threads", 1, "--device", "cpu"]
OFTEN = ["--checkpoint-minutes", 0.002]  # between saves: some ten steps
JUDGED = ["--dataset", "digits", "--threads", 1, "--max-steps", 120]
# Compared byte for byte. VisualDL's records hold times, the GIF follows from the grids.
COMPARED = ("*.params", "losses.csv", "metrics.jsonl", "samples/*")


def cheaper() -> None:
    """Let runs in this process do less of what takes long beside so few steps, and in the same way."""
    recorder.Examiner.SAMPLES = 200  # in place of 2,000
    recorder.EMA_BATCHES, recorder.EMA_BATCH = 2, 10  # in place of 10 of 100
    recorder.SHOWN = 16  # in place of 64
    choice.measures = False  # a tenth of a second for each new convolution; `test_choice` lets it


def result(folder: Path) -> dict[str, str]:
    """What must be equal: hashes of weights, losses and every grid, and VisualDL's points without their times."""
    files = [path for pattern in COMPARED for path in folder.glob(pattern) if "checkpoint" not in path.name]
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    reader = LogReader(file_path=str(folder / "vdlrecords.run.log"))
    for tag in reader.get_tags()["scalar"]:
        if not tag.startswith("speed/"):
            found[tag] = str([(point.id, point.value) for point in reader.get_data("scalar", tag)])
    found["grids"] = str([point.id for point in reader.get_data("image", "samples")])
    return found


def steps_written(folder: Path) -> int:
    """The rows in a run's `losses.csv`."""
    return max(0, (folder / "losses.csv").read_text().count("\n") - 1)
