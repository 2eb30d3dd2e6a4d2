"""Trainings started from the app: one at a time, stopped so that all is kept, and none where the app only shows."""

from __future__ import annotations

import contextlib
import gc
import signal
import time

from commands import play, play_runs
from commands.play_training import NUMBERS, Training, number
from common.errors import UserError
from common.run.runs import load_config
from tests.conftest import ROOT
from tests.test_play import needs_gradio, served, wait_until

import pytest

NOTHING = dict.fromkeys(NUMBERS)


@pytest.mark.parametrize(
    ("family", "dataset", "numbers", "words"),
    [
        ("../lsgan", "digits", NOTHING, "no such model"),
        ("nothing", "digits", NOTHING, "no such model"),
        (["lsgan"], "digits", NOTHING, "no such model"),
        ("lsgan", "folder", NOTHING, "no such model or data set"),
        ("lsgan", "digits", {"output_dir": 1}, "output_dir: expected a number"),
        ("lsgan", "digits", {"seed": "1 --resume"}, "seed: expected a number"),
        ("lsgan", "digits", {"seed": "1"}, "seed: expected a number"),
    ],
)
def test_what_the_page_may_not_ask_for(tmp_path, family, dataset, numbers, words):
    with contextlib.closing(Training(tmp_path / "play")) as training, pytest.raises(UserError, match=words):
        training.start(family, dataset, numbers)
    assert not list(tmp_path.iterdir())


def test_what_is_typed():
    assert [number(text) for text in ("", "  ", "5e-4", " 10 ")] == [None, None, 5e-4, 10]
    with pytest.raises(UserError, match="1,5: expected a number"):
        number("1,5")


def test_one_at_a_time_and_a_stop_saves(tmp_path):
    with contextlib.closing(Training(tmp_path / "play")) as training:
        assert (training.said(), training.last_grid()) == ("", None)
        training.start("lsgan", "digits", {**NOTHING, "max_steps": 100_000.0, "seed": 2**63 - 1})
        with pytest.raises(UserError, match="one training is going on"):
            training.start("dcgan", "digits", NOTHING)
        assert wait_until(lambda: training.last_grid() is not None, 120), training.said()
        assert training.last_grid()[1] == "lsgan, epoch 1, batch 0"
        assert training.said().endswith("[lsgan: training …]")
        time.sleep(0.5)
        training.stop()
        assert wait_until(lambda: not training.going_on, 120), training.said()
        training.resume()
        assert wait_until(lambda: "resumed after" in training.said(), 120), training.said()
        with pytest.raises(UserError, match="nothing to go on with: start one, or stop it first"):
            training.resume()
    assert training.said().endswith("[lsgan: stopped]")
    training.log_of(training.run).unlink()
    assert training.said() == "[lsgan: stopped]"
    assert (training.run / "generator.params").exists()
    assert load_config(training.run)["flags"]["seed"] == 2**63 - 1


def test_a_start_that_was_refused_takes_no_name(tmp_path):
    with contextlib.closing(Training(tmp_path)) as training:
        for _ in range(2):
            training.start("lsgan", "digits", {**NOTHING, "max_steps": 0})
            assert wait_until(lambda: not training.going_on, 120)
            assert training.said().count("--max-steps: 0 is too small") == 1
            assert training.said().endswith("[lsgan: ended with status 2]")


def test_one_that_cannot_be_started_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("commands.play_training.subprocess.Popen", full)
    training = Training(tmp_path)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        training.start("lsgan", "digits", NOTHING)
    assert (training.said(), training.last_grid(), [*tmp_path.iterdir()]) == ("", None, [])


def test_all_ends_as_by_ctrl_c_but_what_nohup_ignores():
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        play.end_as_by_ctrl_c()
        assert [signal.getsignal(number) for number in before] == [signal.default_int_handler, signal.SIG_IGN]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_read_only_leaves_the_page_no_way_to_ask_for_one(monkeypatch, say):
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr(play.signal, "signal", lambda *_: None)
    names = []
    monkeypatch.setattr(play, "serve", lambda page, port, **_: names.append({fn.name for fn in page.fns.values()}))
    for flags in ([], ["--read-only"]):
        assert say(play.main, ROOT / "dcgan/pretrained", *flags).status == 0
    assert names[0] - names[1] == {"begin", "resume", "stop", "look", "figure"}


@needs_gradio
@pytest.mark.filterwarnings("ignore")  # gradio's own
def test_a_training_from_the_page(tmp_path, monkeypatch, capsys, chromium):
    import gradio  # only here

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    runs = play_runs.Runs([ROOT / "dcgan/pretrained", tmp_path])
    training = Training(tmp_path / "play")
    page = play.app(runs, gradio, training)
    address = served(page, capsys)
    try:
        with contextlib.closing(training):
            driver = chromium
            driver.get(address)

            def click(text: str) -> None:
                def shown() -> list:
                    found = driver.find_elements("xpath", f"//button[contains(., '{text}')]")
                    return [button for button in found if button.is_displayed()]

                assert wait_until(lambda: bool(shown()), 60), text
                driver.execute_script("arguments[0].click()", shown()[0])

            click("Train · 训练")
            click("Start · 开始")
            assert wait_until(lambda: training.going_on)
            assert wait_until(lambda: "lsgan, epoch " in driver.page_source, 120), training.said()
            click("Stop and save")
            assert wait_until(lambda: not training.going_on, 60)
            shown = "return [...document.querySelectorAll('textarea')].map(box => box.value).join()"
            assert wait_until(lambda: "[lsgan: stopped]" in driver.execute_script(shown))
            click("Watch a GAN learn")
            assert wait_until(lambda: driver.find_elements("css selector", "iframe[title=GAN]"))
            driver.switch_to.frame(driver.find_element("css selector", "iframe[title=GAN]"))
            assert wait_until(lambda: driver.find_elements("id", "play"))
    finally:
        chromium.get("about:blank")
        page.close()
        del page
        gc.collect()
