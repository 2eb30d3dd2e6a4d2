"""The app for one's own runs: it shows what is in its folders and nothing else."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

from commands import play, play_runs, play_server, sample
from common import data
from common.errors import UserError
from common.run.runs import load_game
from tests import board
from tests.conftest import ROOT, check_refused, train

import numpy as np
import pytest
from PIL import Image, ImageDraw
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="needs gradio: pip install -r requirements-play.txt"
)


@pytest.fixture
def folder(run_dir, tmp_path) -> Path:
    """Runs of which one was copied, one is damaged, and some lead elsewhere."""
    top = tmp_path / "work"
    shutil.copytree(run_dir, top / "group/mine")
    damaged = shutil.copytree(ROOT / "dcgan/pretrained", top / "damaged")
    (damaged / "generator.params").write_bytes(b"no weights")
    (damaged / "losses.csv").unlink(missing_ok=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/config.json").write_text(json.dumps({"family": "dcgan"}))
    (top / "linked").symlink_to(tmp_path / "secret")
    for name, inside in (("weights", "generator.params"), ("grids", "samples")):
        (top / name).mkdir()
        (top / name / "config.json").write_text(json.dumps({"family": "dcgan"}))
        (top / name / inside).symlink_to(ROOT / "dcgan/pretrained")
    return top


def test_only_what_lies_in_the_folders_is_found(folder):
    runs = play_runs.Runs([folder, folder / "nowhere"])
    assert list(runs.found()) == ["work/damaged", "work/group/mine"]
    for name in ("../secret", str(folder / "damaged"), "work/linked", "work/group/mine/../../damaged", "", None, ["a"]):
        with pytest.raises(UserError, match="no such run"):
            runs.find(name)


def test_all_runs_are_looked_through_only_for_one_that_is_not_known(folder, monkeypatch):
    """A page with many runs asks for some of them every ten seconds."""
    runs, looked = play_runs.Runs([folder]), []
    find = runs.found
    monkeypatch.setattr(runs, "found", lambda: looked.append(1) or find())
    for _again in range(3):
        assert runs.find("work/group/mine") == folder / "group/mine"
    assert len(looked) == 1
    (folder / "group/mine").rename(folder / "group/other")
    assert runs.find("work/group/other") == folder / "group/other"
    (folder / "group/other/more").symlink_to(ROOT)  # no longer one that may be seen
    for name in ("work/group/mine", "work/group/other"):
        with pytest.raises(UserError, match="no such run"):
            runs.find(name)


def test_judgements_of_different_data_sets_are_told_apart(tmp_path):
    for dataset in ("digits", "mnist"):
        run = tmp_path / "work" / dataset
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps({"family": "dcgan", "dataset": dataset}))
        line = {"step": 3, "epoch": 0, "judge": "one", "raw": {"frechet": 2.0}}
        (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    runs = play_runs.Runs([tmp_path / "work"])
    alone, both = runs.judgements(["work/mnist"]), runs.judgements(["work/mnist", "work/digits"])
    assert ("work/mnist, step 3, raw" in alone, "not to be compared" in alone) == (True, False)
    assert both.startswith("Of different data sets or judges: not to be compared · 数据集或评判网络不同，不能比较\n\n|")
    assert "work/digits, digits, step 3, raw" in both


def test_as_many_runs_are_drawn_as_can_be_chosen():
    """A request may name any number, and any of them as often as it likes."""
    assert play_runs.few([*"abcdef"]) == [*"abcd"]
    assert play_runs.few(["a"] * 60 + ["b"]) == ["a", "b"]
    assert play_runs.few(None) == play_runs.few([["a"], 3]) == []


def test_what_the_page_shows(folder, run_dir):
    runs, name = play_runs.Runs([folder]), "work/group/mine"
    pictures, weights = runs.pictures(name, 3, None, 5)
    assert (pictures.shape, weights) == ((5, 1, 32, 32), "generator_best.params")
    assert all(word.endswith("%") for word in runs.verdicts(name, pictures))
    assert [path.name for path in runs.epochs(name)] == sorted(path.name for path in (run_dir / "samples").iterdir())
    assert "Fréchet" in runs.judgements([name, "work/damaged"])
    assert play_runs.as_text("a|b <i>_*") == "a&#124;b &#60;i&#62;&#95;&#42;"
    assert runs.curves([name]) is not None
    assert runs.curves(["work/damaged"]) is None
    with pytest.raises(UserError, match=r"damaged/generator\.params"):
        runs.pictures("work/damaged", 0, None, 5)


def test_a_training_image_is_nearest_to_itself(folder):
    runs = play_runs.Runs([folder])
    image = data.as_float(play_runs.training_images("digits", (1, 32, 32))[7:8])[0]
    found = runs.nearest("work/group/mine", image)
    assert found.shape == (play_runs.NEIGHBOURS, 1, 32, 32)
    np.testing.assert_array_equal(found[0], image)


def test_a_run_that_draws_from_pictures_shows_originals_above_what_it_makes_of_them(folder):
    flags = ["--dataset", "digits", "--batch-size", 16, "--max-steps", 2, "--eval-every", 0]
    assert train("bigan", *flags, "--output-dir", folder / "bigan") == 0
    runs = play_runs.Runs([folder])
    originals, drawn, others, _ = np.split(runs.from_pictures("work/bigan", 3), 4)
    assert originals.shape == (8, 1, 28, 28)
    unseen = data.as_float(data.load_labelled("digits", "test", size=28)[0])
    assert all((unseen == original).all(axis=(1, 2, 3)).any() for original in originals)
    game = load_game(folder / "bigan")
    np.testing.assert_allclose(drawn, game.reconstruct(originals)[1], atol=1e-5)
    assert (others != originals).any()
    assert (runs.from_pictures("work/bigan", 4)[:8] != originals).any()
    assert runs.from_pictures("work/group/mine", 3) is None


def test_pictures_are_those_of_common_sample(tmp_path, say):
    """Of this seed, and of the digit asked for."""
    runs, cgan = play_runs.Runs([ROOT / "zoo/pretrained"]), ROOT / "zoo/pretrained/cgan"
    for flags, digit in (([], None), (["--digit", 7], 7)):
        assert say(sample.main, cgan, "--seed", 3, "--count", 5, "--npy", tmp_path / "a.npy", *flags).status == 0
        np.testing.assert_allclose(runs.pictures("zoo/pretrained/cgan", 3, digit, 5)[0], np.load(tmp_path / "a.npy"))
    assert (
        runs.pictures("zoo/pretrained/cgan", 4, None, 5)[0] != runs.pictures("zoo/pretrained/cgan", 3, None, 5)[0]
    ).any()


def test_a_class_that_the_run_does_not_know_is_not_drawn(tmp_path):
    folder = shutil.copytree(ROOT / "zoo/pretrained/cgan", tmp_path / "work/mine")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "classes": ["a", "b", "c"]}))
    with pytest.raises(UserError, match="knows 3 classes, 0 to 2"):
        play_runs.Runs([tmp_path / "work"]).pictures("work/mine", 0, 3, 1)
    assert len(play_runs.Runs([tmp_path / "work"]).pictures("work/mine", 0, 2, 1)[0]) == 1


def seven() -> np.ndarray:
    """A seven as one draws it: large, thick and in a corner."""
    picture = Image.new("L", (play.PAD, play.PAD))
    ImageDraw.Draw(picture).line([(4, 8), (60, 8), (25, 78)], fill=255, width=10)
    return np.asarray(picture)


def test_a_drawing_is_placed_as_mnist_has_its_digits():
    placed = play_runs.like_mnist(seven())
    assert (placed.shape, placed.dtype) == ((28, 28), np.uint8)
    assert np.ptp(np.nonzero(placed)[0]) + 1 == 20
    mass = [(np.arange(28) * placed.astype(float).sum(axis=axis)).sum() / placed.sum() for axis in (1, 0)]
    np.testing.assert_allclose(mass, 13.5, atol=0.51)
    dot = np.zeros((play.PAD, play.PAD), np.uint8)
    dot[-1, -1] = 255
    assert (play_runs.like_mnist(dot) > 0).sum() == 400


def test_what_is_drawn_by_hand_is_found(monkeypatch):
    runs = play_runs.Runs([ROOT / "zoo/pretrained"])
    given, found = runs.mimic("zoo/pretrained/cgan", seven().ravel().tolist())
    assert given.shape == found.image.shape == (1, 32, 32)
    assert found.error < 0.1 * found.error_at_random
    assert found.latent[100:, 0, 0].argmax() == 7
    for pixels in (None, "x", [1, 2], [[0] * play.PAD] * 3, [300] * play.PAD**2, [None] * play.PAD**2, {}):
        with pytest.raises(UserError, match="no drawing"):
            runs.mimic("zoo/pretrained/cgan", pixels)
    specks = np.zeros(play.PAD**2, int)
    specks[[0, -1]] = 1
    for nothing in (0 * specks, specks):
        with pytest.raises(UserError, match="nothing is drawn"):
            runs.mimic("zoo/pretrained/cgan", nothing.tolist())
    with pytest.raises(UserError, match="no such run"):
        runs.mimic("../cgan", seven())


def test_two_folders_of_one_name_hide_nothing(tmp_path):
    for place in "ab":
        shutil.copytree(ROOT / "dcgan/pretrained", tmp_path / place / "work/dcgan")
    runs = play_runs.Runs([tmp_path / "a/work", tmp_path / "b/work"])
    second = tmp_path / "b/work/dcgan"
    assert runs.found() == {"work/dcgan": tmp_path / "a/work/dcgan", second.as_posix(): second}


def test_a_folder_that_may_not_be_seen_hides_no_other(folder, monkeypatch):
    iterdir = Path.iterdir

    def denied(path: Path):
        if path.name == "damaged":
            raise PermissionError
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    assert list(play_runs.Runs([folder]).found()) == ["work/group/mine"]


def test_a_link_to_itself_hides_no_run(tmp_path):
    shutil.copytree(ROOT / "dcgan/pretrained", tmp_path / "work/dcgan")
    (tmp_path / "work/dcgan/loop").symlink_to(tmp_path / "work/dcgan/loop")
    assert len(play_runs.Runs([tmp_path / "work"]).found()) == 1


def test_bad_input(tmp_path, say, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "")  # as if it were not set
    check_refused(say(play.main, tmp_path / "nowhere"), "there is no such folder")
    check_refused(say(play.main, tmp_path), "no runs in")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "abc")  # which no flag named
    check_refused(say(play.main, ROOT / "dcgan/pretrained"), "$GRADIO_SERVER_PORT is 'abc'")


def test_without_gradio_one_line_says_so(tmp_path, monkeypatch, say):
    monkeypatch.setattr(play.importlib.util, "find_spec", lambda name: None)
    check_refused(say(play.main, ROOT / "dcgan/pretrained"), "pip install -r requirements-play.txt")


def test_variables_that_gradio_could_not_read(monkeypatch):
    for name in ("GRADIO_SERVER_PORT", "GRADIO_NUM_PORTS"):
        monkeypatch.setenv(name, " ")
        play_server.check_environment()
        assert name not in os.environ
        for wrong in ("abc", "0", "-1", "70000"):
            monkeypatch.setenv(name, wrong)
            with pytest.raises(UserError, match=rf"\${name} is '{wrong}': expected a number from 1 to 65535; or unset"):
                play_server.check_environment()
        monkeypatch.setenv(name, "7861")
        play_server.check_environment()


def shown_grid(driver) -> np.ndarray:
    """The pixels of the first picture on the app's page."""
    address = driver.find_elements("css selector", ".grid-container img")[0].get_attribute("src")
    with urllib.request.urlopen(address, timeout=20) as answer, Image.open(io.BytesIO(answer.read())) as picture:
        return np.asarray(picture.convert("L"))


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it holds before the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def served(page, capsys) -> str:
    """The address of a page that is served from now on, as the command says it; nothing else is said."""
    play.serve(page, None, wait=False)
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    return re.match(r"the page is at (http://127\.0\.0\.1:\d+/)( \(port 7860 is taken\))?; Ctrl-C ends it", out)[1]


@contextlib.contextmanager
def empty_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A page of gradio's with nothing on it, closed at the end."""
    import gradio  # only here

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    with gradio.Blocks(analytics_enabled=False) as page:
        pass
    try:
        yield page
    finally:
        page.close()
        gc.collect()


@needs_gradio
@pytest.mark.filterwarnings("ignore")
def test_a_taken_port_is_said(monkeypatch, capsys):
    with empty_page(monkeypatch) as page, socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        first.listen()
        taken = first.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {taken}: something else is there"):
            play.serve(page, taken, wait=False)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # something else is there: as good
            second.bind(("127.0.0.1", play_server.FIRST_PORT))
            second.listen()
        play.serve(page, None, wait=False)
        assert f"(port {play_server.FIRST_PORT} is taken); Ctrl-C ends it" in capsys.readouterr().out


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_a_page_of_the_web_whose_name_leads_here_starts_nothing(monkeypatch, capsys):
    """Where something can be started: a page that only shows is served to any name, as AI Studio calls it by its own.
    And so many drawings wait, not more."""

    def status(address: str, host: str) -> int:
        with contextlib.suppress(urllib.error.HTTPError):
            return urllib.request.urlopen(urllib.request.Request(address, headers={"Host": host}), timeout=20).status
        return 400

    for anyone in (False, True):
        with empty_page(monkeypatch) as page:
            play.serve(page, None, anyone, wait=False)
            address = re.search(r"http://[^ ;]*", capsys.readouterr().out)[0]
            hosts = ("127.0.0.1:7860", "localhost:1", "evil.example:7860", "127.0.0.1.evil.example")
            assert [status(address, host) for host in hosts] == [200, 200, *[200 if anyone else 400] * 2]
            assert page._queue.max_size == play_server.WAITING


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch, capsys):
    """One that is not there, which trainings would still be told of."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    for before in ({}, {"no_proxy": "example.org"}):
        for name, value in before.items():
            monkeypatch.setenv(name, value)
        with empty_page(monkeypatch) as page:
            play.serve(page, None, wait=False)
        assert "the page is at http://127.0.0.1:" in capsys.readouterr().out
        assert {name: os.environ[name] for name in os.environ if name == "no_proxy"} == before


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_without_a_free_port_one_line_says_so():
    def launch(**given: object) -> None:
        raise OSError("Cannot find empty port in range: 7860-7959")

    page = SimpleNamespace(queue=lambda **given: None, launch=launch)
    with pytest.raises(UserError, match=r"^no free port from 7860 on: give --port$"):
        play.serve(page, None)


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_the_app_in_a_browser(folder, monkeypatch, capsys):
    import gradio  # only here

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    runs, name = play_runs.Runs([folder]), "work/group/mine"
    page = play.app(runs, gradio)
    address = served(page, capsys)
    try:
        for path in (
            "/etc/passwd",
            ROOT / "README.md",
            folder / "damaged/config.json",
            f"{folder}/../secret/config.json",
        ):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{address}gradio_api/file={path}", timeout=20)
        if not (board.CHROMIUM and board.DRIVER):
            pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)")
        with board.browser() as driver:
            driver.get(address)
            shown = board.wait_for(
                driver, "work/group/mine, generator_best.params", "damaged/generator.params: ", seconds=90
            )
            assert "Traceback" not in shown
            for _ in range(100):
                pictures = driver.find_elements("css selector", ".grid-container button")
                if len(pictures) >= 1 + play_runs.CLOSE:
                    break
                time.sleep(0.2)
            driver.execute_script("arguments[0].click()", pictures[-1])
            for _ in range(150):
                if driver.find_elements("css selector", ".image-container img"):
                    break
                time.sleep(0.2)
            assert driver.find_elements("css selector", ".image-container img")

            seed = driver.find_element("css selector", "input[type=number]")
            for number, keys in ((0, ()), (7, (Keys.BACKSPACE, "7", Keys.ENTER))):  # the pictures are Paddle's
                seed.send_keys(*keys)
                expected = np.asarray(play.grid(runs.pictures(name, number, None, play_runs.COUNT)[0]))
                assert wait_until(lambda expected=expected: shown_grid(driver).tolist() == expected.tolist()), number
            for tab in driver.find_elements("css selector", "button[role=tab]"):
                if "Over time" in tab.text:
                    driver.execute_script("arguments[0].click()", tab)
            assert wait_until(lambda: f"{name}, epoch 2, batch 4" in driver.page_source)
            slider = driver.find_element("css selector", "input[type=range]")
            slider.send_keys(Keys.HOME)
            assert wait_until(lambda: f"{name}, epoch 1, batch 0" in driver.page_source)
            for tab in driver.find_elements("css selector", "button[role=tab]"):
                if "Draw one" in tab.text:
                    driver.execute_script("arguments[0].click()", tab)
            assert wait_until(lambda: driver.find_element("css selector", "canvas").is_displayed())
            hand = ActionChains(driver).move_to_element_with_offset(
                driver.find_element("css selector", "canvas"), -60, -80
            )
            hand.click_and_hold().move_by_offset(110, 0).move_by_offset(-50, 160).release().perform()  # a seven
            assert wait_until(lambda: f"{name}: error 0." in driver.page_source, 90)
            hosts = driver.execute_script(
                "return performance.getEntriesByType('resource').map(r => new URL(r.name).hostname)"
            )
            assert {*hosts} == {"127.0.0.1"}
    finally:
        page.close()
        del page
        gc.collect()  # its event loop complains here, where that is ignored, and not in the next test
