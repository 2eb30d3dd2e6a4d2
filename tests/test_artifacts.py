"""Files a run writes: whole or not at all, and showing what they should."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import time
from pathlib import Path

from common.errors import UserError
from common.files.atomic import atomic, part_of
from common.run import artifacts, grids
from common.run.recorder import Recorder
from common.run.runs import load_config, load_losses
from tests.conftest import train
from tests.runs import TOY

import numpy as np
import pytest
from PIL import Image
from visualdl import LogReader


def test_atomic_keeps_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "sub" / "file"
    with atomic(path) as file:
        file.write(b"first")

    def write_half() -> None:
        with atomic(path) as file:
            file.write(b"sec")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
def test_what_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.png").symlink_to("there/a.png")
    for content in (b"1", b"2"):
        with atomic(tmp_path / "link.png") as file:
            file.write(content)
        assert (tmp_path / "there/a.png").read_bytes() == content
        assert (tmp_path / "link.png").is_symlink()
    with atomic(tmp_path / "link.png", keep=tmp_path / "kept.png") as file:  # else it would leave where it leads to
        file.write(b"3")
    assert (tmp_path / "kept.png").is_symlink()
    assert [(tmp_path / name).read_bytes() for name in ("link.png", "kept.png", "there/a.png")] == [b"3", b"2", b"2"]


def test_several_that_write_one_file_at_once_do_not_meet(tmp_path):
    """As two trainings which keep the same judgement; the name is as long as one may be."""
    path = tmp_path / ("名" * 82 + "abc.png")
    with atomic(path) as one:
        one.write(b"one")
        with atomic(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_named_and_no_part_of_it(tmp_path, monkeypatch):
    """On a disk that is read-only an error is all that `unlink` has, too."""

    def refuses(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuses)
        patch.setattr(Path, "unlink", refuses)
        with pytest.raises(OSError, match=r"'.*/a\.json'$"):
            artifacts.save_json(tmp_path / "a.json", {})
    (tmp_path / "losses.csv").touch()
    monkeypatch.setattr(Path, "rename", refuses)  # of what an earlier run wrote
    with pytest.raises(UserError, match=r"/losses\.csv: Read-only file system"):
        artifacts.begin(tmp_path, {}, new=True)


def test_a_link_to_a_folder_that_is_not_there_makes_none(tmp_path):
    """What is written below the place of a disk that is not mounted is hidden once it is."""
    (tmp_path / "link.png").symlink_to("unmounted/a.png")
    with pytest.raises(OSError, match="where there is no folder") as caught, atomic(tmp_path / "link.png"):
        pass
    assert caught.value.filename == str(tmp_path / "link.png")
    assert not (tmp_path / "unmounted").exists()


def test_a_device_stays_one(tmp_path):
    """Root may replace /dev/null."""
    for path in (tmp_path, tmp_path / "pipe"):
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path)
        with pytest.raises(OSError, match="no file, but a folder or a device"), atomic(path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_what_killed_writers_left_goes(tmp_path):
    old, future, young = (part_of(tmp_path / "a.json") for _ in range(3))
    notes = tmp_path / ".notes.part"  # somebody's
    for path, age in ((old, 4000), (future, -4000), (young, 10), (notes, 4000)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    artifacts.save_json(tmp_path / "b.json", {})
    assert set(tmp_path.iterdir()) == {young, notes, tmp_path / "b.json"}
    artifacts.begin(tmp_path, {}, new=False)  # a run, of which there is one at a time in its folder
    assert set(tmp_path.iterdir()) == {notes, tmp_path / "b.json", tmp_path / "config.json"}


def test_a_folder_is_looked_through_once(tmp_path, monkeypatch):
    """Not for each of ten thousand pictures that are written there."""
    looked = []
    monkeypatch.setattr("common.files.atomic.remove_parts", lambda folder, age: looked.append(folder))
    for number in range(3):
        artifacts.save_json(tmp_path / f"{number}.json", {})
    assert looked == [tmp_path]


def test_losses_that_are_deleted_while_it_trains_begin_anew(tmp_path):
    logs = artifacts.Logs(tmp_path, {})
    for step in range(2):
        logs.steps([{"step": step, "epoch": 0, "batch": step, "loss_d": 1.0}])
        lines = (tmp_path / "losses.csv").read_text().splitlines()
        assert lines == ["step,epoch,batch,loss_d", f"{step},0,{step},1.0"]
        (tmp_path / "losses.csv").unlink()


@pytest.mark.parametrize("place", ["another one", "none"])
def test_a_folder_that_is_moved_while_it_trains_becomes_a_whole_run_again(tmp_path, monkeypatch, capsys, place):
    """But for the losses of before."""
    draw, run = Recorder.draw_samples, tmp_path / "run"

    def moves(self, step: int, *rest: object, **named: object) -> None:
        draw(self, step, *rest, **named)
        if step == 20:
            run.rename(tmp_path / "moved")
            if place == "another one":
                run.mkdir()

    monkeypatch.setattr(Recorder, "draw_samples", moves)
    assert train("toy", *TOY, "--max-steps", 61, "--sample-every", 20, "--output-dir", run) == 0
    assert load_config(run) == load_config(tmp_path / "moved")
    assert load_losses(run)["step"].tolist() == [*range(21, 61)]
    assert capsys.readouterr().err.count(f"warning: {run}: moved or removed while this run wrote there") == 1
    assert train("toy", *TOY, "--max-steps", 62, "--sample-every", 20, "--output-dir", run, "--resume") == 0


def test_grid_shows_the_full_range():
    images = np.stack([np.full((1, 32, 32), level, np.float32) for level in (-1, -0.5, 0, 0.5, 1)])
    picture = grids.grid(images, columns=4)
    assert (picture.mode, picture.size) == ("L", (4 * 34 + 2, 2 * 34 + 2))
    pixels = np.asarray(picture)
    found = [int(pixels[2 + i // 4 * 34 + 16, 2 + i % 4 * 34 + 16]) for i in range(5)]
    assert found == [0, 64, 128, 191, 255]


@pytest.mark.parametrize(("count", "frames"), [(1, 1), (5, 5), (200, 60)])
def test_gif_is_bounded_and_ends_on_the_last_grid(tmp_path, count, frames):
    for index in range(count):
        # Names sort by number, not by letter: epoch 10000 comes after epoch 9999.
        picture = Image.fromarray(np.full((20, 20), index, np.uint8))
        grids.save_image(tmp_path / "samples" / f"{9990 + index:04d}_0000.png", picture)
    assert grids.save_gif(tmp_path / "samples", tmp_path / "progress.gif")
    with Image.open(tmp_path / "progress.gif") as gif:
        assert gif.n_frames == frames
        for frame, index in ((0, 0), (frames - 1, count - 1)):
            gif.seek(frame)
            assert np.asarray(gif.convert("L")).max() == index


def test_no_grids_no_gif(tmp_path):
    assert not grids.save_gif(tmp_path, tmp_path / "progress.gif")
    assert not (tmp_path / "progress.gif").exists()


def test_an_earlier_run_is_moved_aside_and_nothing_else(tmp_path):
    assert artifacts.set_aside(tmp_path) is None
    for turn in (1, 2):
        (tmp_path / "samples").mkdir()
        for name in ("config.json", "generator.params", "losses.csv", "samples/0000_0000.png", "notes.txt"):
            (tmp_path / name).write_text(f"{turn}")
        assert artifacts.set_aside(tmp_path) == tmp_path / f"earlier-{turn}"
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"notes.txt"}
        assert (tmp_path / f"earlier-{turn}" / "samples" / "0000_0000.png").read_text() == str(turn)


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
def test_an_earlier_runs_config_that_is_a_link_keeps_what_it_says(tmp_path):
    artifacts.save_json(tmp_path / "annex.json", {"seed": 42})
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").symlink_to(tmp_path / "annex.json")
    aside = artifacts.begin(run, {"seed": 7}, new=True)
    assert [json.loads((place / "config.json").read_text())["seed"] for place in (aside, run)] == [42, 7]


def test_an_earlier_run_of_which_one_file_stays_stays_whole(tmp_path, monkeypatch):
    """As where `samples` is another user's."""
    (tmp_path / "samples").mkdir()
    for name in ("config.json", "generator.params", "losses.csv"):
        (tmp_path / name).touch()
    before, rename = sorted(tmp_path.rglob("*")), Path.rename

    def refuses(self, target: Path) -> Path:
        if self.name == "samples":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(UserError, match=r"samples: Permission denied, .* cannot be set aside; give another --output"):
        artifacts.set_aside(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_logs(tmp_path):
    logs = artifacts.Logs(tmp_path, {"epochs": 3, "data_dir": None, "resume": False, "learning_rate": 2e-4})
    rows = [
        {"step": i, "epoch": 0, "batch": i, "loss_d": np.float32(i / 3), "score_real": np.float32(0.5)}
        for i in range(45)
    ]
    logs.steps(rows[:30])
    logs.steps(rows[30:])
    with (tmp_path / "losses.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [int(row["step"]) for row in written] == list(range(45))
    assert [np.float32(row["loss_d"]) for row in written] == [row["loss_d"] for row in rows]  # not a bit lost

    reader = LogReader(file_path=str(tmp_path / "vdlrecords.run.log"))
    assert set(reader.get_tags()["scalar"]) == {"loss/D", "score/real"}
    assert [point.id for point in reader.get_data("scalar", "loss/D")] == [0, 20, 40]
