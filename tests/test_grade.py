"""A class of twelve graded at once: each submission has its own line, whatever it does."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable

from assignment import grade, handed
from assignment.check import import_train
from assignment.handed import MOST_ROWS, Handed, losses, opened, say_who_copied
from assignment.sandbox import MEMORY, MOST_WRITTEN, Sandbox
from assignment.student import pool
from tests.conftest import ROOT, check_refused
from tests.students import ANNA, STEPS, a_class, hand_in, sealed, write_zip

import pytest


@pytest.fixture(scope="session")
def right(made_once) -> Path:
    """Anna's zip, made as a student makes it."""
    return made_once("handed-in", hand_in) / "right.zip"


def impatient(one: Handed, examiner: Sandbox, *rest: object, whole: Callable[..., None] = grade.examine) -> None:
    """As `examine`, with a fifth of the time for what never ends: 2 seconds of a core; what is right takes 5."""
    given = examiner.seconds
    examiner.seconds = given / 5 if one.path.name == "hangs.zip" else given
    try:
        whole(one, examiner, *rest)
    finally:
        examiner.seconds = given


@pytest.fixture
def graded(right, tmp_path, monkeypatch, say):
    """The table of the class by the submissions' names, and what the command said."""
    folder = tmp_path / "class"
    folder.mkdir()
    a_class(folder, right)
    monkeypatch.setenv("SECRET_TOKEN", "do-not-print")
    monkeypatch.setattr(grade, "examine", impatient)
    out = tmp_path / "grades.csv"
    said = say(grade.main, folder, "--out", out, "--steps", STEPS, "--replay", STEPS, "--seconds", 10)
    assert (said.status, said.err) == (0, "")
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")  # by which Excel knows that it is UTF-8
    rows = list(csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines()))
    assert all("do-not-print" not in str(row) for row in rows)
    assert not list(tmp_path.rglob("*owned*"))
    short = [{name.split()[-1]: value for name, value in row.items()} for row in rows]
    return {row["file"].partition(".")[0]: row for row in short}, said.out


def test_a_class_of_twelve(graded):
    table, said = graded
    assert len(table) == 12
    assert said.count(" of 50  ") == 12
    points = {name: (int(row["code"]), int(row["runs"]), row["by_hand"]) for name, row in table.items()}
    assert points == {
        "right": (30, 20, "yes"),  # somebody has copied it: who, is for a person to say
        "half": (18, 10, "yes"),
        "copied": (30, 8, "yes"),
        "gbk": (30, 20, ""),
        "rate": (24, 0, "yes"),  # and the losses of another number
        "hangs": (0, 0, "yes"),
        "secrets": (0, 0, "yes"),
        "system": (0, 0, "yes"),
        "empty": (0, 0, "yes"),
        "bomb": (0, 0, "yes"),
        "climbs": (0, 0, "yes"),
        "link": (0, 0, "yes"),
    }
    reasons = {
        "right": "4 rows of dcgan/losses.csv as in copied.zip",
        "half": "D's scores have no bounds: even for huge inputs",
        "copied": "dcgan: not the losses of this seed and code",
        "rate": "train.py sets the learning rate in the code",
        "hangs": "the code does not run: it did not come to an end within 2 seconds",
        "secrets": "not run, read it first: train.py imports os",
        "system": "not run, read it first: train.py imports os",
        "empty": "no submission.json in it",
        "bomb": "dcgan/losses.csv has more than",
        "climbs": "a name that leads out of the folder: '../../owned.txt'",
        "link": "a link: 'report.md'",
    }
    assert {name: words for name, words in reasons.items() if words not in table[name]["reasons"]} == {}
    assert table["gbk"]["name"] == "王小明"
    assert table["gbk"]["answered"] == "5"  # of a report that was saved in GBK
    assert table["gbk"]["reasons"] == ""
    assert table["rate"]["name"] == "'=HYPERLINK(1)"  # no formula in Excel
    assert "the same answer 1 as in copied.zip" in table["right"]["reasons"]
    assert (table["right"]["layers"], table["right"]["criterion"]) == ("-", "nn.MSELoss()")
    assert table["right"]["questions"] == ", ".join(map(str, ANNA.questions(len(pool("en")))))


def test_what_two_have_in_common_is_said_in_one_order(tmp_path):
    """Whatever the seed of Python's hashes is."""
    pair = [Handed(tmp_path / name) for name in ("anna.zip", "lei.zip")]
    for one in pair:
        one.who = ANNA
        one.rows = {f"run {number}": [{"loss_d": 1.0}] for number in range(8)}
    say_who_copied(pair)
    assert len(pair[0].by_hand) == 9
    assert pair[0].by_hand[:-1] == sorted(pair[0].by_hand[:-1])


def test_of_many_who_have_the_same_three_are_named(tmp_path):
    """The cell is to have room for the other reasons."""
    handed = [Handed(tmp_path / f"{number:02d}.zip") for number in range(30)]
    for one in handed:
        one.who = ANNA
    say_who_copied(handed)
    assert handed[0].by_hand == ["the same number as in 01.zip, 02.zip, 03.zip and 26 more"]


def test_losses_are_read_up_to_a_bound():
    row = {"loss_d": 1.0, "loss_g": 2.0}
    assert losses(b"step,loss_d,loss_g\r\n1,1.0,2.0\r\n\r\n2,1,2\r\n") == [row, row]
    assert len(losses(b"loss_d,loss_g\n" + (MOST_ROWS + 9) * b"1,2\n")) == MOST_ROWS
    assert not any(map(losses, (b"", b"loss_d\n1\n", b"loss_d,loss_g\n1\n", b"loss_d,loss_g\n1,x\n")))


@pytest.mark.parametrize("folder", ["a" * 300, "判" * 34, "a b", "\ud800"])
def test_a_folders_name_that_no_file_system_takes(folder, tmp_path):
    write_zip(tmp_path / "a.zip", sealed({}, ANNA, folder=folder))
    one = opened(tmp_path / "a.zip")
    assert (one.folder, "the folder's name is" in one.by_hand[0]) == ("", True)


def test_what_nobody_thought_of_is_said_of_one_submission(tmp_path, monkeypatch):
    write_zip(tmp_path / "a.zip", sealed({}, ANNA))
    monkeypatch.setattr(handed, "losses", lambda _: 1 / 0)
    assert opened(tmp_path / "a.zip").by_hand == ["cannot be read (ZeroDivisionError: division by zero)"]


@pytest.fixture
def three(tmp_path, monkeypatch, say):
    """Grades three submissions by the `examine` that is given, without a sandbox; what was said, and the table."""
    box = type("Box", (), {"fence": "none", "close": lambda self: None})
    (tmp_path / "class").mkdir()
    for name in ("a", "b", "c"):
        write_zip(tmp_path / f"class/{name}.zip", sealed({"report.md": b""}, ANNA))

    def graded(examine):
        monkeypatch.setattr(grade, "sandbox", lambda *_: box())
        monkeypatch.setattr(grade, "examine", examine)
        said = say(grade.main, tmp_path / "class", "--out", tmp_path / "g.csv")
        return said, (tmp_path / "g.csv").read_text(encoding="utf-8-sig").splitlines()[1:]

    return graded


@pytest.mark.parametrize("error", [OSError(36, "File name too long"), RecursionError("deep"), KeyError("dcgan")])
def test_no_submission_ends_the_grading_of_the_others(error, three):
    def examine(one: Handed, *_: object) -> None:
        one.code = 30
        if one.path.name == "b.zip":
            raise error

    said, rows = three(examine)
    assert (said.status, [row.split(",")[3] for row in rows]) == (0, ["30", "0", "30"])
    assert ["cannot be examined" in row for row in rows] == [False, True, False]


def test_a_table_with_a_teachers_points_is_kept(three, tmp_path):
    """And Ctrl-C, when it is made again, loses none of it; nor does what a system leaves there get a row."""
    for name in ("Thumbs.db", "~$list.xlsx", ".DS_Store", "old.csv"):
        (tmp_path / "class" / name).touch()
    three(lambda *_: None)
    (tmp_path / "g.csv").write_text("with points")
    said, rows = three(lambda *_: None)
    assert [row[:6] for row in rows] == ["a.zip,", "b.zip,", "c.zip,"]
    assert (tmp_path / "g-earlier-1.csv").read_text() == "with points"
    assert "g-earlier-1.csv: the table that was there" in said.out


@pytest.mark.parametrize("name", ["class/a.zip", "grades", "grades.xlsx"])
def test_a_table_is_a_csv_and_takes_no_submissions_place(right, tmp_path, say, name):
    (tmp_path / "class").mkdir()
    shutil.copy(right, tmp_path / "class/a.zip")
    said = say(grade.main, tmp_path / "class", "--out", tmp_path / name)
    check_refused(said, "expected a name that ends in .csv")
    assert (tmp_path / "class/a.zip").read_bytes() == right.read_bytes()


def test_ctrl_c_keeps_what_is_done(three):
    def examine(one: Handed, *_: object) -> None:
        if one.path.name == "b.zip":
            raise KeyboardInterrupt

    said, rows = three(examine)
    assert (said.status, [row[:5] for row in rows]) == (130, ["a.zip"])
    assert "g.csv: 1 of 3 submissions" in said.out


def test_folders_in_one_another_are_removed(three, tmp_path, monkeypatch):
    """More of them than Python calls itself, and what stands beside a submission's own folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    seen = []

    def examine(_: Handed, __: object, folder: Path, ___: object) -> None:
        seen.append(len(list(folder.parent.iterdir())))
        (folder.parent / "beside").touch()
        for levels in (500, 1000) if len(seen) == 1 else ():
            os.makedirs(f"{folder}/{'d/' * levels}")  # noqa: PTH103  `Path.mkdir` calls itself, too

    assert three(examine)[0].status == 0
    assert (seen, list((tmp_path / "temporary").iterdir())) == ([1, 1, 1], [])


def test_a_students_words_are_one_line_on_the_terminal(three):
    said, _ = three(lambda one, *_: one.reasons.append("\x1b[1A\r\n 50 of 50  b.zip: all right\u202e" + "x" * 3000))
    assert said.out.count("\n") == 5
    assert max(map(len, said.out.splitlines())) < 2020
    assert not {"\x1b", "\r", "\u202e"} & set(said.out)


def test_a_folder_of_the_submissions_name_in_the_repository_is_not_run_in_its_place(tmp_path, monkeypatch):
    """The teacher's own try of the assignment, which has an `__init__.py`."""
    mine, box, seen = tmp_path / "repository/my_lsgan", tmp_path / "box", []
    for folder in (mine, box):
        folder.mkdir(parents=True)
    for name in ("__init__.py", *grade.CODE):
        (mine / name).touch()
    monkeypatch.syspath_prepend(mine.parent)
    one = Handed(tmp_path / "anna.zip")
    one.folder, one.files = "my_lsgan", {f"code/{name}": b"" for name in grade.CODE}

    class Examiner:
        def ask(self, _: str, folder: str, name: str) -> dict:
            seen.append(Path(import_train(Path(folder, name)).__file__))
            return {"ended": "enough is seen"}

    grade.examine(one, Examiner(), box, None)
    assert seen == [box / "my_lsgan/train.py"]


@pytest.mark.parametrize(("page", "second"), [("README.md", "s"), ("README.zh-CN.md", "秒")])
def test_the_pages_name_the_sandboxs_bounds(page, second):
    words = (ROOT / "assignment" / page).read_text(encoding="utf-8")
    bounds = (f"{grade.SECONDS} {second}", f"{MEMORY // 2**30} GiB", f"{MOST_WRITTEN // 2**20} MiB")
    assert [bound for bound in bounds if bound not in words] == []


def test_folders_that_are_no_class(tmp_path, say):
    for path in (tmp_path / "nowhere", tmp_path):
        said = say(grade.main, path)
        assert (said.status, said.err.count("\n")) == (2, 1)


def test_a_link_to_itself_is_a_submission_that_cannot_be_read(tmp_path, say, monkeypatch):
    (tmp_path / "class").mkdir()
    (tmp_path / "class/loop").symlink_to(tmp_path / "class/loop")
    said = say(grade.main, tmp_path / "class", "--out", tmp_path / "grades.csv")
    assert said.status == 0
    assert "loop" in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")


def test_a_table_that_cannot_be_written_is_said_before_the_work(right, tmp_path, monkeypatch, say):
    (tmp_path / "class").mkdir()
    shutil.copy(right, tmp_path / "class")
    monkeypatch.setattr(grade, "opened", None)  # would fail
    (tmp_path / "folder.csv").mkdir()
    for out in (tmp_path / "folder.csv", Path("/proc/grades.csv")):
        check_refused(say(grade.main, tmp_path / "class", "--out", out), f"--out {out}: nothing can be written there")
