"""`make results`: runs to their end, resumable, and a report that is made of its JSON alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from common import results, sample
from common.errors import UserError
from common.judging.report import report, spread_of
from tests.conftest import ROOT, check_refused, here, users_environment

import numpy as np
import pytest
from PIL import Image


def flags_for(folder: Path) -> list[object]:
    """Of one short run of DCGAN on digits."""
    flags = ["--recipes", "dcgan", "--seeds", 3, "--epochs", 1, "--dataset", "digits", "--samples", 200]
    return [*flags, "--work-dir", folder / "work", "--out", folder / "docs", "--publish-to", folder]


@pytest.fixture(scope="session")
def made(made_once) -> tuple[Path, list[object]]:
    """That run, by the command as typed, told to stop in the middle, then gone on with in this process; its flags."""

    def make(folder: Path) -> None:
        both = [sys.executable, "-m", "common.results", *map(str, flags_for(folder))]
        losses = folder / "work/dcgan-3/losses.csv"
        with subprocess.Popen([*both, "--seeds", "3", "4", "--at-once", "1"], cwd=ROOT, stdout=subprocess.PIPE,
                              text=True, env=users_environment()) as running:  # fmt: skip
            while running.poll() is None and not (losses.exists() and losses.read_text().count("\n") > 20):
                time.sleep(0.01)
            running.terminate()
            (folder / "stopped.txt").write_text(running.communicate(timeout=60)[0] + f"status {running.returncode}")
        assert not (folder / "docs").exists()
        assert not (folder / "work/dcgan-4/config.json").exists()  # not even begun
        assert here(results.main, *flags_for(folder)) == 0

    folder = made_once("results", make)
    return folder, flags_for(folder)


def test_told_to_stop_it_saves_and_the_same_command_goes_on(made):
    folder, _ = made
    said = (folder / "stopped.txt").read_text()
    assert "dcgan-3: stopped with status 130; see " in said
    assert said.endswith("status 130")
    assert "resumed after" in (folder / "work/dcgan-3/train.log").read_text()


def test_everything_is_written(made):
    folder, _ = made
    found = json.loads((folder / "docs/results.json").read_text())
    assert list(found["runs"]) == ["dcgan-3"]
    run = found["runs"]["dcgan-3"]
    assert run["sha256 of generator.params after the first epoch"] == run["sha256"]["raw"]  # there is one epoch
    assert set(run["final"]) == {"raw", "EMA", "best"}
    assert (folder / "docs/images/results.png").stat().st_size > 10_000
    card = (folder / "dcgan/pretrained/README.md").read_text()
    assert run["sha256"]["EMA"] in card
    assert f"| {run['final']['EMA']['frechet']:.2f} |" in card


def test_the_pretrained_weights_draw(made, tmp_path, say):
    folder, _ = made
    drawn = say(sample.main, folder / "dcgan/pretrained", "--out", tmp_path / "grid.png")
    assert (drawn.status, drawn.err) == (0, "")
    assert str(folder) not in (folder / "dcgan/pretrained/config.json").read_text()


def test_the_report_is_made_of_the_json_alone(made, tmp_path, say):
    folder, flags = made
    docs = Path(shutil.copytree(folder / "docs", tmp_path / "docs"))
    (docs / "results.md").unlink()
    again = say(results.main, *flags, "--out", docs, "--work-dir", "/nowhere", "--report-only")
    assert (again.status, again.err) == (0, "")
    assert (docs / "results.md").read_bytes() == (folder / "docs/results.md").read_bytes()


def test_what_is_not_finished_is_left_out_by_name(made, tmp_path, say):
    flags = made[1]
    more = ["--recipes", "dcgan", "lsgan", "--seeds", 3, 4, "--out", tmp_path, "--publish-to", tmp_path]
    done = say(results.main, *flags, *more, "--finished")
    assert (done.status, done.err) == (0, "")
    assert list(json.loads((tmp_path / "results.json").read_text())["runs"]) == ["dcgan-3"]
    check_refused(say(results.main, *flags, *more, "--finished", "--seeds", 5), "no finished run")
    found = json.loads((tmp_path / "results.json").read_text())
    found["runs"]["lsgan-4"] = {**found["runs"]["dcgan-3"], "recipe": "lsgan", "seed": 4}
    assert "left out: DCGAN seed 4, LSGAN seed 3." in report(found)
    assert "| LSGAN |  | ![lsgan-4](images/results_lsgan-4.png) |" in report(found)


def test_runs_of_another_day_are_joined_by_add(made, tmp_path, say):
    folder, flags = made
    kept = json.loads((folder / "docs/results.json").read_text())
    changed = {"recipe": "lsgan --linear-decay", "seed": 1, "processor": "another"}
    kept["runs"] = {"lsgan-linear-decay-1": {**kept["runs"]["dcgan-3"], **changed}}
    (tmp_path / "results.json").write_text(json.dumps(kept))
    both = [*flags, "--out", tmp_path, "--publish-to", tmp_path, "--finished", "--add"]
    done = say(results.main, *both)
    assert (done.status, done.err) == (0, "")
    written = (tmp_path / "results.json").read_bytes()
    found = json.loads(written)
    assert list(found["runs"]) == ["lsgan-linear-decay-1", "dcgan-3"]  # by seed
    assert found["runs"]["lsgan-linear-decay-1"] == kept["runs"]["lsgan-linear-decay-1"]
    written_down = (tmp_path / "results.md").read_text()
    assert "| another |" in written_down
    assert "| LSGAN --linear-decay EMA |" in written_down
    assert not (tmp_path / "lsgan").exists()  # whose weights are not here
    other = say(results.main, *both, "--samples", 100)
    check_refused(other, "samples was 200 in results.json and is now 100")
    assert (tmp_path / "results.json").read_bytes() == written
    with pytest.raises(UserError, match="judge was"):
        results.check_fits(kept, judge="another")


def test_figures_are_means_over_seeds(made):
    folder, _ = made
    found = json.loads((folder / "docs/results.json").read_text())
    other = json.loads(json.dumps(found["runs"]["dcgan-3"]))
    other["seed"], other["final"]["raw"]["frechet"] = 4, found["runs"]["dcgan-3"]["final"]["raw"]["frechet"] + 2
    found["runs"]["dcgan-4"] = other
    values = [run["final"]["raw"]["frechet"] for run in found["runs"].values()]
    assert f"{np.mean(values):.2f} ± 1.41" in report(found)
    assert spread_of([1.0, 3.0]) == "2.00 ± 1.41"
    assert spread_of([1.0]) == "1.00"


def test_a_run_that_fails_stops_the_report(tmp_path, capsys):
    flags = ["--seeds", "0", "--data-dir", str(tmp_path), "--work-dir", str(tmp_path), "--out", str(tmp_path / "docs")]
    status = results.main(flags)
    assert status == 2
    assert capsys.readouterr().out.count("stopped with status 2") == 2
    assert not (tmp_path / "docs").exists()


def test_no_report_without_results(tmp_path, capsys):
    for trouble, content in (("No such file", None), ("damaged", "{")):
        if content:
            (tmp_path / "results.json").write_text(content)
        for flag in ("--report-only", "--add"):
            assert results.main([flag, "--out", str(tmp_path)]) == 2
            assert f"results.json: {trouble}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["docs/reading-results.md", "docs/reading-results.zh-CN.md"])
def test_the_pages_on_the_results_quote_the_report(name):
    lines = (ROOT / name).read_text().splitlines()
    tables = [line for line in lines if " ± " in line or line.startswith(("| real, ", "| noise"))]
    quoted = [line for line in tables if line.startswith("| ")]
    assert sum(line.startswith(("| DCGAN ", "| LSGAN ")) for line in quoted) >= 6
    assert sum(line.startswith("| real, ") for line in quoted) == 2
    assert set(quoted) <= set((ROOT / "docs/results.md").read_text().splitlines())


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_four_rows_are_of_the_json(name):
    """DCGAN, LSGAN, what is shipped, real images: Fréchet distance, recall, share recognised."""
    found = json.loads((ROOT / "docs/results.json").read_text())
    shipped = hashlib.sha256((ROOT / "dcgan/pretrained/generator.params").read_bytes()).hexdigest()
    runs = {
        family: [run["final"]["EMA"] for run in found["runs"].values() if run["recipe"] == family]
        for family in ("dcgan", "lsgan")
    }
    members = [
        *runs.values(),
        [run["final"]["EMA"] for run in found["runs"].values() if run["sha256"]["EMA"] == shipped],
        [found["anchors"]["real, unseen"]],
    ]
    columns = {"frechet": "{:.2f}", "recall": "{:.3f}", "confident": "{:.3f}"}
    expected = [[spread_of([one[key] for one in member], form) for key, form in columns.items()] for member in members]
    text = (ROOT / name).read_text()
    table = text[text.index("| | Fréchet") :].split("\n\n")[0].splitlines()[2:]
    assert [[cell.strip() for cell in row.strip("|").split("|")[1:]] for row in table] == expected


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_the_readmes_grids_are_of_the_shipped_weights(family, tmp_path, say):
    drawn = say(sample.main, ROOT / family / "pretrained", "--out", tmp_path / "grid.png")
    assert (drawn.status, drawn.err) == (0, "")
    with Image.open(tmp_path / "grid.png") as new, Image.open(ROOT / f"docs/images/pretrained_{family}.png") as shown:
        difference = np.abs(np.asarray(new, np.int16) - np.asarray(shown, np.int16))
    assert difference.max() <= 2  # another processor rounds otherwise


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_what_is_published_is_what_the_report_says(family):
    """The weights of the repository itself, not of a run made here."""
    content = (ROOT / family / "pretrained/generator.params").read_bytes()
    assert len(content) < 5_000_000
    found = json.loads((ROOT / "docs/results.json").read_text())
    hashes = [run["sha256"]["EMA"] for run in found["runs"].values() if run["recipe"] == family]
    assert hashlib.sha256(content).hexdigest() in hashes


def test_the_committed_report_is_made_of_the_committed_json(tmp_path, say):
    again = say(results.main, "--report-only", "--out", shutil.copytree(ROOT / "docs", tmp_path / "docs"))
    assert (again.status, again.err) == (0, "")
    assert (tmp_path / "docs/results.md").read_bytes() == (ROOT / "docs/results.md").read_bytes()
