"""Exports draw the network's pictures or are not kept; the page in a real browser, from a file."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import time
from pathlib import Path

from commands import export
from common.game import Game
from common.judging.judge import classify, load_judge
from common.machine.activations import LeakyReLU
from common.run.artifacts import save_params
from common.run.families import builder
from common.run.runs import load_game
from tests import board
from tests.conftest import ROOT, check_refused

import numpy as np
import paddle
import pytest
from paddle import nn
from selenium.webdriver.common.keys import Keys

PRETRAINED = [ROOT / "dcgan/pretrained", ROOT / "lsgan/pretrained", ROOT / "zoo/pretrained/cgan"]
HAS_ONNX = all(map(importlib.util.find_spec, export.NEEDED["onnx"]))
needs_browser = pytest.mark.skipif(
    not (board.CHROMIUM and board.DRIVER), reason="needs Chromium and its driver (Debian: chromium chromium-driver)"
)


def drawn_by(folder: Path, seed: int, count: int) -> np.ndarray:
    """What `commands.sample` draws: float32 `[count, C, H, W]`."""
    game = load_game(folder)
    return game.sample(game.latent(np.random.default_rng(seed), count))


def untrained(family: str, folder: Path) -> Path:
    """A run of `family` that has not begun."""
    folder.mkdir(parents=True, exist_ok=True)
    paddle.seed(0)
    save_params(folder / "generator.params", builder(family)().networks["generator"].state_dict())
    (folder / "config.json").write_text(json.dumps({"family": family}))
    return folder


@pytest.fixture
def no_browser(monkeypatch) -> None:
    monkeypatch.setattr(export, "CHROMIUM", None)


@pytest.fixture(scope="module")
def page(made_once) -> Path:
    """The page of the three pretrained generators; `export.main` has opened it in Chromium where there is one."""

    def make(folder: Path) -> None:
        assert export.main([*map(str, PRETRAINED), "--format", "html", "--out", str(folder / "play.html")]) == 0

    return made_once("page", make) / "play.html"


def data_of(page: Path) -> dict:
    """What stands in a page for its script to read."""
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert len(found) == 1
    return json.loads(found[0])


def test_paddle_inference_draws_any_number_of_pictures(tmp_path, say):
    said = say(export.main, PRETRAINED[2], "--format", "paddle", "--out", tmp_path / "cgan")
    assert said.status == 0
    assert "from the network by Paddle Inference" in said.out
    program = next(path for path in (tmp_path / "cgan").iterdir() if path.suffix in (".json", ".pdmodel"))
    latent = load_game(PRETRAINED[2]).latent(np.random.default_rng(7), 3)
    drawn = export.infer(program, tmp_path / "cgan/generator.pdiparams", latent)
    np.testing.assert_allclose(drawn, drawn_by(PRETRAINED[2], 7, 3), atol=1e-5)


@pytest.mark.skipif(not HAS_ONNX, reason="needs paddle2onnx and onnxruntime: pip install -r requirements-export.txt")
@pytest.mark.parametrize("family", ["dcgan", "fc_gan"])
def test_onnx_draws_the_same(tmp_path, family, say):
    folder = PRETRAINED[0] if family == "dcgan" else untrained(family, tmp_path / family)  # with a LeakyReLU
    said = say(export.main, folder, "--format", "onnx", "--out", tmp_path / "a.onnx")
    assert said.status == 0
    assert "from the network by onnxruntime" in said.out
    assert (tmp_path / "a.onnx").stat().st_size > 1e6


def test_a_missing_package_is_named_with_the_way_to_it(tmp_path, monkeypatch, say):
    monkeypatch.setitem(export.NEEDED, "onnx", ("paddle2onnx", "no_such_package"))
    said = say(export.main, PRETRAINED[0], "--format", "onnx", "--out", tmp_path / "a.onnx")
    check_refused(said, "no_such_package: pip install -r requirements-export.txt")


@pytest.mark.parametrize("form", ["paddle", "html"])
def test_what_draws_other_pictures_is_not_kept(tmp_path, monkeypatch, form, no_browser, say):
    wrong = drawn_by(PRETRAINED[0], 0, 64)
    wrong[63, 0, 5, 5] += 0.02
    for name in ("infer", "replay"):
        monkeypatch.setattr(export, name, lambda *_: wrong)
    out = tmp_path / "a.html" if form == "html" else tmp_path / "a"
    said = say(export.main, PRETRAINED[0], "--format", form, "--out", out)
    check_refused(said, "draw pictures 2.0e-02 apart")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["{a}", "{b}", "--format", "paddle", "--out", "a"], "--format paddle takes one RUN_DIR"),
        (["{a}", "--format", "html", "--out", "a.htm"], "expected a name that ends in .html"),
        (["{a}", "--format", "html", "--out", "no/a.html"], "there is no folder no"),
        (["{a}", "--format", "flash", "--out", "a"], "invalid choice"),
        (["nowhere", "--format", "paddle", "--out", "a"], "nowhere/config.json: No such file"),
        (["{a}", "--format", "html", "--weights", "no.params", "--out", "a.html"], "no.params: No such file"),
        (["{damaged}", "--format", "paddle", "--out", "a"], "generator.params: "),
        (["{uniform}", "--format", "html", "--out", "a.html"], "feeds normal noise and a label only, not so"),
        (["{a}", "{a}", "{a}", "{a}", "{a}", "--format", "html", "--out", "a.html"], "name fewer runs"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, no_browser, flags, words, say):
    monkeypatch.chdir(tmp_path)
    runs = {"a": PRETRAINED[0], "b": PRETRAINED[1]}
    if flags[0] == "{damaged}":
        runs["damaged"] = shutil.copytree(PRETRAINED[0], tmp_path / "runs/damaged")
        content = (runs["damaged"] / "generator.params").read_bytes()
        (runs["damaged"] / "generator.params").write_bytes(content[:-1000])
    if flags[0] == "{uniform}":
        runs["uniform"] = untrained("dcgan_maxpool", tmp_path / "runs/uniform")
    check_refused(say(export.main, *(flag.format(**runs) for flag in flags)), words)
    assert not [path for path in tmp_path.iterdir() if path.name != "runs"]


class Forked(nn.Layer):
    """Two layers whose results are added."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(100, 100), nn.Linear(100, 100)

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        return self.one(z) + self.other(z)


@pytest.mark.parametrize(
    ("networks", "image", "words"),
    [
        ({}, None, "draws nothing from noise"),
        ({"generator": Forked()}, None, "does not draw from a latent vector"),
        ({"generator": nn.Sequential(nn.Flatten(), Forked())}, (100,), "draw pictures"),
        ({"generator": nn.Sequential(nn.Flatten(), nn.Linear(100, 9), nn.GELU())}, (9,), "the page has no GELU"),
    ],
)
def test_families_that_cannot_be_exported(tmp_path, monkeypatch, networks, image, words, no_browser, say):
    game = Game()
    game.networks = networks
    if image is None:
        monkeypatch.setattr(Game, "latent", lambda *_: np.zeros((64, 1, 8, 8), np.float32))
    monkeypatch.setattr(export, "load_game", lambda *_: game)
    said = say(export.main, PRETRAINED[0], "--format", "html", "--out", tmp_path / "a.html")
    check_refused(said, words)


def test_weights_too_large_for_half_the_bits_keep_all(no_browser):
    """The page then takes twice the room, and the same pictures come out."""
    linear = nn.Linear(100, 4)
    linear.weight.set_value(np.full((100, 4), 1e5, np.float32))
    game = Game()
    game.networks = {"generator": nn.Sequential(nn.Flatten(), linear, LeakyReLU(0.2), nn.Tanh())}
    latent = game.latent(np.random.default_rng(0), 64)
    model, _ = export.model(export.Trained(game, ROOT, {"family": "dcgan"}, latent, game.sample(latent)))
    assert model["precision"] == "float32"


def test_no_name_can_leave_its_place_in_the_page(tmp_path, no_browser, say):
    """The folder's name is in the page where two of one family need one."""
    names = ["<img src=x onerror=alert(1)>", "<script>@DATA@ @SCRIPT@<!--"]
    runs = [shutil.copytree(PRETRAINED[0], tmp_path / name) for name in names]
    said = say(export.main, *runs, "--format", "html", "--out", tmp_path / "a.html")
    assert said.status == 0
    assert "no Chromium here to try" in said.out
    assert [m["name"] for m in data_of(tmp_path / "a.html")["models"]] == [f"DCGAN · {name}" for name in names]
    content = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img" not in content
    assert content.count("<script>") == 1
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", content)) == 2


def test_the_page_in_docs_is_of_this_script_and_these_weights(page):
    kept, made = (ROOT / "docs/play.html", page)
    scripts = [
        re.search(r"<script>(.*)</script>", path.read_text(encoding="utf-8"), re.DOTALL) for path in (kept, made)
    ]
    assert scripts[0].group() == scripts[1].group()
    for ours, theirs in zip(data_of(kept)["models"], data_of(made)["models"]):
        assert ours["layers"][0] == theirs["layers"][0]
        assert ours["name"] == theirs["name"]
    assert kept.stat().st_size < 12 * 2**20


PIXELS = """return Array.from(document.querySelectorAll("canvas"), canvas =>
    Array.from(canvas.getContext("2d").getImageData(0, 0, 32, 32).data.filter((_, i) => i % 4 === 0)))"""
SLIDE = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('input'))"


def pixels(driver) -> np.ndarray:
    """The pictures on the page once all are drawn and judged, `[3, 17, 32, 32]`: each network's large one first."""
    for _ in range(600):
        if driver.execute_script("return document.body.dataset.state") == "done":
            return np.array(driver.execute_script(PIXELS)).reshape(3, 17, 32, 32)
        time.sleep(0.1)
    raise AssertionError(driver.execute_script("return document.body.innerText"))


def grey(images: np.ndarray) -> np.ndarray:
    """`[N, 1, 32, 32]` in [-1, 1] as pixels `[N, 32, 32]`."""
    return np.rint((images[:, 0] + 1) * 127.5)


@needs_browser
def test_the_page_draws_what_paddle_draws(page):
    with board.browser() as driver:
        driver.get(f"{page.as_uri()}#seed=5&lang=en")
        first = pixels(driver)
        verdicts = [span.text for span in driver.find_elements("css selector", ".grid span")]
        for shown, folder, said in zip(first, PRETRAINED, np.array(verdicts).reshape(3, 16)):
            expected = drawn_by(folder, 5, 16)
            assert np.abs(shown[1:] - grey(expected)).max() <= 2
            assert (shown[0] == shown[1]).all()
            seen = classify(load_judge("mnist"), expected).probabilities
            for text, row in zip(said, seen):
                digit, sure = text.replace(" %", "").split(" · ")
                assert row[int(digit)] == pytest.approx(int(sure.rstrip("%")) / 100, abs=0.02)
        drawn = np.array(driver.execute_script("return Array.from(normals(123456789, 50000))"))
        expected = np.random.default_rng(123456789).standard_normal(50000, dtype=np.float32)
        np.testing.assert_allclose(drawn, expected, atol=1e-6)

        buttons = driver.find_elements("css selector", ".grid button")
        buttons[0].send_keys(Keys.ARROW_UP, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)  # there is nothing above the first
        assert driver.switch_to.active_element == buttons[5]
        buttons[4].send_keys(Keys.ARROW_LEFT, Keys.ENTER)
        picked = pixels(driver)
        assert (picked[:, 0] == first[:, 4]).all()
        assert (picked[:, 1:] == first[:, 1:]).all()
        driver.execute_script(SLIDE, "t", 1)
        assert (pixels(driver)[:, 0] == first[:, 2]).all()  # B, the second one from the start
        driver.execute_script(SLIDE, "d0", 3)
        assert (np.abs(pixels(driver) - first).mean(axis=(1, 2, 3)) > 1).all()
        driver.find_element("id", "reset").click()
        assert (pixels(driver) == first).all()
        driver.execute_script(SLIDE, "digit", 7)
        sevens = pixels(driver)
        assert (sevens[:2, 1:] == first[:2, 1:]).all()  # they know no labels
        game = load_game(PRETRAINED[2])
        expected = grey(game.sample(game.latent(np.random.default_rng(5), 16, 7)))
        assert np.abs(sevens[2, 1:] - expected).max() <= 2

        driver.find_element("id", "language").click()
        assert driver.find_element("tag name", "h1").text == "试玩生成器"
        time.sleep(1)
        assert driver.current_url.endswith("#seed=5&digit=7&lang=zh")
        assert driver.find_element("id", "trouble").text == ""

        anything = "seed=-1&reach=1e9&a=NaN&t=%3Cimg%3E&whose=99&d0=x&lang=<script>"
        driver.execute_script("location.hash = arguments[0]", anything)
        for _ in range(100):
            if driver.find_element("id", "seed").get_attribute("value") == "0":
                break
            time.sleep(0.1)
        assert pixels(driver).std() > 30
        assert driver.find_element("id", "seed").get_attribute("value") == "0"
        assert driver.find_element("id", "trouble").text == ""
