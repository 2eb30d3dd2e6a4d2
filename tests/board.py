"""Pages in a real browser: what the tests look at, and the screenshots of VisualDL and of docs/play.html.

`python -m tests.board work --out docs/images/visualdl.png` and `python -m tests.board docs/play.html --out
docs/images/play.png` need Chromium and its driver (Debian: chromium-driver).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@contextlib.contextmanager
def served(logdir: Path, err: Path | None = None) -> Iterator[str]:
    """VisualDL serving `logdir` as `make board` does, on a free port; yields its address and ends it afterwards.

    What it says goes to the file `err`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Path(err or os.devnull).open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "commands.board", str(logdir), "--port", str(port)],
            cwd=Path(__file__).resolve().parents[1],
            stdout=said,
            stderr=said,
        )
    address = f"http://127.0.0.1:{port}"
    request = urllib.request.Request(f"{address}/app/scalar", headers={"Accept-Language": "en"})
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5):
                break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium that speaks to nothing but the pages it is sent to."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (
            "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "lang=en",
            "disable-background-networking", "disable-component-update", "window-size=1500,1000",
            "disable-dev-shm-usage", f"user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def wait_for(driver: Any, *words: str, seconds: float = 60) -> str:
    """The text of the page once it shows all of `words` and has come to rest."""
    shown = ""
    for _ in range(int(seconds * 5)):
        shown = driver.execute_script("return document.body.innerText")
        if all(word in shown for word in words):
            time.sleep(2)  # the charts fade in
            return shown
        time.sleep(0.2)
    raise AssertionError(f"the page does not show {words}, but: {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Take a screenshot of VisualDL's scalar page, or of the play page.")
    parser.add_argument("shown", type=Path, help="a folder of runs, for VisualDL; or the play page")
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    if flags.shown.is_file():
        with browser() as driver:
            driver.set_window_size(1120, 1560)
            driver.get(f"{flags.shown.resolve().as_uri()}#seed=5&lang=en")
            wait_for(driver, "images in")
            driver.save_screenshot(str(flags.out))
        return
    with served(flags.shown) as address, browser() as driver:
        driver.get(f"{address}/app/scalar")
        wait_for(driver, "loss", "score")
        driver.find_element("css selector", 'input[placeholder*="RegExp"]').send_keys("^(loss|score)/")
        time.sleep(4)  # the charts are drawn anew
        driver.save_screenshot(str(flags.out))


if __name__ == "__main__":
    main()
