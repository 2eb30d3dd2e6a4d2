"""docs/watch.html: its gradients are Paddle's, its presets do what their texts say, and it can be used by all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Callable

from docs import watch_film
from tests import board
from tests.conftest import ROOT, check_refused
from tests.test_prose import half_width

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.functional import sigmoid
from PIL import Image
from selenium.webdriver.common.keys import Keys

PAGE = ROOT / "docs/watch.html"
WEIGHTS = ("w1", "b1", "w2", "b2", "w3", "b3")


@pytest.fixture(scope="module")
def driver():
    """One Chromium for the whole file."""
    if not (board.CHROMIUM and board.DRIVER):
        pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)")
    with board.browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def answer(driver) -> dict[str, Any]:
    """What the page says of itself: weights, batches, losses and gradients."""
    driver.get(f"{PAGE.as_uri()}#check")
    return json.loads(driver.find_element("id", "answer").get_attribute("textContent"))


@pytest.fixture
def visit(driver) -> Callable[[str], Any]:
    """`visit(address)` opens the page anew and waits until it has done what the address asks; no error may follow."""

    def opened(address: str = "lang=en") -> Any:
        driver.get("about:blank")
        driver.get(f"{PAGE.as_uri()}#{address}")
        rest(driver)
        return driver

    driver.get_log("browser")
    yield opened
    assert driver.get_log("browser") == []


def rest(driver: Any) -> None:
    """Waits until nothing is left to do."""
    driver.execute_async_script("""const done = arguments[0], look = () =>
        !waiting && document.body.dataset.state === "idle" ? done() : setTimeout(look, 10);
        requestAnimationFrame(() => setTimeout(look));""")


def steps(driver: Any, count: int) -> list[list[float]]:
    """Trains `count` steps at once; the mean of G's samples on each side after every fifth."""
    return driver.execute_script(
        """const means = [[], []];
        for (let i = 1; i <= arguments[0]; i++) {
            wholeStep();
            if (i % 5 === 0) games.forEach((game, side) => means[side].push(samples(game).mean));
        }
        wake();
        return means;""",
        count,
    )


def shown(driver: Any) -> list[dict[str, float]]:
    """What the page measures of each side."""
    return driver.execute_script("""return games.map(game => {
        const {distance, mean: middle, right} = samples(game), {size, scores} = pushes(game), {d, g} = game.losses;
        return {distance, middle, right, size, score: mean(scores), d, g, stopped: game.stopped};
    })""")


def weights(driver: Any) -> Any:
    return driver.execute_script(
        "return games.flatMap(({d, g}) => [d, g].flatMap(net => Object.values(net).map(w => Array.from(w))))"
    )


def press(driver: Any, *keys: str) -> None:
    driver.find_element("id", "stage").send_keys(*keys)
    rest(driver)


# The gradients.


def score(net: dict[str, paddle.Tensor], x: paddle.Tensor) -> paddle.Tensor:
    """The network `net` of the page on x `[N]`: `[N]`."""
    hidden = paddle.tanh(x[:, None] * net["w1"] + net["b1"])
    hidden = paddle.tanh(hidden @ net["w2"].reshape([16, 16]).T + net["b2"])
    return hidden @ net["w3"] + net["b3"]


def target(criterion: nn.Layer, last: Callable = lambda s: s) -> Callable:
    return lambda s, real: criterion(last(s), paddle.full_like(s, real))


LOSSES = {  # of D's raw scores s and what they should be, 1 or 0
    "bce": target(nn.BCELoss(), sigmoid),
    "minimax": target(nn.BCELoss(), sigmoid),
    "mse": target(nn.MSELoss()),
    "sigmoid-mse": target(nn.MSELoss(), sigmoid),
    "wasserstein": lambda s, real: s.mean() * (1 - 2 * real),
}


def loss_d(d: dict, g: dict, loss: str, x: paddle.Tensor, z: paddle.Tensor) -> paddle.Tensor:
    return LOSSES[loss](score(d, x), 1.0) + LOSSES[loss](score(d, score(g, z).detach()), 0.0)


def loss_g(d: dict, g: dict, loss: str, z: paddle.Tensor) -> paddle.Tensor:
    s = score(d, score(g, z))
    return -LOSSES[loss](s, 0.0) if loss == "minimax" else LOSSES[loss](s, 1.0)


def tensors(arrays: dict[str, list[float]], dtype: str) -> dict[str, paddle.Tensor]:
    return {name: paddle.to_tensor(values, dtype, stop_gradient=False) for name, values in arrays.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_every_gradient_is_paddles(answer, dtype, tolerance):
    seen = set()
    for case in answer["cases"]:
        d, g, batch = (tensors(case[name], dtype) for name in ("d", "g", "batch"))
        if case["player"] == "d":
            value = loss_d(d, g, case["loss"], batch["x"], batch["z"])
            slope = paddle.grad(score(d, batch["x"]).sum(), batch["x"], create_graph=True)[0]
            total = value + case["penalty"] / 2 * (slope**2).mean()
        else:
            total = value = loss_g(d, g, case["loss"], batch["z"])
        assert float(value) == pytest.approx(case["value"], abs=tolerance)
        net = d if case["player"] == "d" else g
        for name, found in zip(WEIGHTS, paddle.grad(total, [net[name] for name in WEIGHTS])):
            np.testing.assert_allclose(np.array(case["gradient"][name]), found.numpy(), rtol=0, atol=tolerance)
        assert max(np.abs(case["gradient"][name]).max() for name in WEIGHTS) > 1e-3  # there is something to compare
        seen.add((case["loss"], case["penalty"] > 0, case["player"]))
    assert len(seen) == len(answer["cases"]) == 20
    assert {loss for loss, *_ in seen} == set(LOSSES)


def test_five_steps_of_adam_are_paddles(answer):
    assert [run["loss"] for run in answer["runs"]] == ["bce", "mse"]
    for run in answer["runs"]:
        nets, optimizers = {}, {}
        for player in "dg":
            layer = nn.Layer()
            for name, values in run["first"][player].items():
                parameter = layer.create_parameter([len(values)], dtype="float64")
                parameter.set_value(np.array(values, np.float64))
                layer.add_parameter(name, parameter)
            nets[player] = dict(layer.named_parameters())
            rate, beta1 = run["rates"][player], run["beta1"]
            optimizers[player] = paddle.optimizer.Adam(rate, beta1, parameters=layer.parameters())
        assert [player for player, _ in run["batches"]] == ["d", "g"] * 5
        for player, batch in run["batches"]:
            inputs = {name: paddle.to_tensor(values, "float64") for name, values in batch.items()}
            loss = loss_d if player == "d" else loss_g
            loss(nets["d"], nets["g"], run["loss"], **inputs).backward()
            optimizers[player].step()
            for optimizer in optimizers.values():
                optimizer.clear_grad()
        for player, name in ((player, name) for player in "dg" for name in WEIGHTS):
            np.testing.assert_allclose(run["last"][player][name], nets[player][name].numpy(), rtol=0, atol=1e-12)
            moved = np.abs(np.array(run["last"][player][name]) - run["first"][player][name])
            assert moved.max() > run["rates"][player]


def test_batches_are_even_and_of_the_data(answer):
    batch = answer["cases"][0]["batch"]
    assert (np.floor((np.array(batch["z"]) + 1) * 32) == np.arange(64)).all()  # one in each cell
    x = np.array(batch["x"])
    assert (x < 0).sum() == 32
    for side in (x[:32], x[32:]):
        assert abs(side).mean() == pytest.approx(1.5, abs=0.05)
        assert side.std() == pytest.approx(0.5, abs=0.05)


# The presets do what their texts say.


def test_preset_1_both_find_both_peaks_and_bce_sooner(visit):
    driver = visit("preset=1")
    steps(driver, 60)
    bce, mse = shown(driver)
    assert bce["distance"] < 0.4
    assert mse["distance"] > 1
    steps(driver, 240)
    for side, chance in zip(shown(driver), (1.386, 0.5)):
        assert side["distance"] < 0.3
        assert 0.4 < side["right"] < 0.6
        assert side["d"] == pytest.approx(chance, rel=0.12)


def test_preset_2_saturation_and_what_adam_does(visit):
    driver = visit("preset=2")
    minimax, mse = shown(driver)
    assert -9.5 < minimax["score"] < -7
    assert 100 < mse["size"] / minimax["size"] < 1000
    steps(driver, 100)
    minimax, mse = shown(driver)
    assert minimax["distance"] > 2.5
    assert mse["distance"] < 0.4
    driver.find_element("id", "try").click()
    rest(driver)
    steps(driver, 100)
    assert shown(driver)[0]["distance"] < 0.5


def test_preset_3_swings_until_the_penalty(visit):
    driver = visit("preset=3")
    steps(driver, 100)
    swing = [max(means) - min(means) for means in steps(driver, 200)]
    assert swing[0] > 1.2
    assert swing[1] < 0.2
    driver.find_element("id", "try").click()
    rest(driver)
    steps(driver, 100)
    assert np.ptp(steps(driver, 50)[0]) < 0.2


def test_preset_4_loses_a_peak_until_they_are_near(visit):
    driver = visit("preset=4")
    steps(driver, 200)
    for side, known in zip(shown(driver), (0.955, 0.333)):
        assert min(side["right"], 1 - side["right"]) < 0.05
        assert side["d"] == pytest.approx(known, abs=0.05)
    driver.find_element("id", "try").click()
    rest(driver)
    steps(driver, 250)
    for side in shown(driver):
        assert 0.35 < side["right"] < 0.65
        assert side["distance"] < 0.3


def test_preset_5_the_penalty_is_sooner_than_clipping(visit):
    driver = visit("preset=5")
    steps(driver, 200)
    clipped, penalised = shown(driver)
    assert penalised["distance"] < 0.3 < clipped["distance"]
    largest = driver.execute_script("return games.map(game => Math.max(...Object.values(game.d).flatMap(w => [...w])))")
    assert largest[0] == 0.3 < largest[1]


# The page.


def test_steps_equal_play_equal_the_address(visit):
    driver = visit("preset=1&lang=en")
    driver.find_element("id", "play").click()
    until = "const done = arguments[0], look = () => step >= 25 ? done() : setTimeout(look, 5); look()"
    driver.execute_async_script(until)
    driver.find_element("id", "play").click()
    rest(driver)
    played, count = weights(driver), driver.execute_script("return step")
    address = driver.current_url
    assert f"#preset=1&at={count}&" in address
    press(driver, "r")
    assert weights(driver) != played
    driver.find_element("id", "step").click()
    press(driver, *[Keys.ARROW_RIGHT] * ((count - 1) % 10))
    press(driver, *[Keys.SHIFT + Keys.ARROW_RIGHT + Keys.NULL] * ((count - 1) // 10))
    assert weights(driver) == played
    visit(address.partition("#")[2])
    assert weights(driver) == played
    assert f"at={count}" in driver.current_url
    assert f"step {count}" == driver.find_element("id", "clock").text
    assert f"Step {count}. Left: D's loss" in driver.find_element("id", "spoken").get_attribute("textContent")


def test_one_player_alone_leaves_the_other(visit):
    driver = visit("preset=1&at=20")
    before = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    press(driver, "d")
    between = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    assert (before != between).any(axis=1).tolist() == [True, False, True, False]
    assert "D 30 updates, G 20" in driver.find_element("id", "updates").text
    press(driver, "g")
    after = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    assert (between != after).any(axis=1).tolist() == [False, True, False, True]
    assert "at=" not in driver.current_url  # whole steps would not lead here


def test_a_setting_goes_into_the_address_and_comes_back(visit):
    driver = visit("preset=4&lang=zh")
    driver.execute_script("document.getElementById('more').open = true")
    choice = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.oninput()"
    driver.execute_script(choice, "left", "wasserstein")
    driver.execute_script(choice, "rate-d", "0.02")
    driver.execute_script(choice, "k", "99")  # beyond what there is
    rest(driver)
    assert driver.current_url.endswith("#preset=4&left=wasserstein&rate-d=0.02&lang=zh")
    assert driver.find_element("id", "changed").is_displayed()
    kept = weights(driver)
    visit(driver.current_url.partition("#")[2])
    assert weights(driver) == kept
    driver.find_element("css selector", "#presets button:nth-child(4)").click()
    rest(driver)
    assert driver.current_url.endswith("#preset=4&lang=zh")


@pytest.mark.parametrize(
    "address",
    [
        "preset=99&left=<img src=x onerror=alert(1)>&right=__proto__&peaks=3&k=1e9&seed=-1&at=-5&rate-d=NaN&lang=<b>",
        "preset=constructor&left=toString&centre=1e999&width=0&beta1=1&at=1e9&ahead=Infinity&seed=0x1p3&start=%00",
        "%E0%A4%A&&&===&at&preset=&left=&rate-g=1,5&optimizer-d=ADAM&sampling=odd&right-clip=2&left-penalty=-0.1",
    ],
)
def test_a_hostile_address_changes_nothing(visit, address):
    driver = visit(f"{address}&unknown=1")
    chosen, base = driver.execute_script("const {quantile, sorted, ...rest} = settings; return [rest, BASE]")
    assert chosen == base
    assert driver.current_url.partition("#")[2] == "preset=1&lang=en"
    assert driver.execute_script("return step") == 0


def test_keys_act_where_the_plots_have_the_focus_only(visit):
    driver = visit()
    driver.execute_script("document.getElementById('more').open = true")
    for place in (driver.find_element("id", "centre"), driver.find_element("tag name", "body")):
        place.send_keys(Keys.ARROW_RIGHT, "d", "2")
    rest(driver)
    assert driver.execute_script("return [moves, preset, playing]") == [0, 0, False]
    driver.execute_script("scrollTo(0, 0)")
    driver.find_element("css selector", "#game-left canvas.main").click()  # as one does
    assert driver.switch_to.active_element.get_attribute("id") == "stage"
    driver.switch_to.active_element.send_keys(" ")
    assert driver.execute_script("return playing")
    assert driver.find_element("id", "play").text.endswith("Pause")
    press(driver, " ")
    assert driver.find_element("id", "play").text.endswith("Play")
    press(driver, "4")
    assert driver.execute_script("return [preset, step, settings.centre]") == [3, 0, 2.5]


def test_both_languages_say_all(visit):
    driver = visit("lang=en")
    shape = """const keys = (value, at = "") => typeof value === "object" && value !== null
        ? Object.entries(value).flatMap(([name, part]) => keys(part, `${at}.${name}`)) : [`${at}:${typeof value}`];"""
    english, chinese = driver.execute_script(f"{shape} return [keys(WORDS.en), keys(WORDS.zh)]")
    assert english == chinese
    assert driver.find_element("tag name", "h1").text == "Watch a GAN learn"
    before = weights(driver)
    driver.find_element("id", "language").click()
    assert driver.find_element("tag name", "h1").text == "看 GAN 如何学习"
    assert driver.execute_script("return document.documentElement.lang") == "zh-CN"
    assert driver.current_url.endswith("lang=zh")
    assert weights(driver) == before
    parts = "[data-say], #story, #try, #presets button, #legend li, #guide p, #clock, #spoken, option, canvas"
    said = "return [...document.querySelectorAll(arguments[0])].map(p => p.getAttribute('aria-label') || p.textContent)"
    texts = driver.execute_script(said, parts)
    assert "" not in texts
    assert "undefined" not in " ".join(texts)
    everything = driver.execute_script(
        "const all = v => typeof v === 'string' ? [v] : Object.values(v).flatMap(all); return all(WORDS.zh)"
    )
    assert half_width("\n\n".join(everything)) == []


def test_on_a_phone(visit, driver):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for language in ("en", "zh"):
            visit(f"preset=5&lang={language}")
            assert driver.execute_script("return document.documentElement.scrollWidth") == 390
            low = """return [...document.querySelectorAll("button, select, input, summary")].filter(part =>
                part.offsetParent && part.getBoundingClientRect().height < 44).map(part => part.outerHTML)"""
            assert driver.execute_script(low) == []
            opened = driver.execute_script("return [...document.querySelectorAll('details')].map(part => part.open)")
            assert opened == [True, False, True, False, False, False, False]  # B of both sides
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_less_motion_shows_only_what_comes_out(visit, driver):
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        visit()
        assert driver.find_element("id", "play").text == "100 steps"
        driver.execute_script("window.drawn = 0; const one = paint; paint = (...all) => { drawn++; one(...all); }")
        driver.find_element("id", "play").click()
        rest(driver)
        assert driver.execute_script("return [step, playing]") == [100, False]
        assert driver.execute_script("return drawn") <= 2
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_hidden_page_pauses(visit):
    driver = visit()
    driver.find_element("id", "play").click()
    driver.execute_script("""Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
        document.dispatchEvent(new Event("visibilitychange")); delete document.hidden;""")
    assert not driver.execute_script("return playing")


def test_a_side_that_overflows_stops_and_says_so(visit):
    driver = visit("preset=1&optimizer-d=sgd&rate-d=1&k=5")
    steps(driver, 150)
    rest(driver)
    left, right = shown(driver)
    assert right["stopped"]
    assert not left["stopped"]
    assert driver.find_element("css selector", "#game-right .stopped").text.startswith("Stopped")
    assert driver.find_element("css selector", "#game-left .stopped").text == ""
    assert np.isfinite(np.concatenate(weights(driver))).all()


def test_a_frame_holds_the_page_up_no_longer_than_it_may(visit):
    """By a clock that each move and each picture moves on by three milliseconds."""
    driver = visit()
    made = driver.execute_script("""
        let clock = 0, drawn = 0, moved = 0;
        const real = performance.now;
        performance.now = () => clock;
        try {
            queue = [{count: 50, move: () => { clock += 3; moved++; }}];
            for (const entry of canvases.values()) entry.draw = () => { clock += 3; drawn++; };
            const frames = [0, 1, 2, 3].map(() => {
                const before = [moved, drawn];
                work();
                paint(DRAW_MS);
                return [moved - before[0], drawn - before[1]];
            });
            return [frames, [...canvases.values()].filter(entry => entry.width).length];
        } finally { performance.now = real; queue = []; }""")
    frames, pictures = made
    assert pictures == 7
    assert frames == [[2, 1]] * 4  # a third move would end at 9 ms, a second picture at 6


def test_the_page_is_small_and_runs_nothing_but_its_own_script():
    content = PAGE.read_bytes()
    assert len(content) <= 150_000
    text = content.decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text).group(1)
    for part, tag in (("script-src", "script"), ("style-src", "style")):
        (found,) = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        assert f"{part} 'sha256-{digest}'" in policy  # where this fails, put that into the page's second <meta>
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"\son\w+=|\sstyle=|fetch\(|XMLHttp|import\(|eval\(|innerHTML|document\.write", text)
    outside = set(re.findall(r"https?://[^\s\"'<>`]+", text))
    assert outside == {"https://poloclub.github.io/ganlab/", "http://www.w3.org/2000/svg"}  # a link and a name


def test_no_other_script_runs(visit, driver):
    visit()
    driver.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
    )
    assert driver.execute_script("return window.ran") is None
    (refused,) = driver.get_log("browser")
    assert "Content Security Policy" in refused["message"]


def test_colours_can_be_read():
    """Text has at least 4.5 of contrast to the page, light and dark (WCAG 2.1 AA)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    themes = re.findall(r":root \{(.*?)\}", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        found = re.findall(r"--(\w+): #(\w+)", theme)
        colours = {name: value * 2 if len(value) == 3 else value for name, value in found}
        light = luminance(f"#{colours['page']}")
        for name in ("ink", "soft", "d", "g", "push"):
            lower, upper = sorted((light, luminance(f"#{colours[name]}")))
            assert (upper + 0.05) / (lower + 0.05) >= 4.5, name


def test_the_film_is_short_and_small(monkeypatch, tmp_path, say):
    film = ROOT / "docs/images/watch.gif"
    assert film.stat().st_size < 1e6
    with Image.open(film) as pictures:
        assert pictures.n_frames == len(watch_film.STEPS)
    monkeypatch.setattr(board, "DRIVER", None)
    check_refused(say(watch_film.main, "--out", tmp_path / "a.gif"), "no Chromium with its driver")
