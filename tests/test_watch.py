"""docs/watch.html: its gradients are Paddle's, its presets do what their texts say, its script alone runs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Callable

from docs import watch_film
from tests import board
from tests.conftest import ROOT, check_refused
from tests.watching import PAGE, rest, shown, steps, visit

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.functional import sigmoid
from PIL import Image

WEIGHTS = ("w1", "b1", "w2", "b2", "w3", "b3")


# The gradients.


@pytest.fixture(scope="module")
def answer(chromium) -> dict[str, Any]:
    """What the page says of itself: weights, batches, losses and gradients."""
    chromium.get(f"{PAGE.as_uri()}#check")
    return json.loads(chromium.find_element("id", "answer").get_attribute("textContent"))


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


def test_preset_1_both_find_both_peaks_and_bce_sooner(driver):
    visit(driver, "preset=1")
    steps(driver, 60)
    bce, mse = shown(driver)
    assert bce["distance"] < 0.4
    assert mse["distance"] > 1
    steps(driver, 240)
    for side, chance in zip(shown(driver), (1.386, 0.5)):
        assert side["distance"] < 0.3
        assert 0.4 < side["right"] < 0.6
        assert side["d"] == pytest.approx(chance, rel=0.12)


def test_preset_2_saturation_and_what_adam_does(driver):
    visit(driver, "preset=2")
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


def test_preset_3_swings_until_the_penalty(driver):
    visit(driver, "preset=3")
    steps(driver, 100)
    swing = [max(means) - min(means) for means in steps(driver, 200)]
    assert swing[0] > 1.2
    assert swing[1] < 0.2
    driver.find_element("id", "try").click()
    rest(driver)
    steps(driver, 100)
    assert np.ptp(steps(driver, 50)[0]) < 0.2


def test_preset_4_loses_a_peak_until_they_are_near(driver):
    visit(driver, "preset=4")
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


def test_preset_5_the_penalty_is_sooner_than_clipping(driver):
    visit(driver, "preset=5")
    steps(driver, 200)
    clipped, penalised = shown(driver)
    assert penalised["distance"] < 0.3 < clipped["distance"]
    largest = driver.execute_script("return games.map(game => Math.max(...Object.values(game.d).flatMap(w => [...w])))")
    assert largest[0] == 0.3 < largest[1]


# The file.


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


def test_no_other_script_runs(driver):
    visit(driver)
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
