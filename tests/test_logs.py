"""`losses.csv` and `metrics.jsonl` cut short, saved by Excel or deleted between stop and `--resume`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable

from commands import compare
from common.errors import UserError
from common.run.artifacts import set_aside
from common.run.logs import put_back, read_lines, read_losses
from common.run.runs import load_losses, load_metrics
from tests.conftest import train
from tests.runs import JUDGED, STEPS, TOY, result

import numpy as np
import pytest

FLAGS = [*TOY, "--max-steps", STEPS, "--resume", "--output-dir"]


def edited(change: Callable[[str], str], encoding: str = "utf-8") -> Callable[[bytes], bytes]:
    """What another program makes of the text of a file."""
    return lambda content: change(content.decode()).encode(encoding)


EXCEL = {
    "with a mark at its beginning": edited(str, "utf-8-sig"),
    "with other line ends": edited(lambda text: text.replace("\r\n", "\n")),
    "with semicolons": edited(lambda text: text.replace(",", ";").replace(".", ","), "utf-8-sig"),
    "with tabs, in UTF-16": edited(lambda text: text.replace(",", "\t"), "utf-16"),
    "with zeros at its end": lambda content: content + bytes(100),
    "with the line ends of old Macs": edited(lambda text: text.replace("\r\n", "\r")),
    "with a comma more in each line": edited(lambda text: text.replace("\r\n", ",\r\n")),
    "with empty rows": lambda content: content + b",,,,,,\r\n" * 3,
}
SHORT = {
    "cut between rows": (lambda content: b"".join(content.splitlines(keepends=True)[:101]), 100),
    "cut within a row": (lambda content: b"".join(content.splitlines(keepends=True)[:101])[:-3], 99),
    "filled up with zeros": (lambda content: content[:3000] + bytes(len(content) - 3000), None),
    "but for its header": (lambda content: content.splitlines(keepends=True)[0], 0),
    "empty": (lambda content: b"", 0),
    "no table": (lambda content: b"\x89PNG\r\n" + bytes(range(256)), 0),
    "without the steps": (lambda content: content.replace(b"step,", b"a,", 1), 0),
}


@pytest.mark.parametrize("how", EXCEL)
def test_losses_that_another_program_saved_are_mended(half, undisturbed, how, say):
    path = half / "losses.csv"
    path.write_bytes(EXCEL[how](path.read_bytes()))
    assert len(load_losses(half)["step"]) == 180  # for `commands.compare`, too
    said = say(train, "toy", *FLAGS, half)
    assert (said.status, said.err) == (0, "")
    assert result(half) == undisturbed


@pytest.mark.parametrize("how", SHORT)
def test_losses_that_are_lost_end_nothing(half, undisturbed, how, say):
    path, (damage, left) = half / "losses.csv", SHORT[how]
    path.write_bytes(damage(path.read_bytes()))
    check_goes_on(half, undisturbed, left, say)


def test_losses_that_are_gone_end_nothing(half, undisturbed, say):
    (half / "losses.csv").unlink()
    check_goes_on(half, undisturbed, 0, say)
    said = say(train, "toy", *FLAGS, half, "--max-steps", STEPS + 2)  # it is said once
    assert (said.status, said.err) == (0, "")


def test_a_column_that_is_gone_stays_out_and_is_named(half, say):
    path = half / "losses.csv"
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines()))
    said = say(train, "toy", *FLAGS, half)
    assert said.status == 0
    assert said.err.count("no column ") == 1
    header, rows = read_losses(path)
    assert len(rows) == STEPS
    assert all(len(row) == len(header) for row in rows)


def check_goes_on(run: Path, undisturbed: dict[str, str], left: int | None, say: Callable) -> None:
    """It ends in the same weights; of the steps until the checkpoint so many are `left` in the curves."""
    said = say(train, "toy", *FLAGS, run)
    assert said.status == 0
    assert said.err.count("\n") == 1, said.err
    assert "since the run was saved; the losses of " in said.err
    assert b"\0" not in (run / "losses.csv").read_bytes()
    steps = load_losses(run)["step"]
    assert steps[-10:].tolist() == list(range(180, STEPS))
    assert (np.diff(steps) > 0).all()
    if left is not None:
        assert len(steps) == left + STEPS - 180
        assert f"the losses of {180 - left} steps are lost" in said.err
    found = result(run)
    assert {name: one for name, one in found.items() if "params" in name or "samples" in name} == {
        name: one for name, one in undisturbed.items() if "params" in name or "samples" in name
    }
    assert say(compare.main, run, "--out", run / "a.png").status == 0


def test_a_column_of_somebodys_own_stays_and_ends_nothing(half, say):
    path = half / "losses.csv"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b",1\r\n").replace(b",1\r\n", b",note\r\n", 1))
    for steps in (STEPS, STEPS + 1):
        said = say(train, "toy", *FLAGS, half, "--max-steps", steps)
        assert (said.status, "lost" in said.err) == (0, False)
    losses = load_losses(half)
    assert losses["step"].tolist() == list(range(STEPS + 1))
    assert np.isfinite(losses["note"]).sum() == 180


def test_rows_and_columns_may_have_been_moved(half):
    before = load_losses(half)
    header, *rows = [line.split(",") for line in (half / "losses.csv").read_text().splitlines()]
    rows.sort(key=lambda row: float(row[3]))
    moved = [",".join([*row[3:], *row[:3]]) for row in [header, *rows]]
    (half / "losses.csv").write_text("\n".join(moved) + "\n")
    after = load_losses(half)
    assert list(after) == list(before)
    assert all((after[name] == before[name]).all() for name in before)


def test_judgements_saved_in_utf_16_are_read(judged):
    content = (judged / "metrics.jsonl").read_text().encode("utf-16")
    assert read_lines(content) == read_lines((judged / "metrics.jsonl").read_bytes()) != []


def test_what_is_no_table_is_kept_beside_until_a_new_run(half, say):
    written = b"my notes", b"more notes"
    for steps, notes in enumerate(written, STEPS):
        (half / "losses.csv").write_bytes(notes)
        assert say(train, "toy", *FLAGS, half, "--max-steps", steps).status == 0
    kept = [f"losses.csv.damaged-{number}" for number in (1, 2)]
    assert tuple((half / name).read_bytes() for name in kept) == written
    aside = set_aside(half)
    assert not [name for name in kept if (half / name).exists() or not (aside / name).exists()]


def test_steps_after_the_checkpoint_go_without_a_word(half, undisturbed, say):
    """As after a kill: more was written than the checkpoint knows of."""
    for name, more in (("losses.csv", b"180,3,9,1,1,1,1\r\n181,3,1"), ("metrics.jsonl", b'{"step": 185, "tr')):
        with (half / name).open("ab") as file:
            file.write(more)
    said = say(train, "toy", *FLAGS, half)
    assert (said.status, said.err) == (0, "")
    assert result(half) == undisturbed


LINE = b'{"step": 1, "raw": {"frechet": 2.0}}\n'


@pytest.mark.parametrize(
    ("now", "kept", "lost"),
    [
        (2 * LINE, 2, False),
        (b"\xef\xbb\xbf" + 2 * LINE.replace(b"\n", b"\r\n"), 2, False),
        (2 * LINE + LINE.replace(b"1", b"50"), 2, False),
        (LINE, 1, True),
        (LINE + LINE[:-5], 1, True),
        (LINE + bytes(len(LINE)), 1, True),
        (b"[]\n\xff\n" + LINE, 1, True),
        (b'{"step": "1"}\n{"raw": {}}\n' + b"[" * 50_000 + b"\n" + LINE, 1, True),
        (b"", 0, True),
        (None, 0, True),
    ],
)
def test_judgements_too(tmp_path, capsys, now, kept, lost):
    (tmp_path / "losses.csv").write_bytes(b"step,epoch,batch,loss_d\r\n1,0,1,2.0\r\n")
    (tmp_path / "generator_best.params").write_bytes(b"the best")
    if now is not None:
        (tmp_path / "metrics.jsonl").write_bytes(now)
    size = (tmp_path / "losses.csv").stat().st_size
    lengths = put_back(tmp_path, 2, {"losses.csv": size, "metrics.jsonl": 2 * len(LINE)})
    assert lengths == {"losses.csv": size, "metrics.jsonl": kept * len(LINE)}
    assert len(read_lines((tmp_path / "metrics.jsonl").read_bytes())) == kept
    assert ("judgements are lost" in capsys.readouterr().err) == lost
    assert (tmp_path / "generator_best_before.params").exists() == lost  # nothing says that a next one is better


def test_a_judged_run_goes_on_without_its_judgements(judged, tmp_path, say):
    run = Path(shutil.copytree(judged, tmp_path / "run"))
    (run / "metrics.jsonl").unlink()
    said = say(train, "toy", *JUDGED, "--max-steps", 180, "--output-dir", run, "--resume")
    assert said.status == 0
    assert said.err.count("\n") == 1
    assert [line["epoch"] for line in load_metrics(run)] == [2]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b"step\n", b"step,epoch,batch\n1,2,x\n", b"\xff\xfes", bytes(range(255, 99, -1))]
)
def test_what_is_no_table_is_said(tmp_path, content):
    (tmp_path / "losses.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"losses\.csv: no"):
        load_losses(tmp_path)


def test_judgements_that_could_not_be_written_are_no_loss(tmp_path, capsys):
    """A checkpoint without their length, as after a full disk; or they are no file."""
    (tmp_path / "losses.csv").write_bytes(b"step,epoch,batch,loss_d\r\n1,0,1,2.0\r\n")
    size = (tmp_path / "losses.csv").stat().st_size
    (tmp_path / "metrics.jsonl").write_bytes(LINE + LINE.replace(b"1", b"50"))
    assert put_back(tmp_path, 2, {"losses.csv": size}) == {"losses.csv": size, "metrics.jsonl": len(LINE)}
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    assert put_back(tmp_path, 2, {"losses.csv": size}) == {"losses.csv": size}
    assert capsys.readouterr().err == ""
