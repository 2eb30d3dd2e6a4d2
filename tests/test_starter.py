"""The assignment as a student has it: the starter, and the checks that say what is left to do."""

from __future__ import annotations

import re
from pathlib import Path

from assignment import check, starter, submit
from assignment.check import CHECKS
from assignment.student import STEPS
from tests.conftest import ROOT, call, check_refused
from tests.students import SIGMOID, change

import pytest

PARAMETERS, SCORES, GRADIENT, CRITERION, RUN = CHECKS


@pytest.fixture
def folder(tmp_path, say, monkeypatch) -> Path:
    """A new starter, outside of the repository. Its self-check trains for 3 steps, in `test_grade` for all 20."""
    monkeypatch.setattr(check, "STEPS", 3)
    made = say(starter.main, tmp_path / "my_lsgan")
    assert (made.status, made.err) == (0, "")
    return tmp_path / "my_lsgan"


def todo_1(folder: Path) -> None:
    change(folder / "model.py", SIGMOID, "")


def todo_2(folder: Path) -> None:
    change(folder / "train.py", "nn.BCELoss()", "nn.MSELoss()")


def left(said) -> dict[str, str]:
    """What a self-check calls not yet done, with its advice; it looks at each check once."""
    lines = [line for line in said.out.splitlines() if line.startswith(("ok  ", "not yet  "))]
    assert len(lines) in (1, len(CHECKS))
    assert said.err == ""
    assert said.status == (1 if any(line.startswith("not yet") for line in lines) else 0)
    return dict(line[len("not yet  ") :].split(": ", 1) for line in lines if line.startswith("not yet"))


@pytest.mark.parametrize("file", ["model.py", "train.py"])
def test_the_starter_is_dcgan_with_two_todos(file):
    text = starter.starter_of(file, ROOT / "my_lsgan")
    assert text.count("# TODO") == 1
    assert "MSELoss" not in text
    kept = [line for line in text.splitlines(keepends=True) if "# TODO" not in line]
    assert "".join(kept).replace("my_lsgan", "dcgan") == (ROOT / "dcgan" / file).read_text(encoding="utf-8")


def test_the_starter_trains_from_anywhere(folder, tmp_path):
    flags = ["--dataset", "digits", "--batch-size", 4, "--max-steps", 2, "--eval-every", 0, "--threads", 1]
    done = call(folder / "train.py", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "work/my_lsgan/generator.params").is_file()


def test_the_starter_fails_what_is_to_do(folder, say):
    found = left(say(check.main, folder))
    assert list(found) == [SCORES, GRADIENT, CRITERION]
    assert ["TODO 1" in found[SCORES], "TODO 1" in found[GRADIENT], "TODO 2" in found[CRITERION]] == [True] * 3


def test_the_solution_passes(folder, say):
    todo_1(folder)
    todo_2(folder)
    said = say(check.main, folder)
    assert left(said) == {}
    assert said.out.endswith("all done: this is LSGAN\n")


def test_without_the_sigmoid_the_criterion_is_left(folder, say):
    todo_1(folder)
    found = left(say(check.main, folder))
    assert list(found) == [GRADIENT, CRITERION, RUN]
    assert "TODO 2" in found[GRADIENT]
    assert "TODO 2" in found[CRITERION]


def test_behind_the_sigmoid_squares_are_flat(folder, say):
    todo_2(folder)
    found = left(say(check.main, folder))
    assert list(found) == [SCORES, GRADIENT]
    assert all("TODO 1" in advice for advice in found.values())


def test_a_leaky_relu_in_its_place_is_not_lsgan(folder, say):
    change(folder / "model.py", SIGMOID, "            nn.LeakyReLU(0.2),\n")
    todo_2(folder)
    found = left(say(check.main, folder))
    assert list(found) == [SCORES]
    assert "last convolution" in found[SCORES]


def test_logits_are_not_lsgan(folder, say):
    todo_1(folder)
    change(folder / "train.py", "nn.BCELoss()", "nn.BCEWithLogitsLoss()")
    found = left(say(check.main, folder))
    assert list(found) == [GRADIENT, CRITERION]
    assert all("TODO 2" in advice for advice in found.values())


def test_code_that_python_cannot_read_is_named(folder, say):
    change(folder / "train.py", "nn.BCELoss()", "nn.MSELoss(")
    (advice,) = left(say(check.main, folder)).values()
    assert advice.startswith("SyntaxError")


def test_a_renamed_folder_is_no_other(folder, say):
    folder.rename(folder.with_name("my_lsgan_2"))
    (advice,) = left(say(check.main, folder.with_name("my_lsgan_2"))).values()
    assert "No module named 'my_lsgan'" in advice


def test_networks_from_elsewhere_are_refused(folder, say):
    change(folder / "train.py", "from my_lsgan.model", "from lsgan.model")
    (advice,) = left(say(check.main, folder)).values()
    assert str(ROOT / "lsgan/model.py") in advice


def test_a_wrong_folder(tmp_path, say):
    for path in (tmp_path, tmp_path / "nowhere"):
        said = say(check.main, path)
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["my-lsgan", "class", "lsgan", "wgan_gp", "json"])
def test_names_that_could_not_be_imported(name, tmp_path, say):
    said = say(starter.main, tmp_path / name)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert not (tmp_path / name).exists()


def test_a_number_that_is_empty_is_none(tmp_path, say):
    """As that of a variable of the shell that is not set: without it there would be no report, and no word of it."""
    check_refused(say(starter.main, tmp_path / "mine", "--number", ""), "--number")
    assert not (tmp_path / "mine").exists()


def test_a_folder_of_something_else_is_not_advised_to_be_made_anew(tmp_path, say):
    check_refused(say(submit.main, tmp_path), "no model.py in it; name the folder that assignment/starter.py made")


def test_nothing_is_overwritten(folder, say):
    (folder / "train.py").write_text("mine")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    said = say(starter.main, folder)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_page_says_what_each_half_passes(page):
    """The rows of its table are the checks in their order, with what the tests above expect."""
    text = (ROOT / "assignment" / page).read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ")[1:] for line in text.splitlines() if line.endswith(("| ok |", "| not yet |"))]
    expected = [[SCORES, GRADIENT, CRITERION], [GRADIENT, CRITERION, RUN], [SCORES, GRADIENT], []]
    assert rows == [["not yet" if check in column else "ok" for column in expected] for check in CHECKS]
    for count in check.PARAMETERS.values():
        assert text.count(f"{count:,}") == 1


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_page_has_the_measured_distances_by_epoch(page):
    """Why three epochs: the averaged weights' distances of docs/results.md, level in the third epoch."""
    results = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    columns = []
    for name in ("DCGAN", "LSGAN"):
        table = results.partition(f"## {name} --epochs 10 by epoch")[2].partition("##")[0]
        columns.append(dict(re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", table, re.M)))
    text = (ROOT / "assignment" / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+ ± .+) \| (.+ ± .+) \|$", text, re.M)
    assert rows == [(epoch, columns[0][epoch], columns[1][epoch]) for epoch in ("1", "2", "3", "4", "10")]
    (dcgan, spread), (lsgan, _) = (map(float, columns[family]["3"].split(" ± ")) for family in (0, 1))
    assert abs(dcgan - lsgan) < spread
    assert f"{STEPS:,}" in text
    assert STEPS == 3 * 60_000 / 32


def test_another_number_has_another_report(tmp_path, say):
    """A mistake in the number is mended by the same command; what was written stays."""
    for number in ("20231234", "20231299"):
        said = say(starter.main, tmp_path / "my_lsgan", "--number", number)
        assert (said.status, said.err) == (0, "")
        if number == "20231234":
            report = tmp_path / "my_lsgan/report.md"
            report.write_text(report.read_text(encoding="utf-8") + "my answers", encoding="utf-8")
    assert "20231299" in (tmp_path / "my_lsgan/report.md").read_text(encoding="utf-8")
    earlier = (tmp_path / "my_lsgan/report-1.md").read_text(encoding="utf-8")
    assert "20231234" in earlier
    assert earlier.endswith("my answers")
    assert "report-1.md: your report so far, of another number" in said.out


@pytest.mark.parametrize("name", ["dcgan", "lsgan"])
def test_our_own_folders_are_no_students(name, say):
    said = say(starter.main, ROOT / name, "--number", "1")
    assert said.status == 2
    assert "this is ours" in said.err
    assert not (ROOT / name / "student.json").exists()
