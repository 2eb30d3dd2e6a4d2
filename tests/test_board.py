"""VisualDL's logs: whole records or none, every run under its own name, and a damaged one hides no other."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import socket
import struct
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable
from unittest import mock

from commands import board as board_command
from common.run.board import Board, cut_back, record_type, records
from common.run.histograms import Histograms, flat
from common.run.shows import Shows
from tests import board
from tests.conftest import batch_of, check_refused, make_gan, train
from tests.runs import TOY

import numpy as np
import pytest
import requests
from PIL import Image
from visualdl import LogReader, LogWriter
from visualdl.server.args import parse_args

LOG = "vdlrecords.run.log"
MADE_NOW = ("best/dcgan", "cut", "dcgan", "dcgan/earlier-1")  # below: not by an earlier version


@pytest.fixture
def log(tmp_path) -> Path:
    """A log of four records: what VisualDL writes first, two points of a curve and a picture."""
    shown = Board(tmp_path / LOG, Shows())
    for step in (0, 20):
        shown.scalar("loss/D", step / 4, step)
    shown.image("samples", Image.new("L", (40, 30)), 20)
    return shown.path


def points(path: Path, tag: str = "loss/D") -> list[tuple[int, float]]:
    return [(point.id, point.value) for point in LogReader(file_path=str(path)).get_data("scalar", tag)]


@pytest.mark.parametrize("level", [0, 1, 2, 255])
def test_a_dark_picture_stays_what_it_is(tmp_path, level, capfd):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[2:4] = level
    picture.flags.writeable = False
    Board(tmp_path / LOG, Shows()).image("samples", Image.fromarray(picture), 3)
    (found,) = LogReader(file_path=str(tmp_path / LOG)).get_data("image", "samples")
    with Image.open(io.BytesIO(found.image.encoded_image_string)) as shown:
        assert np.array_equal(np.asarray(shown), picture)
    assert capfd.readouterr() == ("", "")


def test_a_log_is_cut_back_to_its_last_whole_record(log):
    whole = log.read_bytes()
    ends = [end for _, end in records(log)]
    assert len(ends) == 4
    assert ends[-1] == len(whole)
    for length in [*range(ends[0], ends[2], 7), *range(ends[2], len(whole), 97), len(whole)]:
        log.write_bytes(whole[:length])
        assert cut_back(log) == log.stat().st_size == max(end for end in ends if end <= length)
        assert points(log) == [(0, 0.0), (20, 5.0)][: sum(end <= length for end in ends[1:3])]


@pytest.mark.parametrize(
    "tail",
    [
        bytes(4096),  # what a power cut may leave
        b"\xff" * 5,
        b"\xff" * 50,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 20) + b"no record of VisualDL",
    ],
)
def test_what_is_no_record_ends_a_log(log, tail):
    whole = log.read_bytes()
    log.write_bytes(whole + tail)
    assert cut_back(log) == len(whole)
    assert log.read_bytes() == whole


def test_a_checkpoint_before_the_last_record(log):
    *_, before, last = (end for _, end in records(log))
    assert cut_back(log, last - 1) == before == log.stat().st_size
    assert cut_back(log, last) == before


def test_a_resumed_run_goes_on_after_a_log_that_was_damaged_or_removed(half, say):
    flags = [*TOY, "--output-dir", half, "--resume", "--max-steps"]
    path, before = half / LOG, points(half / LOG)
    path.write_bytes(path.read_bytes()[:-7])
    assert say(train, "toy", *flags, 200).err == ""
    assert points(path) == [*before, *points(path)[len(before) :]]
    assert [step for step, _ in points(path)] == [*range(0, 200, 20)]
    path.unlink()
    assert say(train, "toy", *flags, 230).err == ""
    assert [step for step, _ in points(path)] == [200, 220]
    assert max(end for _, end in records(path)) == path.stat().st_size


def ask(address: str, what: str, **given: str) -> Any:
    """What VisualDL's server answers to the page."""
    with urllib.request.urlopen(f"{address}/app/api/{what}?{urllib.parse.urlencode(given)}", timeout=30) as answer:
        return json.load(answer)["data"]


def curve(address: str, run: str) -> list[tuple[int, float]]:
    return [(step, value) for _, step, value in ask(address, "scalar/list", run=run, tag="loss/D")]


def logged(folder: Path) -> list[tuple[int, float]]:
    """What that curve has to be."""
    with (folder / "losses.csv").open() as file:
        rows = [(int(row["step"]), float(row["loss_d"])) for row in csv.DictReader(file)]
    return [(step, pytest.approx(loss)) for step, loss in rows if step % 20 == 0]


def test_embeddings_that_come_later_are_listed(tmp_path):
    (tmp_path / "run").mkdir()
    shown, reader = Board(tmp_path / "run" / LOG, Shows()), board_command.Runs([str(tmp_path)])
    for epoch in (1, 2):
        shown.embeddings(f"features/epoch {epoch}", ["image"], [["real"]], np.eye(1), epoch)
        names = [one["name"] for one in board_command.embeddings(reader)]
        assert names == [f"run/features/epoch {number + 1}" for number in range(epoch)]


def test_what_add_hparams_takes(tmp_path):
    """A bool as a number, since VisualDL fails with one; nothing for None; a path as text."""
    shown = Board(tmp_path / LOG, Shows())
    shown.hyperparameters({"a": True, "b": None, "c": 0.5, "d": Path("x"), "e": 3}, ["loss/D", "metric/frechet"])
    (content, _) = [*records(shown.path)][-1]
    said = record_type().FromString(content).values[0].hparam
    kinds = ("int_value", "float_value", "string_value")
    found = {one.name: getattr(one, one.WhichOneof("type")) for one in said.hparamInfos}
    assert found == {"a": 1, "c": 0.5, "d": "x", "e": 3}
    assert {one.WhichOneof("type") for one in said.hparamInfos} == {*kinds}
    assert [one.name for one in said.metricInfos] == ["loss/D", "metric/frechet"]


def test_a_histogram_counts_what_is_finite(tmp_path):
    shown = Board(tmp_path / LOG, Shows())
    shown.histogram("weights/generator", np.array([0.0, 1.0, np.nan, np.inf, 1.0], np.float32), 3)
    (found,) = LogReader(file_path=str(shown.path)).get_data("histogram", "weights/generator")
    assert found.id == 3
    assert [found.histogram.hist[0], sum(found.histogram.hist), found.histogram.hist[-1]] == [1, 3, 2]
    assert [found.histogram.bin_edges[0], found.histogram.bin_edges[-1]] == [0, 1]


def test_an_epoch_shows_weights_gradients_and_features(judged):
    """Of both networks, after its last step: the gradients that moved them in it; the judge's features with labels."""
    reader = LogReader(file_path=str(judged / LOG))
    tags = reader.get_tags()
    assert {*tags["histogram"]} == {
        f"{what}/{n}" for what in ("weights", "gradients") for n in ("generator", "discriminator")
    }
    for name in tags["histogram"]:
        assert [found.id for found in reader.get_data("histogram", name)] == [56, 113]
        assert all(sum(found.histogram.hist) > 100 for found in reader.get_data("histogram", name))
    assert tags["embeddings"] == ["features/epoch 1", "features/epoch 2"]
    points = reader.get_data("embeddings", "features/epoch 2")[0].embeddings
    assert list(points.label_meta) == ["image", "class"]
    labels = [tuple(point.label) for point in points.embeddings]
    assert [label[0] for label in labels] == ["real"] * 500 + ["generated"] * 200  # all that the tests judge
    assert len({label[1] for label in labels[:500]}) == 10
    vectors = np.array([list(point.vectors) for point in points.embeddings])
    assert vectors.shape == (700, 64)
    assert vectors.std() > 0.1
    assert {*tags["scalars"]} == {"loss/all", "score/all"}


def test_links_in_circles_are_followed_once(tmp_path):
    for name in ("run", "other"):
        with LogWriter(logdir=str(tmp_path / name)) as writer:
            writer.add_scalar("a", 1, 1)
    for name in ("a", "b", "run/up"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "also").symlink_to(tmp_path / "run")
    reader = board_command.Runs([str(tmp_path)])
    reader.load_new_data()
    assert {*map(str, reader.logs())} == {f"{tmp_path}/run", f"{tmp_path}/other"}


def test_gradients_are_those_of_the_last_step(tmp_path):
    """Seen in each turn before its optimizer moves anything; not looked at in other steps."""
    game, seen = make_gan("dcgan"), []
    board = SimpleNamespace(histogram=lambda tag, values, step: seen.append((tag, step, values)))
    histograms = Histograms(game, board, steps_per_epoch=3, start=0)
    for step in range(3):
        assert bool(game.observe) == (step == 2)
        game.update(batch_of(step))
        histograms.after(step)
    assert [(tag, step) for tag, step, _ in seen] == [
        (f"{what}/{name}", 2)
        for what, names in (("weights", ("generator", "discriminator")), ("gradients", ("discriminator", "generator")))
        for name in names
    ]
    weights = {tag: values for tag, _, values in seen}
    assert weights["weights/generator"].size == weights["gradients/generator"].size == 1_066_880
    assert weights["gradients/discriminator"].size == 661_248
    moved = flat([p for p in game.networks["generator"].parameters() if not p.stop_gradient])
    assert np.array_equal(weights["weights/generator"], moved)
    assert all(np.abs(weights[f"gradients/{name}"]).max() > 0 for name in game.networks)
    assert game.observe is None
    Histograms(game, board, steps_per_epoch=3, start=5)  # gone on with at an epoch's last step
    assert game.observe
    for parameter in game.networks["discriminator"].parameters():  # as of features that are not trained
        parameter.stop_gradient = True
    Histograms(game, board, steps_per_epoch=3, start=0).after(5)
    assert [tag for tag, *_ in seen[4:]] == ["weights/generator"]


def through(environ: dict, local: bool = True) -> tuple[str, Any]:
    """The status that a request gets, and what VisualDL reads of it."""
    read, said = [], []

    def answer(environ: dict, start_response: Any) -> list[bytes]:
        read.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return []

    made = SimpleNamespace(wsgi_app=answer, run=None)
    board_command.answering(lambda _: made, local)(None).wsgi_app(environ, lambda status, headers: said.append(status))
    return said[0][:3], *read


@pytest.mark.parametrize(
    "given", [{"CONTENT_LENGTH": str(10**8)}, {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}]
)
def test_a_body_that_may_not_end_is_not_waited_for(given):
    asked = {"REQUEST_METHOD": "POST", "HTTP_HOST": "127.0.0.1:8040", "wsgi.input": None}
    assert through({**asked, **given}) == ("413",)


def test_a_slow_upload_is_in_nobodys_way():
    """Another request is answered while its body is read."""
    ours = {"HTTP_HOST": "[::1]:8040", "CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"ours")}
    seen = []
    answer = board_command.answering(
        lambda _: SimpleNamespace(wsgi_app=lambda environ, _: seen.append(environ["wsgi.input"].read()), run=None)
    )(None).wsgi_app

    def read(length: int) -> bytes:
        other = threading.Thread(target=answer, args=(ours, None), daemon=True)
        other.start()
        other.join(10)
        return b"slow"

    answer({**ours, "wsgi.input": SimpleNamespace(read=read)}, None)
    assert seen == [b"ours", b"slow"]


def test_an_address_of_version_6_is_asked_as_urls_have_it_and_served_as_sockets_have_it(tmp_path, say, monkeypatch):
    """VisualDL asks itself until it answers, and then says where it is."""
    opened, served = [], []
    monkeypatch.setattr(board_command.socket, "socket", lambda family: contextlib.nullcontext(mock.MagicMock()))
    made = SimpleNamespace(wsgi_app=None, run=lambda **given: served.append(given))
    monkeypatch.setattr(board_command.app, "create_app", lambda _: made)

    def main() -> None:
        opened.append(parse_args()["host"])
        board_command.app.create_app(None).run(host=opened[0], port=8040, threaded=False)

    monkeypatch.setattr(board_command.app, "main", main)
    assert say(board_command.main, tmp_path, "--host", "::1").status == 0
    assert (opened, served) == (["[::1]"], [{"host": "::1", "port": 8040, "threaded": True}])


def test_a_page_of_the_web_whose_name_leads_here_sees_no_log():
    def status(host: str, local: bool = True) -> str:
        return through({"REQUEST_METHOD": "GET", "HTTP_HOST": host, "wsgi.input": io.BytesIO()}, local)[0]

    for host in ("127.0.0.1:8040", "localhost", "LOCALHOST:1", "[::1]:8040"):
        assert status(host) == "200"
    for host in ("evil.example:8040", "127.0.0.1.evil.example", "192.0.2.1", "[", ""):
        assert status(host) == "403"
    assert status("192.0.2.1:8040", local=False) == "200"


def test_the_server_shows_every_run_under_its_own_name(tmp_path):
    """Three runs that were one, logs by an earlier version that have a name, and damaged ones; then one more run."""
    work = tmp_path / "work"

    def run(folder: str, seed: int) -> None:
        assert train("toy", *TOY, "--max-steps", 41, "--seed", seed, "--output-dir", work / folder) == 0

    for seed, folder in enumerate(("dcgan", "dcgan", "best/dcgan")):
        run(folder, seed)
    for folder in ("old", "older"):
        with LogWriter(str(work / folder), file_name=LOG, display_name="dcgan") as writer:
            writer.add_scalar("loss/D", len(folder), 0)
    (work / "cut").mkdir()
    (work / "cut" / LOG).write_bytes((work / "dcgan" / LOG).read_bytes()[:-7])
    (work / "noise").mkdir()
    (work / "noise" / LOG).write_bytes(b"\xff" * 50)

    shown = Board(work / "dcgan" / LOG, Shows())
    shown.embeddings("features", ["image", "class"], [["real", "7"], ["generated", "1"]], np.eye(2), 40)

    with board.served(work, tmp_path / "said.txt") as address:
        names = ["best/dcgan", "cut", "dcgan", "dcgan/earlier-1", "noise", "old", "older"]
        tags = ask(address, "scalar/tags")
        together = {f"{name}/{tag}" for name in names for tag in ("loss_all_D", "loss_all_G", "score_all_fake")}
        runs = {*tags["runs"]} - {f"{name}/score_all_real" for name in names}
        assert sorted(runs - together) == [name for name in names if name != "noise"]
        assert together & runs == {one for one in together if one.split("/loss")[0].split("/score")[0] in MADE_NOW}
        assert sorted(ask(address, "runs")) == names
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):  # as a browser opens ahead: silent, and in nobody's way
            curves = {name: curve(address, name) for name in ("dcgan", "dcgan/earlier-1")}
        assert curves == {name: logged(work / name) for name in curves}
        assert curves["dcgan"] != curves["dcgan/earlier-1"]
        assert curve(address, "cut") == curves["dcgan"]
        assert [curve(address, name) for name in ("old", "older")] == [[(0, 3.0)], [(0, 5.0)]]
        assert ask(address, "embedding/list") == [{"name": "dcgan/features", "path": "dcgan/features", "shape": [2, 2]}]
        for what, content in (("tensor", np.eye(2, dtype=np.float32).tobytes()), ("metadata", b"image\tclass\r\nreal")):
            with urllib.request.urlopen(f"{address}/app/api/embedding/{what}?name=dcgan/features") as answer:
                assert answer.read().startswith(content)
        said = (tmp_path / "said.txt").read_text()
        for name in ("cut", "noise"):
            assert said.count(f"warning: {work / name / LOG}: ") == 1
        assert said.count("warning") == 2

        run("best/dcgan", 3)  # sets aside what the server has read
        for name in ("best/dcgan", "best/dcgan/earlier-1"):
            assert curve(address, name) == logged(work / name)
        assert curve(address, "best/dcgan") != curve(address, "best/dcgan/earlier-1")


def test_a_folder_that_is_not_there_and_a_port_that_is_taken(tmp_path, say):
    check_refused(say(board_command.main, tmp_path / "work"), f"{tmp_path / 'work'}: there is no such folder")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_refused(say(board_command.main, tmp_path, "--port", port), f"--port {port}: ")
        every = "--host", "", "--port", port  # to a socket every address
        check_refused(say(board_command.main, tmp_path, *every), "--host: an empty name")
    check_refused(say(board_command.main, tmp_path, "--port", 99_999), "--port: 99999 is too large")
    check_refused(say(board_command.main, tmp_path, "--host", "bü..x"), "give another --host")


@pytest.fixture
def called(tmp_path, say, monkeypatch) -> Callable[[], object]:
    """`called(look, *arguments)`: what `look` says where the command has prepared all and calls VisualDL."""
    for module, name in ((sys, "argv"), (board_command.api, "LogReader"), (board_command.lib, "get_embeddings_list")):
        monkeypatch.setattr(module, name, getattr(module, name))  # what the command puts others in place of
    monkeypatch.setattr(board_command.app, "create_app", None)

    def call(look: Callable[[], object], *arguments: object) -> object:
        seen = []
        monkeypatch.setattr(board_command.app, "main", lambda: seen.append(look()))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        assert say(board_command.main, "--port", port, *arguments).status == 0
        return seen[0]

    return call


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(tmp_path, called, monkeypatch):
    """VisualDL asked it again and again, and never said where its page is."""
    for name, value in {"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.org"}.items():
        monkeypatch.setenv(name, value)
    assert called(lambda: requests.utils.get_environ_proxies("http://127.0.0.1:8040"), tmp_path) == {}


def test_a_folder_whose_name_begins_with_a_dash_is_no_flag(tmp_path, called, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-runs").mkdir()
    assert called(lambda: parse_args()["logdir"], "--", "-runs") == ["-runs"]
