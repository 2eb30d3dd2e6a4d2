"""A film of docs/watch.html, its first experiment: `python docs/watch_film.py --out docs/images/watch.gif`.

It needs Chromium, its driver (Debian: chromium chromium-driver) and `pip install -r tests/requirements.txt`.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import DONE, UserError
from common.run.commandline import Parser, command, user_path
from common.run.grids import write_gif
from tests import board

from PIL import Image

PAGE = Path(__file__).with_name("watch.html")
STEPS = [*range(0, 40, 2), *range(40, 180, 4), *range(180, 301, 10)]  # of the frames: most happens early
FRAME_MS, LAST_MS = 90, 2500
WIDTH, SCALE = 1000, 0.76  # of the page in CSS pixels, and of the film's
COLOURS = 128
# From the buttons to the bar of the mean push, which the film ends below; nothing sticks to the top of it.
AREA = """document.querySelector(".bar").style.position = "static";
    const top = document.querySelector(".bar").getBoundingClientRect().top + scrollY;
    return [top, document.querySelector(".scale").getBoundingClientRect().bottom + scrollY - top + 4];"""


def frames(address: str) -> list[Image.Image]:
    """The page at each of STEPS, as it is drawn in Chromium.

    Raises:
        UserError: there is no Chromium, or no driver of it.
    """
    if not (board.CHROMIUM and board.DRIVER):
        raise UserError("there is no Chromium with its driver here (Debian: apt-get install chromium chromium-driver)")
    pictures = []
    with board.browser() as driver:
        size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(address)
        top, height = driver.execute_script(AREA)
        clip = {"x": 0, "y": top, "width": WIDTH, "height": height, "scale": SCALE}
        for step in STEPS:
            driver.execute_script("while (step < arguments[0]) wholeStep(); paint();", step)
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
            pictures.append(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))
    return pictures


def one_palette(pictures: list[Image.Image]) -> list[Image.Image]:
    """The pictures in the COLOURS colours that serve the last one best, so that what stands still stays equal."""
    palette = pictures[-1].quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


@command
def main(arguments: list[str] | None = None) -> int:
    """Film the first experiment of docs/watch.html."""
    parser = Parser(prog="python docs/watch_film.py", description=main.__doc__)
    parser.add_argument("--out", type=user_path, default=Path("work/watch.gif"), help="the film, GIF")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="the language of the page")
    flags = parser.parse_args(arguments)
    pictures = one_palette(frames(f"{PAGE.as_uri()}#preset=1&lang={flags.lang}"))
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    write_gif(flags.out, pictures, durations)
    print(f"{flags.out}: {len(durations)} frames, {flags.out.stat().st_size / 1e6:.2f} MB")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
