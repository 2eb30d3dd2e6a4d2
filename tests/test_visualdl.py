"""Two runs in one chart of VisualDL, looked at in a real browser."""

from __future__ import annotations

import io

from tests import board
from tests.conftest import train
from tests.runs import TOY

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(
    not (board.CHROMIUM and board.DRIVER), reason="needs Chromium and its driver (Debian: chromium chromium-driver)"
)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    for name, rate in (("first", 0.0002), ("second", 0.002)):
        assert train("toy", *TOY, "--max-steps", 100, "--learning-rate", rate, "--output-dir", folder / name) == 0
    return folder


def test_both_runs_in_one_chart_and_a_grid_on_the_image_page(logdir):
    with board.served(logdir) as address, board.browser() as driver:
        driver.get(f"{address}/app/scalar")
        shown = board.wait_for(driver, "loss", "first", "second")
        assert "score" in shown
        assert "speed" in shown
        driver.find_element("css selector", "input[placeholder*=RegExp]").send_keys("loss/D")  # leaves that one chart
        board.wait_for(driver, "Search", "first")
        charts = driver.find_elements("css selector", "canvas")
        assert len(charts) == 1
        pixels = np.asarray(Image.open(io.BytesIO(charts[0].screenshot_as_png)).convert("RGB")).astype(int)
        red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
        assert ((blue > red + 60) & (blue > green + 60)).sum() > 100  # VisualDL's colour of the one run
        assert ((green > red + 60) & (green > blue + 20)).sum() > 100  # and of the other

        driver.get(f"{address}/app/sample/image")
        board.wait_for(driver, "samples", "first", "second")
        sizes = driver.execute_script("return Array.from(document.images).map(i => [i.naturalWidth, i.naturalHeight])")
        assert sizes.count([8 * 34 + 2, 8 * 34 + 2]) == 2, sizes

        driver.find_element("partial link text", "HYPER").click()
        board.wait_for(driver, "learning_rate", "batch_size")
