"""Grade a class: `python assignment/grade.py FOLDER` reads every zip and folder in FOLDER and writes one table.

A submission is read, its syntax trees are compared with DCGAN's, and where nothing in it reaches beyond the task its
code runs in `sandbox.py`: the self-check, and the first steps again. Code in that process could lie about itself, so
the lines that were changed stand in the table, and what changes more than the two lines is marked for a person to read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from assignment.check import CHECKS, criterion, parameters, scores
from assignment.handed import MOST_ROWS, Handed, config, data_names, opened, say_who_copied
from assignment.replay import REPLAYED, TOLERANCE, distance
from assignment.sandbox import Sandbox
from assignment.student import CODE, RUNS, STEPS, flags, is_answered, pool, troubles
from assignment.syntax import RIGHT_CRITERIA, RIGHT_LAYERS
from assignment.unpack import code
from common import data
from common.errors import DONE, UserError
from common.files import home
from common.files.atomic import atomic
from common.files.folder import UNSEEN
from common.run.commandline import Parser, command, user_path, whole_number

TODO, UNCHANGED, AS_REQUIRED, OWN_CURVES = 12, 6, 4, 6  # points: for each TODO; nothing else; each run; its curves
SECONDS = 180  # of computing for a submission
LONGEST = 2000  # letters of a cell
COLUMNS = {
    "file": "文件", "number": "学号", "name": "姓名", "points": "自动评分（满分 50）", "code": "代码（30）",
    "runs": "训练（20）", "report": "报告（50，人工）", "by_hand": "需人工复核", "reasons": "说明", "layers": "TODO 1",
    "criterion": "TODO 2", "questions": "题号", "answered": "已答题数",
}  # fmt: skip
TITLES = {check: title for title, check in CHECKS.items()}


class Rules(NamedTuple):
    """What a teacher may choose."""

    steps: int
    replayed: int


@command
def main(arguments: list[str] | None = None) -> int:
    """Grade a class: points and reasons for every zip and folder in FOLDER, as one table for Excel. The report's points
    are left to you.
    """
    parser = Parser(
        prog="python assignment/grade.py",
        description=main.__doc__,
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=user_path, help="with what was handed in")
    add(
        "--out", type=user_path, default=Path("grades.csv"), help="the table, UTF-8 with a mark by which Excel knows it"
    )
    add("--steps", type=whole_number(1, MOST_ROWS), default=STEPS, help="that each run must have")
    add("--replay", type=whole_number(1), default=REPLAYED, help="first steps that are made again")
    add("--seconds", type=whole_number(1), default=SECONDS, help="that a submission may take")
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        raise UserError(f"{given.folder}: no folder; name the one with what was handed in")
    if not hasattr(os, "fork"):
        raise UserError("grading needs Linux or macOS: on Windows take WSL, or a terminal of AI Studio")
    if given.out.suffix.lower() != ".csv":
        raise UserError(f"--out {given.out}: expected a name that ends in .csv")
    paths = sorted(filter(may_be_handed_in, given.folder.iterdir()))
    if not paths:
        raise UserError(f"{given.folder}: nothing in it")

    if given.out.is_dir() or not home.writable(given.out.absolute().parent):  # said now, not after all the work
        raise UserError(f"--out {given.out}: nothing can be written there; name another file")

    handed = [opened(path) for path in paths]
    say_who_copied(handed)
    datasets = sorted({name for one in handed for name in data_names(one)})
    with (
        tempfile.TemporaryDirectory() as box,
        contextlib.closing(sandbox(Path(box), datasets, given.seconds)) as examiner,
    ):
        print(f"fence    {examiner.fence}")
        done: list[Handed] = []
        try:
            for one in handed:
                mark(one, examiner, box, Rules(given.steps, given.replay))
                done.append(one)
                said = "; ".join(one.by_hand + one.reasons) or "all right"
                print(f"{one.code + one.runs:3} of 50  {printable(f'{one.path.name}: {said}')}")
        finally:
            if done:  # and Ctrl-C loses none of them
                names = (given.out.with_name(f"{given.out.stem}-earlier-{number}.csv") for number in itertools.count(1))
                earlier = next(path for path in names if not path.exists())
                with atomic(given.out, keep=earlier) as file:  # what a person wrote into it is in no other file
                    file.write(table(done).encode("utf-8-sig"))
                if earlier.exists():
                    print(f"{earlier}: the table that was there, with the points that you gave")
                of_all = f" of {len(handed)}" * (len(done) < len(handed))
                print(f"{given.out}: {len(done)}{of_all} submissions")
    return DONE


def may_be_handed_in(path: Path) -> bool:
    """Whether it is no table and nothing that a system leaves in a folder."""
    name = path.name.lower()
    return name[0] != "." and not name.startswith("~$") and name not in UNSEEN and not name.endswith(".csv")


def sandbox(box: Path, datasets: list[str], seconds: int) -> Sandbox:
    """Where the code runs. Of the user's variables it sees where MNIST is, which is found or downloaded out here: in
    there is no network."""
    there = {}
    if "mnist" in datasets:
        try:
            there["MNIST_DIR"] = str(data.find_idx("mnist"))
        except UserError as error:
            print(f"note     no first steps of MNIST: {error}")
    return Sandbox(["assignment.examine", *datasets], box, seconds, there)


def mark(one: Handed, examiner: Sandbox, box: str, rules: Rules) -> None:
    """Examine a submission in a folder of its own in `box`. What goes wrong there is said of this one and ends no
    other: an answer from the sandbox may be anything, and so may be what the code leaves in the folder."""
    if not one.folder:
        return
    try:
        examine(one, examiner, Path(tempfile.mkdtemp(dir=box)), rules)
    except Exception as error:
        one.code = one.runs = 0
        one.by_hand.append(f"cannot be examined ({type(error).__name__}: {error!s:.80})")
    # All of the box, since native code may write beside its folder; and not by `shutil.rmtree`, which needs a call and
    # an open file for each level: a thousand folders in one another would stay, and end the command.
    with contextlib.suppress(OSError):
        subprocess.run(["find", box, "-mindepth", "1", "-delete"], stderr=subprocess.DEVNULL, check=False)


def examine(one: Handed, examiner: Sandbox, folder: Path, rules: Rules) -> None:
    """Read the code, run it where that is safe, and give the points."""
    (folder / one.folder).mkdir()
    # Without this file a folder of the same name in the repository would be run in its place.
    (folder / one.folder / "__init__.py").touch()
    for name in CODE:
        if f"code/{name}" not in one.files:
            one.by_hand.append(f"no code/{name}")
            return
        (folder / one.folder / name).write_text(code(one.files[f"code/{name}"]), encoding="utf-8")
    given = examiner.ask("read", folder=str(folder), name=one.folder)
    if "ended" in given:
        one.by_hand.append(f"the code cannot be read: {given['ended']}")
        return
    one.layers, one.criterion = ", ".join(given["layers"]) or "-", given["criterion"]
    one.reasons += given["reasons"]
    if given["others"]:
        one.by_hand.append(f"changed besides the two lines: {' | '.join(given['others'])[:300]}")
    if given["beyond"]:
        one.by_hand.append(f"not run, read it first: {', '.join(given['beyond'][:5])}")
        return
    names = set(data_names(one))
    if len(names) > 1:
        one.by_hand.append(f"the two runs saw different data ({', '.join(sorted(names))})")
    data_name = names.pop() if len(names) == 1 else ""
    start = [*flags(one.who, data_name), "--max-steps", str(rules.replayed), "--threads", "1"]
    found = examiner.ask("run", folder=str(folder), name=one.folder, flags=start, data_name=data_name)
    if "ended" in found:
        one.by_hand.append(f"the code does not run: {found['ended']}")
        return
    one.by_hand += [f"it tried {what}" for what in found["refused"][:3]]
    give_points(one, found, given, rules)


def give_points(one: Handed, found: dict, given: dict, rules: Rules) -> None:
    """Points for the code and the runs, and why they are not more."""
    checks = found["checks"]
    passed = {check: checks.get(title) == "" for check, title in TITLES.items()}
    one.reasons += [f"{title}: {trouble}" for title, trouble in checks.items() if trouble]
    one.code = TODO * passed[scores] + TODO * passed[criterion]
    one.code += UNCHANGED * (passed[parameters] and not given["others"] and not given["reasons"])
    right = given["layers"] in RIGHT_LAYERS and given["criterion"] in RIGHT_CRITERIA
    if one.code == 2 * TODO + UNCHANGED and not right:
        one.by_hand.append("it passes, but the two lines are not the usual ones: read them")
    for run in RUNS:
        wrong = troubles(
            config(one, run), len(one.rows[run]), "dcgan" if run == "dcgan" else one.folder, one.who, rules.steps
        )
        one.reasons += [f"{run}: {'; '.join(wrong)}"] * bool(wrong)
        one.runs += AS_REQUIRED * (not wrong)
        if isinstance(found[run], str):
            one.by_hand.append(f"{run}: the first steps could not be made again ({found[run]})")
            continue
        apart = distance(one.rows[run], found[run])
        one.runs += OWN_CURVES * (apart <= TOLERANCE)
        if apart > TOLERANCE:
            one.by_hand.append(
                f"{run}: not the losses of this seed and code ({apart:.2f} apart, {TOLERANCE} is allowed)"
            )


def table(handed: list[Handed]) -> str:
    """The table of the class, a row a submission."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(f"{chinese} {english}" for english, chinese in COLUMNS.items())
    for one in handed:
        answered = sum(map(is_answered, one.answers.values()))
        questions = ", ".join(map(str, one.who.questions(len(pool("en"))))) if one.who.number else ""
        reasons = "; ".join(one.by_hand + one.reasons)
        values = (
            one.path.name, one.who.number, one.who.name, one.code + one.runs, one.code, one.runs, "",
            "yes" if one.by_hand else "", reasons, one.layers, one.criterion, questions, answered,
        )  # fmt: skip
        writer.writerow(map(cell, values))
    return out.getvalue()


def cell(value: object) -> str:
    """A value as Excel shall show it: on one line, and never as a formula."""
    shown = printable(value)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") and len(shown) > 1 else shown


def printable(value: object) -> str:
    """A value on one line of bounded length: a student's words move no cursor and begin no line of their own."""
    text = str(value)
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return "".join(letter if letter.isprintable() else " " for letter in shown)


if __name__ == "__main__":
    sys.exit(main())
