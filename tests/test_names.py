"""Names that users have: GBK bytes from a Chinese Windows, Chinese, dollars, `~`."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
from pathlib import Path

import common
from commands import compare, evaluate, publish, sample
from commands.play import Runs
from common import data
from common.errors import UserError
from common.files.names import readable
from common.run import artifacts
from common.run.lettering import fonts_for, lettered
from common.run.runs import load_config
from tests.conftest import ROOT, call, check_refused, train
from tests.runs import TOY

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

GBK = os.fsdecode("中文".encode("gbk"))


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder whose name is no text."""
    folder = tmp_path / GBK
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes only names that are text")
    return folder


def test_gbk_names_all_the_way(place, run_dir, tmp_path, monkeypatch, say):
    """Pictures, a run, a second run, and every command that reads it."""
    for stream in (sys.stdout, sys.stderr):  # pytest's; a process's own are made to do so
        stream.reconfigure(errors="backslashreplace")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures, run = place / "a", place / f"run {GBK}"
    pictures.mkdir()
    for number in range(8):
        Image.new("L", (9, 9), 30 * number).save(pictures / f"{GBK}{number}.png")
    flags = [*TOY, "--batch-size", 4, "--max-steps", 2, "--output-dir", run]
    for turn in range(2):
        said = say(train, "toy", *flags, "--dataset", "folder", "--data-dir", place / "a")
        assert (said.status, said.err) == (0, ""), said.err
        assert (f"it is now in {readable(str(run))}/earlier-1" in said.out) == (turn == 1)
    for config in (run / "config.json", run / "earlier-1" / "config.json"):
        assert json.loads(config.read_bytes())["flags"]["output_dir"] == str(run)
        config.read_bytes().decode()  # it is UTF-8
    assert load_config(run)["flags"]["data_dir"] == str(pictures)

    said = say(compare.main, run, "--out", place / "a.png")
    assert (said.status, said.err) == (0, "")
    run = Path(shutil.copytree(run_dir, place / GBK))
    assert say(sample.main, run, "--out", place / "b.png", "--npy", place / "b.npy").status == 0
    assert say(evaluate.main, run, "--samples", 100).status == 0
    assert say(publish.main, run, place / "out", "--samples", 100).status == 0
    assert "sample '" in (place / "out" / "README.md").read_text(encoding="utf-8")  # quoted: it is no plain name
    for name in Runs([place]).found():
        name.encode()  # gradio takes nothing else
    (pictures / f"{GBK}.png").write_bytes(b"no")
    check_refused(say(train, "toy", *flags, "--dataset", "folder", "--data-dir", pictures), ".png: no picture")


def test_gbk_names_are_printed_on_any_screen(place, tmp_path):
    """By the command as typed: the last part of the name is no text, the way to it may be."""
    done = call(
        ROOT / "tests/toy.py", *TOY, "--max-steps", 1, "--output-dir", place, cwd=tmp_path, PYTHONIOENCODING="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"results  " in done.stdout
    assert r"\udc" in done.stdout


def test_an_earlier_run_stays_where_it_is_if_the_new_one_cannot_begin(half, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in half.iterdir()}
    with pytest.raises(TypeError):
        artifacts.begin(half, {"flags": object()}, new=True)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifacts.begin(half, {}, new=True)
    assert {path.name: path.stat().st_mtime_ns for path in half.iterdir()} == before


NAMES = ["a$_$b", "a$b", "_x", "\\$a$b$", "a\nb\x01", GBK, "\ue000", "训练一"]


@pytest.mark.parametrize("fonts", ["installed", "none"])
def test_any_name_in_a_figure(judged, monkeypatch, fonts):
    """No warning: pytest makes errors of them. Once with the fonts of this machine, once with Matplotlib's alone."""
    if fonts == "none":
        monkeypatch.setattr(font_manager, "findSystemFonts", list)
    with lettered(NAMES) as shown:
        figure = Figure()
        axes = figure.subplots()
        axes.set_title(" ".join(shown.values()))
        for form in ("png", "svg", "pdf"):
            figure.savefig(io.BytesIO(), format=form)
    assert shown["a$_$b"] == r"a\$_\$b"  # so Matplotlib writes dollars
    assert shown["a\nb\x01"] == r"a\nb\x01"
    assert shown["\ue000"] == r"\ue000"
    assert shown[GBK] == r"\udcd6\udcd0\udcce\udcc4"

    label = "a$_$b 训练一"
    figure = compare.draw_runs([compare.load_run(judged)._replace(label=label)], 0.9)
    figure.savefig(io.BytesIO(), dpi=50)
    assert figure.subfigs[0].axes[0].get_title().startswith(r"a\$_\$b ")


def test_a_font_of_one_weight_is_not_warned_of(judged, caplog):
    """Matplotlib looks for fonts when a figure is saved, some time after it was made."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.NOTSET)
    figure = compare.draw_runs([compare.load_run(judged)._replace(label="中文")], 0.9)
    figure.savefig(io.BytesIO(), dpi=50)
    assert [record.message for record in caplog.records if record.name == "matplotlib.font_manager"] == []


def test_a_program_whose_path_is_no_text_keeps_its_flags(monkeypatch):
    """Paddle sets `sys.argv` to [""] while it is imported, and a training would begin with the defaults."""
    monkeypatch.setattr(common, "argv", ["/tmp/\udcd1/train.py", "--max-steps", "2"])
    monkeypatch.setattr(sys, "argv", [""])
    common.imported()
    assert sys.argv == ["/tmp/\udcd1/train.py", "--max-steps", "2"]


def test_a_chinese_name_finds_a_font_or_is_escaped(monkeypatch):
    families, drawable = fonts_for(set("中文 abc"))
    if "中" in drawable:
        assert len(families) > 1
        with lettered(["中文"]) as shown:
            assert shown["中文"] == "中文"
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/nowhere/a.ttf", str(Path(__file__))])
    with lettered(["中文 a"]) as shown:
        assert shown["中文 a"] == r"\u4e2d\u6587 a"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_a_tilde_is_the_home_in_every_path(home, run_dir, say, monkeypatch, mnist_dir):
    (home / "work").mkdir()
    monkeypatch.chdir(home / "work")
    shutil.copytree(run_dir, home / "run")
    assert say(train, "toy", *TOY, "--max-steps", 1, "--output-dir=~/new").status == 0
    assert say(sample.main, "~/run", "--out=~/a.png", "--npy=~/a.npy").status == 0
    assert say(compare.main, "~/run", "--out=~/b.png").status == 0
    assert {"new", "a.png", "a.npy", "b.png"} <= {path.name for path in home.iterdir()}
    assert not list((home / "work").iterdir())
    assert data.find_idx("mnist", f"~/{mnist_dir.name}") == mnist_dir
    monkeypatch.setenv("MNIST_DIR", f"~/{mnist_dir.name}")
    assert data.find_idx("mnist") == mnist_dir


def test_nobodys_home_is_one_line(say, monkeypatch):
    for called in (
        (train, "toy", *TOY, "--output-dir", "~nobody-here/x"),
        (train, "toy", *TOY, "--data-dir", "~nobody-here/x"),
        (sample.main, "~nobody-here", "--out", "a.png"),
        (compare.main, "~nobody-here"),
    ):
        check_refused(say(*called), "no such home is known; a folder of this name is ./~nobody-here")
    monkeypatch.setenv("MNIST_DIR", "~nobody-here")
    with pytest.raises(UserError, match=r"\$MNIST_DIR: ~nobody-here: no such home"):
        data.find_idx("mnist")
