"""Two runs in one chart of VisualDL, looked at in a real browser."""

from __future__ import annotations

import io
import shutil

from tests import board
from tests.conftest import train
from tests.runs import TOY

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.pages,
    pytest.mark.skipif(
        not (board.CHROMIUM and board.DRIVER), reason="needs Chromium and its driver (Debian: chromium chromium-driver)"
    ),
]


@pytest.fixture(scope="module")
def logdir(judged, tmp_path_factory):
    """One run was judged twice, the other never."""
    folder = tmp_path_factory.mktemp("board")
    shutil.copytree(judged, folder / "first")
    flags = ["--max-steps", 100, "--learning-rate", 0.002, "--output-dir", folder / "second"]
    assert train("toy", *TOY, *flags) == 0
    return folder


def test_both_runs_in_one_chart_and_a_grid_on_the_image_page(logdir):
    with board.served(logdir) as address, board.browser() as driver:
        driver.get(f"{address}/app/scalar")
        shown = board.wait_for(driver, "loss", "first", "second")
        assert "score" in shown
        assert "speed" in shown
        search = driver.find_element("css selector", "input[placeholder*=RegExp]")
        for chart, colours in (("loss/D", 2), ("loss/all", 3)):  # leaves that one chart; two of its four are alike
            search.send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)
            search.send_keys(chart)
            board.wait_for(driver, "Search", "first")
            (canvas,) = driver.find_elements("css selector", "canvas")
            with Image.open(io.BytesIO(canvas.screenshot_as_png)) as picture:
                pixels = np.asarray(picture.convert("HSV"))
            strong = pixels[pixels[..., 1] > 150][:, 0]  # the hues of lines, not of greys
            assert (np.bincount(strong // 16, minlength=16) > 60).sum() == colours, chart

        driver.get(f"{address}/app/sample/image")
        board.wait_for(driver, "samples", "first", "second")
        sizes = driver.execute_script("return Array.from(document.images).map(i => [i.naturalWidth, i.naturalHeight])")
        assert sizes.count([8 * 34 + 2, 2 * 34 + 2]) == 2, sizes

        driver.find_element("partial link text", "HYPER").click()
        board.wait_for(driver, "learning_rate", "batch_size", "metric/frechet", "metric/frechet EMA")
        driver.get(f"{address}/app/histogram")
        board.wait_for(driver, "gradients", "weights", "second")
        assert len(driver.find_elements("css selector", "canvas")) >= 4  # of two networks in two runs
