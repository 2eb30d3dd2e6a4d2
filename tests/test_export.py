"""Exports draw the network's pictures or are not kept; the page in a real browser, from a file."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import time
from pathlib import Path

from commands import export
from commands.export_page import described, leaves, principal, replay
from common.game import Game
from common.judging.judge import classify, load_judge
from common.machine.activations import LeakyReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose
from common.run.artifacts import save_params
from common.run.families import builder
from common.run.runs import load_game
from tests.conftest import ROOT, check_refused

import numpy as np
import paddle
import pytest
from paddle import nn
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

PRETRAINED = [ROOT / "dcgan/pretrained", ROOT / "lsgan/pretrained", ROOT / "zoo/pretrained/cgan"]
HAS_ONNX = all(map(importlib.util.find_spec, export.NEEDED["onnx"]))


def test_the_directions_of_the_page_begin_with_the_one_that_changes_most():
    """Of a layer whose output grows by 1, 2, … for each number of the noise; not of what else it is given."""
    weight = np.diag(np.arange(1, 9)).reshape(8, 8, 1, 1)
    directions = np.array(principal(np.concatenate([weight, 99 * np.ones((2, 8, 1, 1))]), 8))
    np.testing.assert_allclose(directions, np.eye(8)[::-1][:5], atol=1e-6)


def drawn_by(folder: Path, seed: int, count: int) -> np.ndarray:
    """What `commands.sample` draws: float32 `[count, C, H, W]`."""
    game = load_game(folder)
    return game.sample(game.latent(np.random.default_rng(seed), count))


def untrained(family: str, folder: Path, **settings: int) -> Path:
    """A run of `family` that has not begun."""
    folder.mkdir(parents=True, exist_ok=True)
    paddle.seed(0)
    save_params(folder / "generator.params", builder(family)(**settings).networks["generator"].state_dict())
    (folder / "config.json").write_text(json.dumps({"family": family, "flags": settings}))
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
@pytest.mark.parametrize("family", ["dcgan", "fc_gan", "lsgan"])
def test_onnx_draws_the_same(tmp_path, family, say):
    """What was trained, what has a LeakyReLU, and large images in colour."""
    large = {"size": 64, "channels": 3} if family == "lsgan" else {}
    folder = PRETRAINED[0] if family == "dcgan" else untrained(family, tmp_path / family, **large)
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
    wrong[63] += 0.02
    for name in ("infer", "replay"):
        monkeypatch.setattr(export, name, lambda *_: wrong)
    out = tmp_path / "a.html" if form == "html" else tmp_path / "a"
    said = say(export.main, PRETRAINED[0], "--format", form, "--out", out)
    check_refused(said, "draw pictures 2.0e-02 apart")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "name", "expected"), [("paddle", "a", "folder"), ("html", "a.html", "file")])
def test_what_is_in_the_way_is_said_first(tmp_path, say, form, name, expected):
    (tmp_path / name).touch() if form == "paddle" else (tmp_path / name).mkdir()
    said = say(export.main, "nowhere", "--format", form, "--out", tmp_path / name)
    check_refused(said, f"--out {tmp_path / name}: expected a {expected}; name another")


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
        (["{a}", "{a}", "{a}", "{a}", "{a}", "--format", "html", "--out", "a.html"], "name fewer or smaller runs"),
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
    model, _, _ = export.model(export.Trained(game, ROOT, {"family": "dcgan"}, latent, game.sample(latent)))
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
    assert kept.stat().st_size <= 5e6


PIXELS = """const copy = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    return Array.from(document.querySelectorAll("#models canvas"), canvas => {
        copy.drawImage(canvas, 0, 0);
        return Array.from(copy.getImageData(0, 0, 32, 32).data.filter((_, i) => i % 4 === 0));
    });"""
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


def rounded(folder: Path) -> list[nn.Layer]:
    """A generator's layers with the weights that the page has."""
    game = load_game(folder)
    game.networks["generator"].eval()
    layers = leaves(game.networks["generator"])
    replay(layers, game.latent(np.random.default_rng(0), 1), "int8")
    return layers


def through(layers: list[nn.Layer], x: paddle.Tensor) -> paddle.Tensor:
    for layer in layers:
        x = layer(x)
    return x


def test_the_page_draws_what_paddle_draws(page, driver):
    driver.get(f"{page.as_uri()}#seed=5&lang=en")
    first = pixels(driver)
    verdicts = [span.text for span in driver.find_elements("css selector", ".grid span")]
    for shown, folder, said in zip(first, PRETRAINED, np.array(verdicts).reshape(3, 16)):
        expected = drawn_by(folder, 5, 16)
        latent = load_game(folder).latent(np.random.default_rng(5), 16)
        by_page = through(rounded(folder), paddle.to_tensor(latent)).numpy()
        assert np.abs(shown[1:] - grey(by_page)).max() <= 1
        assert np.sqrt(((by_page - expected) ** 2).mean(axis=(1, 2, 3))).max() < export.CLOSE
        assert (shown[0] == shown[1]).all()
        seen = classify(load_judge("mnist"), by_page).probabilities
        for text, row in zip(said, seen):
            digit, sure = text.replace("%", "").split(" · ")
            assert row[int(digit)] == pytest.approx(int(sure) / 100, abs=0.02)
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
    latent = paddle.to_tensor(game.latent(np.random.default_rng(5), 16, 7))
    expected = grey(through(rounded(PRETRAINED[2]), latent).numpy())
    assert np.abs(sevens[2, 1:] - expected).max() <= 1

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


def every_layer() -> list[nn.Layer]:
    """One of each kind that the page has."""
    paddle.seed(1)
    norm = nn.BatchNorm2D(5)
    norm._mean.set_value(paddle.randn([5]))
    norm._variance.set_value(paddle.rand([5]) + 0.5)
    norm.eval()
    return [
        nn.Flatten(), nn.Linear(6, 48), LeakyReLU(0.2), nn.Unflatten(1, [3, 4, 4]),
        Conv2DTranspose(3, 5, 4, stride=2, padding=1), norm, nn.ReLU(), Conv2D(5, 4, 3, padding=1), nn.Sigmoid(),
        nn.MaxPool2D(2), Conv2DTranspose(4, 2, 4, stride=2, padding=1), nn.Tanh(),
    ]  # fmt: skip


@pytest.mark.parametrize("chain", ["every layer", *PRETRAINED], ids=lambda chain: str(chain).rpartition("/")[2])
def test_the_way_back_gives_paddles_gradient(page, driver, chain):
    """Of the mean squared error to some picture, by the latent vector."""
    if driver.current_url.partition("#")[0] != page.as_uri():  # what it shows does not matter here
        driver.get(page.as_uri())
    if isinstance(chain, Path):
        layers, precision, count = rounded(chain), "int8", load_game(chain).latent(np.random.default_rng(0), 1).size
    else:
        layers, precision, count = every_layer(), "float32", 6
    x = paddle.to_tensor(np.random.default_rng(2).standard_normal((1, count, 1, 1), dtype=np.float32))
    x.stop_gradient = False
    made = through(layers, x)
    wanted = np.random.default_rng(3).uniform(-1, 1, made.shape).astype(np.float32)
    loss = ((made - paddle.to_tensor(wanted)) ** 2).mean()
    loss.backward()
    asked = [[described(layer, precision) for layer in layers], x.numpy().ravel().tolist()]
    asked.append(wanted[0].transpose(1, 2, 0).ravel().tolist())  # the channels last
    found = driver.execute_script(
        """const {decode, miss} = engine(), [layers, x, wanted] = arguments;
        const {loss, gradient} = miss(decode(layers), Float32Array.from(x), wanted);
        return [loss, Array.from(gradient)];""",
        *asked,
    )
    assert found[0] == pytest.approx(float(loss), rel=1e-5)
    right = x.grad.numpy().ravel()
    np.testing.assert_allclose(found[1], right, atol=1e-5 * np.abs(right).max() + 1e-9)


def test_a_drawn_digit_is_looked_for(page, driver):
    """With the mouse; then image A, which the first network knows how to make."""
    driver.get(f"{page.as_uri()}#seed=5&lang=en")
    pixels(driver)
    assert int(driver.execute_script("return document.body.dataset.first")) > 0
    pad = driver.find_element("id", "pad")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
    mouse = ActionChains(driver, duration=20).move_to_element_with_offset(pad, 0, -60).click_and_hold()
    mouse.move_by_offset(5, 50).move_by_offset(0, 60).release().perform()
    first = found(driver, 12)
    wanted = driver.execute_script("return Array.from(drawn(models[0]))")
    assert np.reshape(wanted, (32, 32))[8:24, 14:18].mean() > 0.3  # a one, in the middle
    assert (np.array(wanted) == -1).mean() > 0.8
    for number, loss in enumerate(first):
        near = f"cells.filter(c => c.number === {number} && c.index >= 0).map(c => Array.from(c.x.data))"
        shown = np.array(driver.execute_script(f"return {near}"))
        assert loss < ((shown - wanted) ** 2).mean(axis=1).min()
    texts = [text.text for text in driver.find_elements("css selector", "#found p")]
    assert all(re.fullmatch(r"\d+% off, step \d+ of 80", text) for text in texts)
    driver.find_element("id", "take").click()
    own, *others = found(driver, 20)
    assert own < 2e-3 < min(others)
    driver.find_element("id", "clear").click()
    assert [text.text for text in driver.find_elements("css selector", "#found p")] == ["", "", ""]
    # A button that is pressed elsewhere and let go over the pad.
    driver.execute_script("document.getElementById('pad').dispatchEvent(new PointerEvent('pointerup'))")
    time.sleep(0.3)
    assert driver.find_element("id", "trouble").text == ""


def found(driver, steps: int) -> list[float]:
    """How far each network's picture is from what was drawn, after so many steps at least."""
    for _ in range(600):
        if driver.execute_script("return searches.every(s => s.memory.t >= arguments[0])", steps):
            return driver.execute_script("return searches.map(search => search.loss)")
        time.sleep(0.1)
    raise AssertionError(driver.execute_script("return document.body.innerText"))


def test_on_a_phone(page, driver):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for language in ("en", "zh"):
            driver.get("about:blank")
            driver.get(f"{page.as_uri()}#seed=5&lang={language}")
            assert driver.execute_script("return document.documentElement.scrollWidth") == 390
            low = """return [...document.querySelectorAll("button, select, input[type=number], summary")].filter(part =>
                part.offsetParent && part.getBoundingClientRect().height < 44).map(part => part.outerHTML)"""
            assert driver.execute_script(low) == []
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_both_pages_have_one_look():
    ends = "/* The look shared with", "/* The end of the shared look. */"
    pages = [ROOT / "docs/watch.html", ROOT / "docs/play.html", export.TEMPLATE]
    looks = {
        re.search(rf"{re.escape(ends[0])}.*?{re.escape(ends[1])}", page.read_text("utf-8"), re.S)[0] for page in pages
    }
    assert len(looks) == 1


def test_a_profile_that_cannot_be_removed_hides_no_ctrl_c(tmp_path, monkeypatch):
    """Chromium's children may still write to it."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "CHROMIUM", "chromium")
    monkeypatch.setattr(export.subprocess, "run", stopped)
    monkeypatch.setattr(export.os, "rmdir", lambda *_, **__: (_ for _ in ()).throw(OSError("Directory not empty")))
    with pytest.raises(KeyboardInterrupt):
        export.in_browser(tmp_path / "page.html", [])
