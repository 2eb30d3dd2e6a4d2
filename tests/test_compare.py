"""The picture of several runs: short ones, unequal ones, of any family, one that is still going."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from commands import compare
from commands.compare import draw_runs, load_run, smooth
from common.judging.tables import table
from common.run.grids import sorted_grids
from common.run.runs import labels, load_config, load_metrics, load_troubles
from docs import strip
from tests.conftest import ROOT, check_refused, train
from tests.runs import TOY

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def runs(made_once) -> Path:
    """Two runs of the toy, and a very short one of families of other kinds: a critic without a scale, four networks,
    reconstructions."""
    small = ["--batch-size", 8, "--max-steps", 2]

    def make(folder: Path) -> None:
        made = [("long", "toy", ["--max-steps", 150]), ("short", "toy", ["--max-steps", 5])]
        made += [("wgan_gp", "wgan_gp", [*small, "--critic-steps", 1])]
        made += [("cyclegan", "cyclegan", small), ("bigan", "bigan", small)]
        for name, family, flags in made:
            assert train(family, *TOY, *flags, "--output-dir", folder / name) == 0

    return made_once("compared", make)


def test_runs_of_different_length_and_family(runs, tmp_path, say):
    folders = [runs / name for name in ("long", "short", "bigan")]
    said = say(compare.main, *folders, "--out", tmp_path / "compare.png")
    assert (said.status, said.err) == (0, "")
    assert "long (150 steps), short (5 steps), bigan (2 steps)" in said.out
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.width > 1500
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100


def test_runs_of_different_kinds(runs, tmp_path, say):
    """A critic without a scale has no scores to show: its other columns stand there."""
    names = ["wgan_gp", "cyclegan", "bigan"]
    said = say(compare.main, *(runs / name for name in names), "--out", tmp_path / "a.png")
    assert (said.status, said.err) == (0, "")
    figure = draw_runs([load_run(runs / name) for name in names], 0.9)
    losses, scores, grids, *_ = figure.subfigs
    assert [axes.get_title() for axes in losses.axes] == names  # once, above the column
    taught = ["D(x), real", "D(G(z)), fake", "0.5: D cannot tell"]
    curves = [axes.get_legend_handles_labels()[1] for axes in scores.axes]
    assert curves == [["distance", "penalty"], taught, taught]
    assert [axes.get_title() for axes in grids.axes] == ["epoch 1, batch 1"] * 3


def test_the_players_colours_are_those_of_the_pages_and_no_legend_lies_on_a_curve(runs):
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("watch.html", "play.html")]
    for name, colour in (("d", compare.D_COLOUR), ("g", compare.G_COLOUR), ("real", compare.REAL_COLOUR)):
        assert all(f"--{name}: {colour};" in page for page in pages)
    figure = draw_runs([load_run(runs / "long"), load_run(runs / "short")], 0.9)
    figure.canvas.draw()
    for axes in (axes for part in figure.subfigs[:2] for axes in part.axes):
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1
        drawn = {line.get_label(): line.get_color() for line in axes.lines}
        assert {"D": compare.D_COLOUR, "G": compare.G_COLOUR}.items() <= drawn.items() or "D(x), real" in drawn


def test_whether_there_is_a_scale_is_kept_with_the_run(runs):
    assert load_run(runs / "wgan_gp").scores is None
    assert load_run(runs / "bigan").scores == [0, 1]


def test_a_config_that_says_nothing_of_scores_has_no_scale(runs, tmp_path):
    run = Path(shutil.copytree(runs / "short", tmp_path / "old"))
    config = run / "config.json"
    config.write_text(config.read_text().replace('"scores"', '"unknown"'))
    assert load_run(run).scores is None


def test_a_run_still_going(runs, tmp_path, say):
    """Its last line is half written and it has no grid yet."""
    run = Path(shutil.copytree(runs / "long", tmp_path / "going"))
    shutil.rmtree(run / "samples")
    (run / "losses.csv").write_text((run / "losses.csv").read_text()[:-20])
    said = say(compare.main, run, "--out", tmp_path / "a.svg", "--smoothing", 0)
    assert (said.status, said.err) == (0, "")
    assert "going (149 steps)" in said.out


def test_published_runs_have_names_lengths_and_no_blank_panels(tmp_path, say):
    """Their folders have one name, their rows are of a hundred steps, they have no grids."""
    folders = [ROOT / "dcgan/pretrained", ROOT / "lsgan/pretrained"]
    said = say(compare.main, *folders, folders[0], "--out", tmp_path / "a.png")
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("a.png: dcgan/pretrained (11,250 steps), lsgan/pretrained (15,000 steps)\n")
    figure = draw_runs([load_run(folder) for folder in folders], 0.9)
    drawn = [axes for part in figure.subfigs for axes in part.axes]
    assert all(axes.lines or axes.tables for axes in drawn)
    assert [axes.get_title() for axes in drawn if axes.get_title()] == ["pretrained"] * 2


def test_runs_without_scores_and_grids_leave_their_panels_out(runs, tmp_path):
    run = Path(shutil.copytree(runs / "wgan_gp", tmp_path / "bare"))
    shutil.rmtree(run / "samples")
    (run / "losses.csv").write_text("step,epoch,batch,loss_d,loss_g\n0,0,0,1.0,2.0\n")
    (alone,) = [axes for part in draw_runs([load_run(run)], 0.9).subfigs for axes in part.axes]
    assert alone.get_title() == "bare"
    figure = draw_runs([load_run(run), load_run(runs / "short")], 0.9)
    assert [[axes.axison for axes in part.axes] for part in figure.subfigs[:2]] == [[True, True], [False, True]]
    assert [bool(axes.images) for axes in figure.subfigs[2].axes] == [False, True]


def test_a_loss_without_a_name_is_a_curve(runs, tmp_path):
    """As a student's family may have; it is no "other" column."""
    run = Path(shutil.copytree(runs / "wgan_gp", tmp_path / "bare"))
    shutil.rmtree(run / "samples")
    (run / "losses.csv").write_text("step,epoch,batch,loss\n0,0,0,1.0\n1,0,1,2.0\n")
    (alone,) = [axes for part in draw_runs([load_run(run)], 0.9).subfigs for axes in part.axes]
    assert [text.get_text() for text in alone.get_legend().get_texts()] == ["loss"]


def test_names_tell_runs_apart():
    a, b, c = Path("/x/work/dcgan"), Path("/x/work/best/dcgan"), Path("/y/work/lsgan")
    assert labels([a, c]) == ["dcgan", "lsgan"]
    assert labels([a, b]) == ["work/dcgan", "best/dcgan"]
    assert labels([a, b, c]) == ["work/dcgan", "best/dcgan", "work/lsgan"]
    assert labels([a, a]) == ["dcgan", "dcgan"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nowhere"], "nowhere/config.json"),
        (["{run}", "--out", "a.txt"], "--out a.txt: expected a name that ends in"),
        (["{run}", "--out", "no/a.png"], "there is no folder no"),
        (["{run}", "--smoothing", "1"], "--smoothing"),
        ([], "RUN_DIR"),
    ],
)
def test_bad_input(runs, tmp_path, monkeypatch, say, flags, words):
    monkeypatch.chdir(tmp_path)
    check_refused(say(compare.main, *(flag.format(run=runs / "short") for flag in flags)), words)


def test_empty_losses_are_said(runs, tmp_path, say):
    run = Path(shutil.copytree(runs / "short", tmp_path / "new"))
    for content, words in (
        ("", "no losses in it yet"),
        ("step,epoch,ba", "no losses in it yet"),
        ("step,epoch,batch,loss_d,loss_g\n", "no losses in it yet"),
    ):
        (run / "losses.csv").write_text(content)
        check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), words)


def test_the_last_metrics_are_shown(judged):
    figure = draw_runs([load_run(judged)], 0.9)
    texts = [cell.get_text().get_text() for part in figure.subfigs for axes in part.axes for table in axes.tables
             for cell in table.get_celld().values()]  # fmt: skip
    last = load_metrics(judged)[-1]
    assert f"{last['raw']['frechet']:.3f}" in texts
    assert f"{last['ema']['frechet']:.3f}" in texts


def test_judgements_of_an_earlier_version_have_a_dash_for_what_it_did_not_measure(runs, tmp_path):
    run = Path(shutil.copytree(runs / "long", tmp_path / "early"))
    line = {"step": 149, "epoch": 0, "raw": {"frechet": 12.5, "precision": 0.5, "recall": 0.25}}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    figure = draw_runs([load_run(run)], 0.9)
    (table,) = (table for part in figure.subfigs for axes in part.axes for table in axes.tables)
    texts = [cell.get_text().get_text() for (row, _), cell in table.get_celld().items() if row == 1]
    assert texts == ["early, raw", "1", "12.500", "0.500", "0.250", "–", "–", "–"]


def test_smoothing_by_hand():
    np.testing.assert_allclose(smooth(np.full(50, 3.0), 0.9, np.arange(50)), 3)  # no pull to 0 at the start
    average, weight, expected = 0.0, 0.0, []
    values = np.random.default_rng(0).normal(size=30)
    for value in values:
        average = 0.8 * average + 0.2 * value
        weight = 0.8 * weight + 0.2
        expected.append(average / weight)
    steps = np.arange(30)
    np.testing.assert_allclose(smooth(values, 0.8, steps), expected)
    gaps = {"weight": 0.8, "steps": np.insert(steps, [0, 9], 7)}
    np.testing.assert_allclose(smooth(np.insert(values, [0, 9], np.nan), **gaps), np.insert(expected, [0, 9], np.nan))


def test_published_curves_are_smoothed_over_as_many_steps():
    """A row of theirs is the mean of 100: after a leap they do not lag behind the run that they are of."""
    whole = np.where(np.arange(2000) < 1000, 2.0, 1.0)
    means, last = whole.reshape(-1, 100).mean(axis=1), np.arange(99, 2000, 100)
    exact, published = smooth(whole, 0.98, np.arange(2000))[last], smooth(means, 0.98, last)
    np.testing.assert_allclose(published, exact, atol=0.15)
    assert published[-1] == pytest.approx(1, abs=1e-3)
    early = np.where(np.arange(2000) < 100, 2.0, 1.0)  # the first row, too, is of 100 steps
    exact = smooth(early, 0.98, np.arange(2000))[last]
    np.testing.assert_allclose(smooth(early.reshape(-1, 100).mean(axis=1), 0.98, last)[2:], exact[2:], atol=0.02)
    assert smooth(np.array([2.0]), 0.98, np.array([99])).tolist() == [2.0]
    assert smooth(np.array([]), 0.98, np.array([])).tolist() == []


@pytest.mark.parametrize(
    ("dataset", "judge", "apart"), [("digits", "one", 0), ("mnist", "one", 1), ("digits", "two", 1)]
)
def test_distances_that_cannot_be_compared_are_told_apart(runs, tmp_path, dataset, judge, apart):
    shown = []
    for name, data, by in (("here", "digits", "one"), ("there", dataset, judge)):
        line = {"step": 149, "epoch": 0, "judge": by, "raw": {"frechet": 12.5}}
        shown.append(load_run(runs / "long", name)._replace(dataset=data, metrics=[line]))
    figure = draw_runs(shown, 0.9)
    (axes,) = (axes for part in figure.subfigs for axes in part.axes if axes.tables)
    cells = axes.tables[0].get_celld()
    names = [cells[row, 0].get_text().get_text() for row in (1, 2)]
    assert names == (["here (digits), raw", f"there ({dataset}), raw"] if apart else ["here, raw", "there, raw"])
    assert axes.get_title() == ("of different data sets or judges: not to be compared" if apart else "")


def test_a_strip_has_a_column_for_each_step_that_was_reached(runs, tmp_path, say):
    """As on the first screens of dcgan/README.md and lsgan/README.md."""
    with Image.open(load_run(runs / "long").last_grid) as grid:
        side = grid.width
    assert strip.strip([runs / "long"], steps=(100, 150, 1000)).width == 2 * side + strip.GAP
    said = say(strip.main, runs / "long", "--out", tmp_path / "new/a.png")
    assert (said.status, said.err) == (0, "")
    with Image.open(tmp_path / "new/a.png") as picture:
        assert picture.width == side
    both = say(strip.main, runs / "long", runs / "short", "--out", tmp_path / "a.png")
    check_refused(both, f"{runs / 'short'}: 5 steps are done, 100 are shown first")


def test_a_strip_of_a_run_without_d_has_another_loss(runs, tmp_path):
    run = Path(shutil.copytree(runs / "long", tmp_path / "autoencoder"))
    text = (run / "losses.csv").read_text()
    (run / "losses.csv").write_text(text.replace("loss_d", "loss_a", 1))
    assert strip.column(run, 100).height > 2 * strip.LINE


def test_a_strip_of_a_run_without_grids_there_says_how_to_train(runs, tmp_path, say):
    run = Path(shutil.copytree(runs / "long", tmp_path / "bare"))
    shutil.rmtree(run / "samples")
    check_refused(say(strip.main, run, "--out", tmp_path / "a.png"), "no grid after 100 steps; train with")


def test_lines_of_metrics_that_are_none_are_left_out(runs, tmp_path, judged, say):
    """A power cut leaves a half; a person who edits, anything."""
    last = load_metrics(judged)[-1]
    raw = {**last["raw"], "frechet": float("nan")}
    broken = [
        5,
        {**last, "raw": []},
        {**last, "raw": {"frechet": 1.0, "kernel": None}},
        {**last, "raw": raw},
        {**last, "raw": {**last["raw"], "frechet": 10**400}},
        {**last, "ema": None},
    ]
    broken += [{**last, "step": "9"}, {**last, "epoch": None}, {"step": 9, "trouble": [], "advice": ""}]
    earlier = {**last, "raw": {"frechet": 1.0}}  # a version that had fewer metrics
    lines = "".join(json.dumps(line) + "\n" for line in [earlier, last, *broken])
    run = Path(shutil.copytree(runs / "short", tmp_path / "run"))
    (run / "metrics.jsonl").write_text(f'{lines}{{"step": 19, "ep')
    assert (load_metrics(run), load_troubles(run)) == ([earlier, last], [])
    assert "| –" in table({"run": earlier["raw"]})
    assert say(compare.main, run, "--out", tmp_path / "a.png").status == 0


@pytest.mark.parametrize("damage", ["cut", "none"])
def test_a_grid_that_is_damaged_is_named(runs, tmp_path, say, damage):
    run = Path(shutil.copytree(runs / "short", tmp_path / "run"))
    last = sorted_grids(run / "samples")[-1]
    last.write_bytes({"cut": last.read_bytes()[:-30], "none": b"no picture"}[damage])
    check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), f"{last}: a grid that cannot be read")
    assert not list(tmp_path.glob("*a.png*"))


def test_numbers_too_large_to_draw(runs, tmp_path, say):
    run = shutil.copytree(runs / "short", tmp_path / "run")
    lines = (run / "losses.csv").read_text().splitlines()
    for place in (1, 2):
        row = lines[place].split(",")
        lines[place] = ",".join([*row[:3], f"1.{place}e308", *row[4:]])
    (run / "losses.csv").write_text("\n".join(lines) + "\n")
    assert say(compare.main, run, "--out", tmp_path / "a.png").status == 0
    config = json.loads((run / "config.json").read_text())
    for name, value in (("scores", [-1.7e308, 1.7e308]), ("processes", "2")):
        (run / "config.json").write_text(json.dumps({**config, name: value}))
        check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), f"{name} is {value!r}, which cannot be")


def test_numbers_that_are_none_are_said(runs, tmp_path, say):
    """Wherever they stand in a run of somebody else's."""
    run = tmp_path / "run"
    shutil.copytree(runs / "short", run)
    rows = (run / "losses.csv").read_text().splitlines()
    (run / "losses.csv").write_text("\n".join([*rows, "nan" + rows[-1][rows[-1].index(",") :]]) + "\n")
    check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), "losses.csv: not a table of losses")
    (run / "losses.csv").write_text("\n".join(rows) + "\n")
    (run / "losses.csv").write_text("\n".join([*rows, "1e300" + rows[-1][rows[-1].index(",") :]]) + "\n")
    check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), "losses.csv: not a table of losses")
    (run / "losses.csv").write_text("\n".join(rows) + "\n")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text("[" * 50_000)
    check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), "config.json: not JSON")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8-sig")
    assert load_config(run)["family"] == config["family"]  # Notepad's mark
    (run / "config.json").write_text(json.dumps({**config, "scores": [float("inf"), 0.0]}))
    check_refused(say(compare.main, run, "--out", tmp_path / "a.png"), "scores")
