"""What a student hands in, and what a class is given."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

from assignment import handout, starter, submit
from assignment.notebook import BLANKS
from assignment.student import (
    LANGUAGES,
    LARGEST,
    QUESTIONS,
    WANTED,
    Student,
    answers,
    blank_report,
    filled,
    is_answered,
    pool,
    read_card,
    student,
    suffix,
    troubles,
)
from common.errors import UserError
from common.run.runs import load_losses
from tests.conftest import ROOT, call, check_refused
from tests.students import ANNA, ANSWERS, change, files_of, hand_in

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient


@pytest.fixture(scope="session")
def handed_in(made_once) -> Path:
    """The folder in which Anna made her submission."""
    return made_once("handed-in", hand_in)


def test_the_zip_has_all_with_checksums(handed_in):
    files = files_of(handed_in / "right.zip")
    assert set(files) == set(WANTED)
    manifest = json.loads(files.pop("submission.json"))
    assert manifest.pop("files") == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert manifest == {**ANNA._asdict(), "language": "en", "folder": "my_lsgan"}
    assert files["code/model.py"] == (handed_in / "my_lsgan/model.py").read_bytes()
    assert files["compare.png"].startswith(b"\x89PNG")
    assert answers(files["report.md"].decode()) == ANSWERS


def test_what_is_missing_is_said_and_the_rest_is_packed(handed_in, tmp_path, say, monkeypatch):
    mine = tmp_path / "my_lsgan"
    monkeypatch.setattr(submit.check, "STEPS", 3)
    assert say(starter.main, mine, "--number", "20230099", "--name", "../王 小明").status == 0
    runs = ["--dcgan", handed_in / "dcgan", "--lsgan", handed_in / "lsgan"]
    said = say(submit.main, mine, *runs, "--out", tmp_path / "mine.zip")
    assert (said.status, said.err) == (0, "")
    for words in (
        "the self-check does not pass yet", f"--seed is {ANNA.seed}, required is {student('20230099', '').seed}",
        "4 steps, required are 5,625", "no answer yet to 1, 2, 3, 4, 5",
    ):  # fmt: skip
        assert words in said.out
    assert set(files_of(tmp_path / "mine.zip")) == set(WANTED)
    monkeypatch.chdir(tmp_path)
    assert submit.trained("no_such_family") == ROOT / "work/no_such_family"
    (tmp_path / "work/dcgan").mkdir(parents=True)
    check_refused(say(submit.main, mine, *runs[2:]), "work/dcgan: no config.json in it; train first")
    check_refused(say(submit.main, mine, "--dcgan", tmp_path, *runs[2:]), "no config.json in it; train first")
    broken = Path(shutil.copytree(handed_in / "lsgan", tmp_path / "broken"))
    for content in ('{"scores": [1, "x"]}', "[" * 50_000):
        (broken / "config.json").write_text(content)
        check_refused(
            say(submit.main, mine, *runs[:2], "--lsgan", broken), "lsgan/config.json: not what a training wri"
        )
    check_refused(
        say(submit.main, mine, *runs, "--out", mine / "model.py"), "model.py: expected a name that ends in .zip"
    )
    assert b"nn" in (mine / "model.py").read_bytes()
    (mine / "student.json").write_text("[]")
    check_refused(say(submit.main, mine, *runs), "starter.py")


@pytest.fixture
def checked_elsewhere(monkeypatch) -> None:
    """The self-check and the picture, which take seconds, are other tests'."""
    monkeypatch.setattr(submit.check, "main", lambda _: 0)
    monkeypatch.setattr(submit, "picture", lambda *_: b"")


def test_a_run_that_began_as_dcgan_is_said(handed_in, tmp_path, say, checked_elsewhere):
    """Trained before the two lines were written, and gone on with after it by `--resume`."""
    runs = {"--dcgan": handed_in / "dcgan", "--lsgan": shutil.copytree(handed_in / "lsgan", tmp_path / "lsgan")}
    losses = [load_losses(folder) for folder in runs.values()]
    assert not submit.begin_alike(*losses)
    assert not submit.begin_alike(losses[0], {"loss_x": np.ones(3)})
    shutil.copy(runs["--dcgan"] / "losses.csv", runs["--lsgan"])
    given = [part for pair in runs.items() for part in pair]
    said = say(submit.main, handed_in / "my_lsgan", *given, "--out", tmp_path / "a.zip")
    assert "its first losses are DCGAN's" in said.out


def test_runs_on_different_data_are_said(handed_in, tmp_path, say, checked_elsewhere):
    """Both are told `--dataset auto`, and the network may fail before one of them."""
    other = Path(shutil.copytree(handed_in / "lsgan", tmp_path / "lsgan"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "dataset": "mnist"}))
    for lsgan, noted in ((handed_in / "lsgan", False), (other, True)):
        runs = ["--dcgan", handed_in / "dcgan", "--lsgan", lsgan]
        said = say(submit.main, handed_in / "my_lsgan", *runs, "--out", tmp_path / "a.zip")
        assert ("dcgan on digits and lsgan on mnist: their losses cannot be compared" in said.out) == noted


def test_what_grading_would_refuse_is_not_packed(handed_in, tmp_path, say, checked_elsewhere):
    """A report with its pictures in it."""
    mine = shutil.copytree(handed_in / "my_lsgan", tmp_path / "my_lsgan")
    (mine / "report.md").write_text("x" * (LARGEST + 1))
    runs = ["--dcgan", handed_in / "dcgan", "--lsgan", handed_in / "lsgan"]
    said = say(submit.main, mine, *runs, "--out", tmp_path / "a.zip")
    check_refused(said, "report.md has more than 8,388,608 bytes: leave pictures out of it")
    assert not (tmp_path / "a.zip").exists()


def test_the_starter_adds_only_what_is_missing(tmp_path, say):
    mine = tmp_path / "my_lsgan"
    assert say(starter.main, mine).status == 0
    change(mine / "model.py", "nn.Sigmoid()", "nn.Identity()")
    said = say(starter.main, mine, "--number", " ２０２３１２３４a ", "--name", "王小明")
    assert said.status == 0
    assert "nn.Identity()" in (mine / "model.py").read_text()
    who = read_card(mine)
    assert (who.number, who.name, who.language) == ("20231234A", "王小明", "zh")
    assert f"--seed {who.seed} --max-steps 5625" in said.out
    report = (mine / "report.md").read_text(encoding="utf-8")
    assert all(str(field) in report for field in who[:2])
    (mine / "report.md").write_text("mine")
    say(starter.main, mine, "--number", "20231234A")
    assert (mine / "report.md").read_text() == "mine"


@pytest.mark.parametrize("number", ["", "../x", "a b", "学号", "x" * 33])
def test_numbers_that_cannot_be(number):
    with pytest.raises(UserError, match="--number"):
        student(number, "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_holds_the_students_own_questions(language):
    seen = set()
    for number in range(200):
        who = Student(str(20230000 + number), "A", language)
        mine = who.questions(len(pool(language)))
        assert len(set(mine)) == 2
        report = blank_report(who)
        assert all(pool(language)[question - 1] in report for question in mine)
        assert answers(report) == dict.fromkeys(range(1, QUESTIONS + 1), "")
        assert "DRAWN" not in report
        seen |= set(mine)
    assert seen == set(range(1, len(pool(language)) + 1))
    assert len({Student(str(20230000 + number), "").seed for number in range(200)}) == 200


def test_answers_are_found_again():
    given = {1: "> no\nyes, $x^2$ \\alpha", 3: "三"}
    report = filled(blank_report(ANNA), given)
    assert answers(report) == {**given, 2: "", 4: "", 5: ""}
    for _again in range(2):
        assert filled(report, given) == report
    spaced = blank_report(ANNA).replace("\n\n>", "\n \n>")  # as an editor may leave it
    assert answers(spaced) == dict.fromkeys(range(1, QUESTIONS + 1), "")
    assert answers(filled(report, ANSWERS)) == ANSWERS
    assert answers(filled(filled(report, ANSWERS), dict.fromkeys(ANSWERS, "\n\n"))) == ANSWERS  # the notebook, blank
    assert [is_answered(text) for text in ("", " \n" * 30, "x" * 19, "x" * 20)] == [False, False, False, True]


def test_every_question_has_an_answer():
    for language in LANGUAGES:
        text = (ROOT / f"assignment/answers{suffix(language)}").read_text(encoding="utf-8")
        assert len(re.findall(r"^\d+\. ", text, re.M)) == len(pool(language)) == 15


def test_the_required_run_is_the_courses():
    given = {"family": "dcgan", "data set": "mnist x", "--seed": 7, "--batch-size": 32, "--learning-rate": 2e-4}
    config = {"identity": {**given, "--beta1": 0.5, "--seed": ANNA.seed}, "device": "cpu"}
    assert troubles(config, 5625, "dcgan", ANNA, 5625) == []
    config["identity"]["--penalty"] = 1.0
    assert troubles({**config, "device": "gpu:0"}, 5624, "dcgan", ANNA, 5625) == [
        "--penalty is 1.0, required is the default", "it ran on gpu:0, required is the CPU",
        "5,624 steps, required are 5,625",
    ]  # fmt: skip
    assert troubles({"identity": [1]}, 0, "dcgan", ANNA, 1)


@pytest.fixture(scope="session")
def given_out(made_once) -> Path:
    """What a class gets, unpacked."""

    def make(folder: Path) -> None:
        assert handout.main([str(folder)]) == 0
        with zipfile.ZipFile(folder / "dcgan-lsgan.zip") as archive:
            archive.extractall(folder)

    return made_once("handout", make)


def test_files_of_before_1980_and_clocks_that_are_wrong_are_packed(tmp_path, monkeypatch):
    """As from a package or a container whose files are dated 0; a zip knows no such time."""
    (tmp_path / "LICENSE").write_text("old")
    os.utime(tmp_path / "LICENSE", (0, 0))
    monkeypatch.setattr(handout, "ROOT", tmp_path)
    monkeypatch.setattr(handout, "write_notebook", lambda path: path.write_text("{}"))
    assert handout.main([str(tmp_path / "out")]) == 0
    assert files_of(tmp_path / "out/dcgan-lsgan.zip")["dcgan-lsgan/LICENSE"] == b"old"
    for year in (1970, 2200):
        monkeypatch.setattr(submit.time, "localtime", lambda year=year: (year, 1, 1, 0, 0, 0))
        submit.pack(tmp_path / "mine.zip", {"report.md": b"mine"}, ANNA, "my_lsgan")
        assert files_of(tmp_path / "mine.zip")["report.md"] == b"mine"


def test_a_class_gets_no_solution(given_out):
    root = given_out / "dcgan-lsgan"
    texts = {
        path: path.read_text(encoding="utf-8") for path in root.rglob("*") if path.suffix in (".py", ".md", ".ipynb")
    }
    assert not [path for path, text in texts.items() if "MSELoss" in text and path.name != "README.md"]
    assert not [path for path in root.rglob("*") if path.name.startswith("answers") or path.name == "lsgan"]
    assert {"start.md", "start.zh-CN.md", "homework.ipynb"} <= {path.name for path in root.iterdir()}
    assert (root / "docs/watch.html").exists()  # a question is about it
    links = [(page, link) for page in root.rglob("*.md") for link in re.findall(r"\]\(([^)#\s]+)", texts[page])]
    assert len(links) > 20
    assert not [link for page, link in links if link[:4] != "http" and not (page.parent / link).exists()]
    assert (given_out / "dcgan-lsgan.zip").stat().st_size < 8_000_000
    inside = {path.relative_to(ROOT) for path in (ROOT / "common").rglob("*.*") if "__pycache__" not in path.parts}
    assert not [path for path in inside if not (root / path).exists()]  # whatever the code reads beside it


def test_the_notebook_finds_the_repository_on_ai_studio(given_out, tmp_path):
    """The zip lies in `work/`, without the notebooks 1 to 5 and what they import."""
    (tmp_path / "work").mkdir()
    shutil.copy(given_out / "dcgan-lsgan.zip", tmp_path / "work")
    cells = [cell.source for cell in nbformat.read(given_out / "homework.ipynb", as_version=4).cells]
    setup = [cell for cell in cells if "ON_AISTUDIO" in cell][:2]
    program = "\n".join(setup).replace('"/home/aistudio"', repr(str(tmp_path)))
    for _ in range(2):  # after a restart once more
        done = call("-c", program, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("the repository: dcgan-lsgan\n")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_from_the_setup_to_the_zip(given_out, tmp_path, monkeypatch):
    """With the blanks filled in, two steps of digits, in a folder of its own as AI Studio has it."""
    notebook = nbformat.read(given_out / "homework.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in cells)
    assert text.count("____") == len(BLANKS) == 2
    # A lesson starts DCGAN first. Of the student's folder nothing trains before its two lines are written and checked.
    order = ['training("dcgan/train.py"', "____", "assignment/check.py", 'training(f"{MINE}/train.py"']
    assert sorted(order, key=text.index) == order
    assert not [word for word in ("MSELoss", "lsgan.model import") if word in text.replace("my_lsgan.model", "")]
    for cell in cells:
        cell.source = cell.source.replace('NUMBER = ""', 'NUMBER = "20230001"').replace('NAME = ""', 'NAME = "王小明"')
        cell.source = cell.source.replace("____,", "nn.Identity(),").replace("____", "nn.MSELoss()")
        cell.source = cell.source.replace('1: r"""\n', '1: r"""\n' + "改了两行。" * 10)
    monkeypatch.setenv("NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "nothing"))
    mine = shutil.copytree(given_out / "dcgan-lsgan", tmp_path / "dcgan-lsgan")
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(mine)}}).execute()
    said = "\n".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert "all done: this is LSGAN" in said
    assert "no answer yet to 2, 3, 4, 5" in said
    (archive,) = mine.glob("20230001_*.zip")
    assert set(files_of(archive)) == set(WANTED)
