"""Pack what is handed in: `python assignment/submit.py my_lsgan`.

It imports and runs the code of the folder, as training does: for your own code, on your own machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from assignment import check
from assignment.student import (
    CODE,
    MANIFEST,
    PICTURE,
    QUESTIONS,
    REPORT,
    RUNS,
    STEPS,
    Student,
    answers,
    check_folder,
    flags,
    is_answered,
    largest,
    read_card,
    troubles,
)
from commands import compare
from common.errors import DONE, UserError
from common.files.atomic import atomic
from common.run.commandline import Parser, command, user_path
from common.run.grids import sorted_grids
from common.run.runs import are_scores, load_losses, load_metrics
from common.run.words import in_the_repository, typed

import numpy as np


@command
def main(arguments: list[str] | None = None) -> int:
    """Check the assignment and pack it into one zip: the code, both runs' settings and losses, their picture side by
    side, the report. Both trainings must be there; too few steps or answers are said, and packed all the same.
    """
    parser = Parser(
        prog="python assignment/submit.py",
        description=main.__doc__,
    )
    parser.add_argument("folder", metavar="FOLDER", type=user_path, help="your folder, such as my_lsgan")
    parser.add_argument("--dcgan", type=user_path, help="the run of dcgan/train.py (default: work/dcgan)")
    parser.add_argument("--lsgan", type=user_path, help="the run of your own train.py (default: work/FOLDER)")
    parser.add_argument("--out", type=user_path, help="the zip (default: NUMBER_NAME.zip)")
    given = parser.parse_args(arguments)
    check_folder(given.folder)
    folder, who = given.folder, read_card(given.folder)
    runs = dict(zip(RUNS, (given.dcgan or trained("dcgan"), given.lsgan or trained(folder.resolve().name))))
    if given.out and given.out.suffix.lower() != ".zip":
        raise UserError(f"--out {given.out}: expected a name that ends in .zip")
    out = given.out or Path("_".join(part for part in (who.number, safe(who.name)) if part) + ".zip")

    files = {f"code/{name}": (folder / name).read_bytes() for name in CODE}
    notes, configs = [], {}
    for name, script in zip(RUNS, ("dcgan/train.py", typed(folder / "train.py", ROOT))):
        given_flags = f"{' '.join(flags(who))} --output-dir {typed(runs[name], ROOT)}"
        again = in_the_repository(f"{script} {given_flags}")
        for file in ("config.json", "losses.csv"):
            if not (runs[name] / file).is_file():
                raise UserError(f"{runs[name]}: no {file} in it; train first: {again}")
            files[f"{name}/{file}"] = (runs[name] / file).read_bytes()
        configs[name] = settings_of_run(files[f"{name}/config.json"], name, again)
        rows = files[f"{name}/losses.csv"].count(b"\n") - 1
        family = "dcgan" if name == "dcgan" else folder.resolve().name
        wrong = troubles(configs[name], rows, family, who, STEPS)
        notes += [f"{name}: {'; '.join(wrong)}; {again}"] if wrong else []
    if len({(one.get("dataset"), str(one.get("checksum"))) for one in configs.values()}) > 1:
        named = " and ".join(f"{name} on {one.get('dataset')}" for name, one in configs.items())
        notes.append(f"{named}: their losses cannot be compared; train both on the same data")
    if begin_alike(*map(load_losses, runs.values())):
        notes.append(f"lsgan: its first losses are DCGAN's: it began before your two lines were written; {again}")
    if check.main([str(folder)]) != DONE:
        notes.insert(0, "the self-check does not pass yet")
    files[PICTURE] = picture(runs, configs)
    report = folder / REPORT
    if report.is_file():
        files[REPORT] = report.read_bytes()
        given_answers = answers(report.read_text(encoding="utf-8", errors="replace"))
        missing = [n for n in range(1, QUESTIONS + 1) if not is_answered(given_answers.get(n, ""))]
        notes += [f"{report}: no answer yet to {', '.join(map(str, missing))}"] if missing else []
    else:
        notes.append(f"{report}: missing; python assignment/starter.py {folder} --number {who.number} writes it anew")

    for name, content in files.items():
        if len(content) > largest(name):
            fewer = "leave pictures out of it" if name == REPORT else "it would not be graded"
            raise UserError(f"{name} has more than {largest(name):,} bytes: {fewer}")

    pack(out, files, who, folder.resolve().name)
    for note in notes:
        print(f"note     {note}")
    print(f"{out}: {len(files) + 1} files, {out.stat().st_size:,} bytes" + (", with the notes above" if notes else ""))
    return DONE


def trained(family: str) -> Path:
    """Where a training without `--output-dir` wrote: here, else in the repository's folder."""
    here = Path("work", family)
    return here if here.is_dir() else ROOT / here


def settings_of_run(content: bytes, name: str, again: str) -> dict:
    """A run's `config.json`."""
    try:
        found = dict(json.loads(content))
        if not are_scores(found.get("scores")):
            raise ValueError(f"scores is {found['scores']!r:.80}")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{name}/config.json: not what a training writes ({error}); train again: {again}") from error
    return found


def begin_alike(*runs: dict[str, np.ndarray]) -> bool:
    """Whether two runs, by the columns of their `losses.csv`, have the same losses in their first step."""
    first = [[losses.get(name, [np.nan])[0] for name in ("loss_d", "loss_g")] for losses in runs]
    return np.allclose(*first, rtol=1e-3)  # with other threads the last digits differ


def picture(runs: dict[str, Path], configs: dict[str, dict]) -> bytes:
    """The runs side by side, as `commands.compare` draws them."""
    drawn = []
    for name, folder in runs.items():
        grids = sorted_grids(folder / "samples")
        scores = configs[name].get("scores", [0.0, 1.0])
        last = grids[-1] if grids else None
        drawn.append(compare.Run(name, name, load_losses(folder), last, load_metrics(folder), scores))
    buffer = io.BytesIO()
    compare.draw_runs(drawn).savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def pack(out: Path, files: dict[str, bytes], who: Student, folder: str) -> None:
    """Write the zip, with the SHA-256 of each file in it."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {**who._asdict(), "folder": folder, "files": sums}
    with atomic(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        # A zip knows no time before 1980 and none after 2107; a clock may be wrong.
        now = min(max(time.localtime()[:6], (1980, 1, 1, 0, 0, 0)), (2107, 12, 31, 23, 59, 58))
        texts = {MANIFEST: json.dumps(manifest, ensure_ascii=False, indent=1), **files}
        for name, content in texts.items():
            archive.writestr(zipfile.ZipInfo(name, now), content, zipfile.ZIP_DEFLATED)


def safe(name: str) -> str:
    """A name as part of a file's name."""
    return "".join(letter for letter in name if letter.isalnum())


if __name__ == "__main__":
    sys.exit(main())
