"""The picture of several runs: short ones, unequal ones, one that is still going."""

from __future__ import annotations

import shutil

from common.compare import smooth
from tests.conftest import ROOT, call

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    toy = "tests/toy.py"
    for name, steps, script in (("long", 150, toy), ("short", 5, toy), ("dcgan", 3, "dcgan/train.py")):
        flags = ["--dataset", "digits", "--max-steps", steps, "--eval-every", "0", "--output-dir", folder / name]
        assert call(script, *flags).returncode == 0
    return folder


def test_runs_of_different_length_and_family(runs, tmp_path):
    folders = [runs / name for name in ("long", "short", "dcgan")]
    done = call("-m", "common.compare", *folders, "--out", tmp_path / "compare.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "long (150 steps), short (5 steps), dcgan (3 steps)" in done.stdout
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.width > 1500
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100


def test_a_run_still_going(runs, tmp_path):
    """Its last line is half written and it has no grid yet."""
    run = shutil.copytree(runs / "long", tmp_path / "going")
    shutil.rmtree(run / "samples")
    (run / "losses.csv").write_text((run / "losses.csv").read_text()[:-20])
    done = call("-m", "common.compare", run, "--out", tmp_path / "a.svg", "--smoothing", "0")
    assert done.returncode == 0, done.stderr
    assert "going (149 steps)" in done.stdout


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
def test_bad_input(runs, tmp_path, flags, words):
    flags = [flag.format(run=runs / "short") for flag in flags]
    done = call("-m", "common.compare", *flags, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_empty_losses_are_said(runs, tmp_path):
    run = shutil.copytree(runs / "short", tmp_path / "new")
    (run / "losses.csv").write_text("")
    assert "not a table of losses" in call("-m", "common.compare", run, "--out", tmp_path / "a.png").stderr
    (run / "losses.csv").write_text("step,epoch,batch,loss_d,loss_g\n")
    assert "no losses in it yet" in call("-m", "common.compare", run, "--out", tmp_path / "a.png").stderr


def test_smoothing_by_hand():
    np.testing.assert_allclose(smooth(np.full(50, 3.0), 0.9), 3)  # no pull to 0 at the start
    average, weight, expected = 0.0, 0.0, []
    values = np.random.default_rng(0).normal(size=30)
    for value in values:
        average = 0.8 * average + 0.2 * value
        weight = 0.8 * weight + 0.2
        expected.append(average / weight)
    np.testing.assert_allclose(smooth(values, 0.8), expected)
