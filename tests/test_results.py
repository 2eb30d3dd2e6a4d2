"""`make results`: runs to their end, resumable, and a report that is made of its JSON alone."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import publish, results
from commands.results_recipes import EQUAL, everything
from commands.results_report import by_epochs, draw_curves, report, spread_of
from commands.results_summary import won
from common.judging.tables import COLUMNS
from common.run.families import families
from common.run.runs import load_config, load_losses, load_metrics
from docs import hero
from tests.conftest import ROOT, check_refused, here, users_environment
from zoo.fc_gan import FCGAN

import numpy as np
import pytest
from PIL import Image

# The family that takes least; in small batches, so that there is time to stop it.
RECIPE, NAME = "fc_gan --dataset digits --epochs 1 --batch-size 32", "fc_gan-dataset-digits-epochs-1-batch-size-32-3"


FEWER = ("zoo.shared.digits.MEASURED", 200)  # for the family's own yardstick


def flags_for(folder: Path) -> list[object]:
    """Of one short run on digits."""
    flags = ["--recipes", RECIPE, "--seeds", 3, "--samples", 200]
    return [*flags, "--work-dir", folder / "work", "--out", folder / "docs"]


@pytest.fixture(scope="session")
def made(made_once) -> tuple[Path, list[object]]:
    """That run, by the command as typed, told to stop in the middle, then gone on with in this process; its flags."""

    def make(folder: Path) -> None:
        both = [sys.executable, "-m", "commands.results", *map(str, flags_for(folder))]
        losses = folder / "work" / NAME / "losses.csv"
        with subprocess.Popen([*both, "--seeds", "3", "4", "--at-once", "1"], cwd=ROOT, stdout=subprocess.PIPE,
                              text=True, env=users_environment()) as running:  # fmt: skip
            while running.poll() is None and not (losses.exists() and losses.read_text().count("\n") > 10):
                time.sleep(0.01)
            running.terminate()
            (folder / "stopped.txt").write_text(running.communicate(timeout=60)[0] + f"status {running.returncode}")
        assert not (folder / "docs").exists()
        assert not (folder / f"work/{NAME[:-1]}4/config.json").exists()  # not even begun
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(*FEWER)
            assert here(results.main, *flags_for(folder)) == 0

    folder = made_once("results", make)
    return folder, flags_for(folder)


def test_told_to_stop_it_saves_and_the_same_command_goes_on(made):
    folder, _ = made
    said = (folder / "stopped.txt").read_text()
    assert f"{NAME}: stopped with status 130; see " in said
    assert said.endswith("status 130")
    assert "resumed after" in (folder / "work" / NAME / "train.log").read_text()


def test_everything_is_written(made):
    folder, _ = made
    found = json.loads((folder / "docs/results.json").read_text())
    assert list(found["runs"]) == [NAME]
    run, work = found["runs"][NAME], folder / "work" / NAME
    assert (run["recipe"], run["seed"]) == (RECIPE, 3)
    assert set(run["final"]) == {"raw", "EMA", "best"}
    assert run["sha256"]["raw"] == hashlib.sha256((work / "generator.params").read_bytes()).hexdigest()
    judged = load_metrics(work)
    assert run["by epoch"]["ema"] == [pytest.approx(judged[0]["ema"]["frechet"], abs=1e-3)]
    assert run["by epoch"]["loss_d"] == [pytest.approx(load_losses(work)["loss_d"].mean(), abs=1e-4)]
    assert run["by epoch"]["epoch"] == [1]
    assert 0 < run["minutes"] == pytest.approx(json.loads((work / "origin.json").read_text())["seconds"] / 60, abs=0.01)
    assert "curves" not in run
    for picture in ("results.png", f"results_{NAME}.png"):
        assert (folder / "docs/images" / picture).stat().st_size > 10_000


def test_where_d_has_won_is_counted_in_blocks_of_steps():
    lead = np.array([0.9] * 100 + [0.99] * 100 + [0.9] * 100 + [0.96] * 40)
    found = won({"score_real": lead + 0.5, "score_fake": np.full(len(lead), 0.5)})
    assert found == {"first": 100, "share": 0.5}
    assert won({"score_real": lead * 0, "score_fake": lead})["first"] is None


def test_without_recipes_every_grey_family_is_meant():
    wanted = everything()
    assert len(wanted) == len({results.name_of(*each) for each in wanted})
    # One in colour; and one that does not draw yet after so many updates.
    assert {recipe.split()[0] for recipe, _ in wanted} == set(families()) - {"cifar_gan", "self_conditioned"}
    assert [seed for recipe, seed in wanted if recipe.startswith("cgan ")] == [0, 1, 2]
    assert [seed for recipe, seed in wanted if recipe.startswith("bigan ")] == [0]
    assert results.name_of(*wanted[0]) == "dcgan-0"


def test_the_first_table_is_what_is_trained_without_recipes():
    runs = json.loads((ROOT / "docs/results.json").read_text(encoding="utf-8"))["runs"]
    assert {results.name_of(*each): each for each in everything()}.items() <= {
        name: (run["recipe"], run["seed"]) for name, run in runs.items()
    }.items()


def test_the_report_is_made_of_the_json_alone(made, tmp_path, say):
    folder, flags = made
    docs = Path(shutil.copytree(folder / "docs", tmp_path / "docs"))
    (docs / "results.md").unlink()
    again = say(results.main, *flags, "--out", docs, "--work-dir", "/nowhere", "--report-only")
    assert (again.status, again.err) == (0, "")
    assert (docs / "results.md").read_bytes() == (folder / "docs/results.md").read_bytes()


def test_what_is_not_finished_is_left_out(made, tmp_path, say, monkeypatch):
    flags = made[1]
    monkeypatch.setattr(*FEWER)
    more = ["--recipes", RECIPE, RECIPE.replace("fc_gan", "lsgan"), "--seeds", 3, 4, "--out", tmp_path]
    done = say(results.main, *flags, *more, "--finished")
    assert (done.status, done.err) == (0, "")
    assert list(json.loads((tmp_path / "results.json").read_text())["runs"]) == [NAME]
    check_refused(say(results.main, *flags, *more, "--finished", "--seeds", 5), "no finished run")
    found = json.loads((tmp_path / "results.json").read_text())
    other = {"recipe": "lsgan --epochs 1", "seed": 4, "picture": "lsgan-4.png"}
    found["runs"]["lsgan-4"] = {**found["runs"][NAME], **other}
    assert "| LSGAN --epochs 1 |  | ![lsgan-4](images/lsgan-4.png) |" in report(found)


def test_a_recipe_means_what_the_run_was_made_with(made, tmp_path, monkeypatch, say):
    """A run's folder has its recipe's name; what that leaves to defaults may mean something else by now."""
    _, flags = made
    names = list(inspect.signature(FCGAN).parameters)
    now = dict(zip(names, FCGAN.__init__.__defaults__), penalty=7.5)
    monkeypatch.setattr(FCGAN.__init__, "__defaults__", tuple(now.values()))
    said = say(results.main, *flags, "--out", tmp_path / "docs", "--finished")
    check_refused(said, f"{NAME}: made with --penalty 1.0, {RECIPE} means 7.5 today")
    assert not (tmp_path / "docs").exists()


def test_runs_of_another_day_are_joined_by_add(made, tmp_path, say, monkeypatch):
    folder, flags = made
    monkeypatch.setattr(*FEWER)
    kept = json.loads((folder / "docs/results.json").read_text())
    changed = {"recipe": "lsgan --linear-decay", "seed": 1, "processor": "another"}
    kept["runs"] = {"lsgan-linear-decay-1": {**kept["runs"][NAME], **changed}}
    (tmp_path / "results.json").write_text(json.dumps(kept))
    both = [*flags, "--out", tmp_path, "--finished", "--add"]
    done = say(results.main, *both)
    assert (done.status, done.err) == (0, "")
    written = (tmp_path / "results.json").read_bytes()
    found = json.loads(written)
    assert list(found["runs"]) == ["lsgan-linear-decay-1", NAME]  # by seed
    assert found["runs"]["lsgan-linear-decay-1"] == kept["runs"]["lsgan-linear-decay-1"]
    written_down = (tmp_path / "results.md").read_text()
    assert "| another |" in written_down
    assert "| LSGAN --linear-decay EMA |" in written_down
    other = say(results.main, *both, "--samples", 100)
    check_refused(other, "--samples was 200 in results.json and is now 100")
    assert (tmp_path / "results.json").read_bytes() == written
    (tmp_path / "results.json").write_text(json.dumps({**kept, "judges": {"digits": "another"}}))
    check_refused(say(results.main, *both), "the judge of digits was another in results.json")
    (tmp_path / "results.json").write_text(json.dumps({"runs": {}}))
    check_refused(say(results.main, *both), "of an earlier version")


def test_another_add_may_come_in_while_the_pictures_are_drawn(made, tmp_path, say, monkeypatch):
    folder, flags = made
    monkeypatch.setattr(*FEWER)
    path = Path(shutil.copy(folder / "docs/results.json", tmp_path / "results.json"))
    draw, kept = results.draw_grids, json.loads(path.read_text())

    def meanwhile(*given: object) -> None:
        draw(*given)
        theirs = {"lsgan-1": {**kept["runs"][NAME], "recipe": "lsgan", "seed": 1}}
        path.write_text(json.dumps({**kept, "runs": {**kept["runs"], **theirs}}))

    monkeypatch.setattr(results, "draw_grids", meanwhile)
    assert say(results.main, *flags, "--out", tmp_path, "--finished", "--add").status == 0
    assert list(json.loads(path.read_text())["runs"]) == ["lsgan-1", NAME]


def test_two_recipes_of_one_name_are_refused(made, tmp_path, say):
    """Those of the first table go without their length; one would take the other's place."""
    folder, flags = made
    out, equal = ["--out", tmp_path, "--work-dir", tmp_path], f"lsgan{EQUAL}"
    check_refused(say(results.main, *out, "--recipes", "lsgan", equal), f"lsgan-0 is {equal} and lsgan; take one of")
    kept = json.loads((folder / "docs/results.json").read_text())
    kept["runs"][NAME]["recipe"] += EQUAL
    (tmp_path / "results.json").write_text(json.dumps(kept))
    check_refused(say(results.main, *flags, "--out", tmp_path, "--finished", "--add"), f"{NAME} is {RECIPE} and ")


def test_a_training_that_is_being_started_is_told_to_stop_as_well(tmp_path, monkeypatch):
    """SIGTERM comes after it was looked for, and before the training is among those that are told."""
    start, begun = subprocess.Popen, []

    def started(*_called: object, **_streams: object) -> subprocess.Popen:
        begun.append(start([sys.executable, "-c", "import time; time.sleep(60)"]))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)  # it is heard in the main thread
        return begun[-1]

    monkeypatch.setattr(results.subprocess, "Popen", started)
    monkeypatch.setattr(results, "commit", lambda: "")
    status = results.main(["--recipes", "lsgan", "--work-dir", str(tmp_path), "--out", str(tmp_path / "docs")])
    assert (status, begun[0].returncode) == (results.INTERRUPTED, -signal.SIGTERM)


def test_a_damaged_note_of_where_a_run_was_made_is_said(tmp_path, say):
    (tmp_path / "lsgan-0").mkdir()
    (tmp_path / "lsgan-0/origin.json").write_text("{")
    flags = ["--recipes", "lsgan", "--work-dir", tmp_path, "--out", tmp_path / "docs"]
    for more in ([], ["--finished"]):
        check_refused(say(results.main, *flags, *more), f"{tmp_path}/lsgan-0/origin.json: damaged")


def test_the_first_table_has_a_row_a_family(made):
    """A family of three seeds, one that draws nothing from noise, one of another data set with another judge."""
    found = json.loads((made[0] / "docs/results.json").read_text())
    run, anchors = found["runs"][NAME], found["anchors"]["digits"]
    final = {"raw": {**run["final"]["raw"], "frechet": 9.0}, "EMA": {**run["final"]["EMA"], "frechet": 8.0}}
    tried = {"raw": {"read as asked": [0.9, 0.1]}, "EMA": {"read as asked": [0.95, 0.1]}}
    shared = {**run, "seed": 0, "dataset": "mnist", "minutes": 12.2}
    one = {**shared, "recipe": f"cgan{EQUAL}", "final": final, "yardsticks": tried}
    two = {
        **one,
        "seed": 1,
        "yardsticks": {"EMA": {"read as asked": [0.97, 0.1]}},
        "final": {"EMA": {**final["EMA"], "frechet": 10.0}},
        "minutes": 13.8,
    }
    neither = {**one, "recipe": f"cyclegan{EQUAL}", "final": {}, "yardsticks": {"raw": {"way back": [28.0, 12.9]}}}
    neither["earlier code"] = "no D"
    colour = {**one, "recipe": f"cifar_gan{EQUAL}", "dataset": "cifar10"}
    runs = {name: {**row, "picture": f"{name}.png"} for name, row in zip("abcd", (neither, one, two, colour))}
    text = report({**found, "runs": runs, "anchors": {"mnist": anchors, "cifar10": anchors}})
    rows = [line for line in text.splitlines() if line.startswith("| C")]
    assert rows[0].startswith("| CGAN | [0](images/b.png), [1](images/c.png) | 9.00 ± 1.41 | ")
    assert "| read as asked 0.960 ± 0.014 (0.1) | 13 ± 1 | `python zoo/cgan.py` | ![CGAN](images/b.png) |" in rows[0]
    assert rows[1].startswith(
        "| CycleGAN (earlier code: no D) | [0](images/a.png) | – | – | – | – | way back 28 (12.9) | 12 |"
    )
    assert rows[2].startswith("| CIFAR-GAN, cifar10 | [0](images/d.png) | 8.00 |")
    assert sum(line.startswith("| real, ") for line in text.splitlines()) == 4


def test_figures_are_means_over_seeds(made):
    folder, _ = made
    found = json.loads((folder / "docs/results.json").read_text())
    other = json.loads(json.dumps(found["runs"][NAME]))
    other["seed"], other["final"]["raw"]["frechet"] = 4, found["runs"][NAME]["final"]["raw"]["frechet"] + 2
    found["runs"]["another"] = other
    values = [run["final"]["raw"]["frechet"] for run in found["runs"].values()]
    assert f"{np.mean(values):.2f} ± 1.41" in report(found)
    assert spread_of([1.0, 3.0]) == "2.00 ± 1.41"
    assert spread_of([1.0]) == "1.00"


def test_a_run_that_fails_stops_the_report(tmp_path, capsys):
    flags = ["--recipes", "dcgan", "lsgan", "--data-dir", str(tmp_path), "--work-dir", str(tmp_path)]
    status = results.main([*flags, "--out", str(tmp_path / "docs")])
    assert status == 2
    assert capsys.readouterr().out.count("stopped with status 2") == 2
    assert not (tmp_path / "docs").exists()


def test_what_cannot_be_is_refused(tmp_path, say):
    flags = ["--out", tmp_path, "--work-dir", tmp_path]
    check_refused(say(results.main, *flags, "--seeds", 1), "--seeds: they are of --recipes")
    check_refused(say(results.main, *flags, "--recipes", "nogan"), "does not begin with one of")
    for recipe in ("dcgan --seed 3", "dcgan --seed=3"):
        check_refused(say(results.main, *flags, "--recipes", recipe), "this command sets --seed itself")
    for recipe in ("dcgan --dataset folder", "dcgan --help"):  # said now, not after a training
        check_refused(say(results.main, *flags, "--recipes", recipe), "what is trained here is judged")
    assert results.known_recipe("dcgan --epochs=10") == "dcgan --epochs 10"


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


def best_recipes() -> dict[str, str]:
    """What `make best` trains, by family."""
    found = dict(re.findall(r"^(\w+) := (.*)$", (ROOT / "Makefile").read_text(), re.M))
    best = {family: found[f"BEST_{family}"].replace(f"$({family}_FLAGS)", found[f"{family}_FLAGS"])
            for family in ("DCGAN", "LSGAN")}  # fmt: skip
    return {family.lower(): f"{family.lower()} {flags}" for family, flags in best.items()}


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readmes_rows_are_of_the_json(name):
    """DCGAN and LSGAN, by the course's recipe and by `make best`, and real images: Fréchet distance, recall, sure."""
    found = json.loads((ROOT / "docs/results.json").read_text())
    members = [
        [run["final"]["EMA"] for run in found["runs"].values() if run["recipe"] == recipe]
        for family, best in best_recipes().items()
        for recipe in (f"{family} --epochs 10", best)
    ]
    assert [len(runs) for runs in members] == [3, 3, 3, 3]
    columns = {"frechet": "{:.2f}", "recall": "{:.3f}", "confident": "{:.3f}"}
    members.append([found["anchors"]["mnist"]["real, unseen"]])
    expected = [[spread_of([one[key] for one in member], form) for key, form in columns.items()] for member in members]
    text = (ROOT / name).read_text()
    table = text[text.index("| | Fréchet") :].split("\n\n")[0].splitlines()[2:]
    assert [[cell.strip() for cell in row.strip("|").split("|")[1:]] for row in table] == expected


ZOO = ["zoo/README.md", "zoo/README.zh-CN.md"]


def gallery(name: str) -> list[list[str]]:
    """The cells of each family in the zoo's gallery: its name, picture, idea, what to see, figures, flags."""
    text = (ROOT / name).read_text()
    shown = text[text.index("<!-- gallery -->") : text.index("<!-- end -->")]
    rows = lambda table: [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]  # noqa: E731
    tables = [rows(table) for table in shown.split("\n\n")[1:-1]]
    return [[row[place] for row in (head, *rows)] for head, _, *rows in tables for place in range(len(head))]


@pytest.mark.parametrize("name", ZOO)
def test_the_gallerys_figures_are_of_the_json(name):
    """Of the run with these flags and seed 0: what is in bold, and the minutes. Every family is there once."""
    runs, shown = json.loads((ROOT / "docs/results.json").read_text())["runs"], gallery(name)
    found = [re.search(r"\((\w+)\.py\)", title)[1] for title, *_ in shown]
    assert sorted(found) == sorted({*families()} - {"dcgan", "lsgan"})
    for family, (*_, figures, flags) in zip(found, shown):
        if not flags:  # not measured with the present judge
            assert not any(run["recipe"].startswith(family) for run in runs.values())
            continue
        run = runs[results.name_of(f"{family} {re.search('`(.+)`', flags)[1]}", 0)]
        kind = "EMA" if "EMA" in run["final"] else "raw"
        measured = [one for one, _ in run["yardsticks"].get(kind, run["yardsticks"].get("raw", {})).values()]
        measured += [run["final"][kind]["frechet"]] if run["final"] else []
        texts = {form.format(one) for one in measured for form in ("{:.1f}", "{:.2f}", "{:.3f}")}
        assert set(re.findall(r"\*\*(.+?)\*\*", figures)) <= texts, family
        assert re.search(r"\d+(?= (?:minutes|分钟))", flags)[0] == f"{run['minutes']:.0f}", family


@pytest.mark.parametrize("name", ZOO)
def test_a_goal_is_marked_as_reached_where_it_is(name):
    """By the numbers beside it: `**12.3** (≤ 40)`."""
    for title, *_, figures, _ in gallery(name):
        goals = re.findall(r"\*\*([\d.]+)\*\*[ （(]+(?:目标 )?([≤≥]) ([\d.]+)", figures)
        signed = [(float(one), float(goal), 1 if sign == "≤" else -1) for one, sign, goal in goals]
        reached = all(sign * one <= sign * goal for one, goal, sign in signed)
        marked = re.match("(not reached|reached|未达到|达到)[:：]", figures)
        words = ("not reached", "reached") if name == ZOO[0] else ("未达到", "达到")
        assert (marked and marked[1]) == (words[reached] if goals else None), title


@pytest.mark.parametrize("name", ZOO)
def test_the_three_models_are_of_the_json(name):
    """PSNR, SSIM, digits read, Fréchet distances and minutes, in both languages; "nats" is of `losses.csv`."""
    runs = json.loads((ROOT / "docs/results.json").read_text())["runs"]
    text = (ROOT / name).read_text()
    heading = "## Three models on the same layers" if name == ZOO[0] else "## 同样的层，三个模型"
    rows = [row.split(" | ") for row in text[text.index(f"{heading}\n") :].split("\n\n")[2].splitlines()[2:]]
    assert len(rows) == 4
    names = [f"vae_gan-model-{model}-learning-rate-0.0002-0" for model in ("ae", "vae")]
    for run_name, (_, psnr, ssim, alike, distances, _, minutes, _) in zip(
        [*names, "vae_gan-batch-size-64-epochs-6-0", "vae_gan-weight-1-penalty-0-learning-rate-0.0002-0"], rows
    ):
        run = runs[run_name]
        measured = run["yardsticks"]["raw"]
        assert [psnr, ssim] == [f"{measured['PSNR'][0]:.1f}", f"{measured['SSIM'][0]:.2f}"]
        assert alike == f"{measured['read alike'][0]:.3f}"
        assert distances == " / ".join(
            f"{run['final'][kind]['frechet']:.1f}" for kind in ("raw", "EMA") if kind in run["final"]
        )
        assert minutes == f"{run['minutes']:.0f}"


@pytest.mark.parametrize("name", ZOO)
def test_the_common_spaces_and_their_baselines_are_of_the_json(name):
    """The baselines in the table's head are the first row's; the last rows' stand above it."""
    runs = json.loads((ROOT / "docs/results.json").read_text())["runs"]
    above, table = re.search(
        r"(`common_space\.py --constraint.*?)\n\n(\|.*?)\n\n", (ROOT / name).read_text(), re.S
    ).groups()
    head, _, *rows = [[cell.strip() for cell in row.split("|")[2:-2]] for row in table.splitlines()]
    found = [runs[run]["yardsticks"]["raw"] for run in re.findall(r"results_(.+)\.png", table)]
    columns = ["codes know the partner", "codes know the digit", "B to A keeps the digit", "A to B keeps the digit"]
    form = {**dict.fromkeys(columns, "{:.3f}"), "A to B is true": "{:.1f}", "PSNR": "{:.1f}"}
    assert len(rows) == len(found) == 10
    for row, measured in zip(rows, found):
        assert [cell.strip("*") for cell in row] == [form[key].format(measured[key][0]) for key in form]
    floors = [[float(form[key].format(measured[key][1])) for key in form] for measured in (found[0], found[-1])]
    assert [float(re.search(r"[(（]([\d.]+)", cell)[1]) for cell in head] == floors[0]
    assert [float(number) for number in re.findall(r"\d+\.\d+", above)] == floors[1]


@pytest.mark.parametrize(("place", "family"), [*enumerate(hero.FAMILIES)])
def test_the_walk_of_the_readmes_film_is_that_of_the_shipped_weights(place, family):
    walked = [np.asarray(picture, np.int16) for _, picture in hero.walked(family)]
    side = walked[0].shape[0]
    left = place * (side + hero.GAP)
    with Image.open(ROOT / "docs/images/hero.gif") as film:
        assert (ROOT / "docs/images/hero.gif").stat().st_size < 2_000_000
        for index in range(len(walked)):
            film.seek(film.n_frames - len(walked) + index)
            shown = np.asarray(film.convert("L"), np.int16)[hero.LINE :, left : left + side]
            others = [abs(shown - other).mean() for other in walked]
            assert np.argmin(others) == index
            assert others[index] < 256 / hero.GREYS / 2


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_what_is_published_is_what_the_report_says(family):
    """The weights of the repository itself, not of a run made here: those of `make best`."""
    content = (ROOT / family / "pretrained/generator.params").read_bytes()
    assert len(content) < 5_000_000
    found = json.loads((ROOT / "docs/results.json").read_text())
    runs = [run for run in found["runs"].values() if run["recipe"] == best_recipes()[family]]
    hashes = [digest for run in runs for digest in run["sha256"].values()]
    assert hashlib.sha256(content).hexdigest() in hashes


CARDS = [*ROOT.glob("*gan/pretrained/README.md"), *ROOT.glob("zoo/pretrained/*/README.md")]


@pytest.mark.parametrize("card", sorted(CARDS), ids=lambda card: str(card.parent.relative_to(ROOT)))
def test_a_cards_command_makes_the_run_that_it_is_of(card):
    """Also where a default is another one since."""
    assert f"`{publish.recipe(load_config(card.parent))}`" in card.read_text(encoding="utf-8")


def test_a_critics_losses_which_have_no_logarithm_are_not_plotted():
    """Matplotlib would warn, and here a warning fails."""
    run = {"recipe": "wgan_gp --epochs 2", "seed": 0}
    by_epoch = {"epoch": [1, 2], "raw": [9.0, 8.0], "ema": [9.0, 7.0], "loss_d": [-3.0, -2.0]}
    figure = draw_curves({"runs": {"wgan_gp-epochs-2-0": {**run, "by epoch": by_epoch}}})
    figure.savefig(io.BytesIO())
    assert [len(axes.lines) for axes in figure.axes] == [1, 0, 0]


def test_seeds_are_compared_at_the_epochs_that_all_were_judged_at():
    """A full disk may cost a run a judgement."""
    curve = {"epoch": [1, 2], "raw": [9.0, 8.0], "ema": [], "loss_d": [3.0, 2.0]}
    short = {"epoch": [2], "raw": [7.0], "ema": [], "loss_d": [1.0]}
    both = by_epochs({"a": [{"by epoch": curve}, {"by epoch": short}], "b": [{"by epoch": {"epoch": []}}]})
    assert both == {"a": [{"by epoch": {**short, "raw": [8.0], "loss_d": [2.0]}}, {"by epoch": short}]}
    runs = {str(seed): {"recipe": "dcgan", "seed": seed, "by epoch": by} for seed, by in enumerate((curve, short))}
    assert [line.get_xdata().tolist() for line in draw_curves({"runs": runs}).axes[0].lines] == [[2]]


def test_runs_that_ended_within_their_first_epoch_are_reported_without_curves(tmp_path):
    empty = {"epoch": [], "raw": [], "ema": [], "loss_d": [], "score_real": [], "score_fake": []}
    run = {"recipe": "dcgan --max-steps 5", "seed": 0, "dataset": "digits", "by epoch": empty, "picture": "short.png"}
    run |= {"final": {"EMA": dict.fromkeys(COLUMNS, 1.0)}, "commit": "", "processor": "", "versions": {}, "sha256": {}}
    silent = {**run, "recipe": "cyclegan --epochs 2", "final": {}, "yardsticks": {"raw": {"way back": [28.0, 12.9]}}}
    results.write_report({"samples": 100, "anchors": {}, "runs": {"short": run, "silent": silent}}, tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "results.png" not in text
    assert "\n| CycleGAN --epochs 2 | way back 28 (12.9) | ![silent](images/short.png) |\n" in text
    results.write_report({"samples": 100, "anchors": {}, "runs": {"silent": silent}}, tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "way back 28 (12.9)" in text
    assert "\n| | |\n" not in text  # a table of nothing
    assert [path.name for path in tmp_path.iterdir()] == ["results.md"]


def test_a_folder_that_is_no_checkout_has_no_commit(monkeypatch, tmp_path):
    """As of Download ZIP: below another repository that one's commit was reported, without git nothing was trained."""
    with monkeypatch.context() as patched:
        patched.setattr(results, "ROOT", ROOT / "docs")
        assert results.commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert results.commit() == ""


def test_the_committed_report_is_made_of_the_committed_json(tmp_path, say):
    again = say(results.main, "--report-only", "--out", shutil.copytree(ROOT / "docs", tmp_path / "docs"))
    assert (again.status, again.err) == (0, "")
    assert (tmp_path / "docs/results.md").read_bytes() == (ROOT / "docs/results.md").read_bytes()
