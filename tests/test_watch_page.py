"""docs/watch.html as it is used: steps, the address, keys, languages, a phone, less motion, a frame's time."""

from __future__ import annotations

from tests.test_prose import half_width
from tests.watching import press, rest, shown, steps, visit, weights

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys


def test_steps_equal_play_equal_the_address(driver):
    visit(driver, "preset=1&lang=en")
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
    visit(driver, address.partition("#")[2])
    assert weights(driver) == played
    assert f"at={count}" in driver.current_url
    assert f"step {count}" == driver.find_element("id", "clock").text
    assert f"Step {count}. Left: D's loss" in driver.find_element("id", "spoken").get_attribute("textContent")


def test_a_key_held_down_changes_the_address_once_at_its_end(driver):
    """Safari lets a page change it 100 times in 30 seconds, and then throws."""
    visit(driver, "preset=1&lang=en")
    driver.execute_script(
        "window.said = 0; const put = history.replaceState.bind(history);"
        "history.replaceState = (...given) => { said++; put(...given); }"
    )
    driver.execute_async_script("""const done = arguments[0], stage = document.getElementById("stage");
        let left = 150;
        const key = () => {
            stage.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
            left-- > 1 ? setTimeout(key, 20) : done();
        };
        key();""")
    rest(driver)
    assert driver.execute_script("return step") == 150
    assert "&at=150&" in driver.current_url
    assert driver.execute_script("return said") <= 20


def test_one_player_alone_leaves_the_other(driver):
    visit(driver, "preset=1&at=20")
    before = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    press(driver, "d")
    between = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    assert (before != between).any(axis=1).tolist() == [True, False, True, False]
    assert "D 30 updates, G 20" in driver.find_element("id", "updates").text
    press(driver, "g")
    after = np.array([np.concatenate(net) for net in np.array(weights(driver), object).reshape(4, 6)])
    assert (between != after).any(axis=1).tolist() == [False, True, False, True]
    assert "at=" not in driver.current_url  # whole steps would not lead here


def test_a_setting_goes_into_the_address_and_comes_back(driver):
    visit(driver, "preset=4&lang=zh")
    driver.execute_script("document.getElementById('more').open = true")
    choice = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.oninput()"
    driver.execute_script(choice, "left", "wasserstein")
    driver.execute_script(choice, "rate-d", "0.02")
    driver.execute_script(choice, "k", "99")  # beyond what there is
    rest(driver)
    assert driver.current_url.endswith("#preset=4&left=wasserstein&rate-d=0.02&lang=zh")
    assert driver.find_element("id", "changed").is_displayed()
    kept = weights(driver)
    visit(driver, driver.current_url.partition("#")[2])
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
def test_a_hostile_address_changes_nothing(driver, address):
    visit(driver, f"{address}&unknown=1")
    chosen, base = driver.execute_script("const {quantile, sorted, ...rest} = settings; return [rest, BASE]")
    assert chosen == base
    assert driver.current_url.partition("#")[2] == "preset=1&lang=en"
    assert driver.execute_script("return step") == 0


def test_keys_act_where_the_plots_have_the_focus_only(driver):
    visit(driver)
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


def test_both_languages_say_all(driver):
    visit(driver, "lang=en")
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


def test_on_a_phone(driver):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for language in ("en", "zh"):
            visit(driver, f"preset=5&lang={language}")
            assert driver.execute_script("return document.documentElement.scrollWidth") == 390
            low = """return [...document.querySelectorAll("button, select, input, summary")].filter(part =>
                part.offsetParent && part.getBoundingClientRect().height < 44).map(part => part.outerHTML)"""
            assert driver.execute_script(low) == []
            opened = driver.execute_script("return [...document.querySelectorAll('details')].map(part => part.open)")
            assert opened == [True, False, True, False, False, False, False]  # B of both sides
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_less_motion_shows_only_what_comes_out(driver):
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        visit(driver)
        assert driver.find_element("id", "play").text == "100 steps"
        driver.execute_script("window.drawn = 0; const one = paint; paint = (...all) => { drawn++; one(...all); }")
        driver.find_element("id", "play").click()
        rest(driver)
        assert driver.execute_script("return [step, playing]") == [100, False]
        assert driver.execute_script("return drawn") <= 2
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_hidden_page_pauses(driver):
    visit(driver)
    driver.find_element("id", "play").click()
    driver.execute_script("""Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
        document.dispatchEvent(new Event("visibilitychange")); delete document.hidden;""")
    assert not driver.execute_script("return playing")


def test_a_side_that_overflows_stops_and_says_so(driver):
    visit(driver, "preset=1&optimizer-d=sgd&rate-d=1&k=5")
    steps(driver, 150)
    rest(driver)
    left, right = shown(driver)
    assert right["stopped"]
    assert not left["stopped"]
    assert driver.find_element("css selector", "#game-right .stopped").text.startswith("Stopped")
    assert driver.find_element("css selector", "#game-left .stopped").text == ""
    assert np.isfinite(np.concatenate(weights(driver))).all()


def test_a_frame_holds_the_page_up_no_longer_than_it_may(driver):
    """By a clock that each move and each picture moves on by three milliseconds."""
    visit(driver)
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
