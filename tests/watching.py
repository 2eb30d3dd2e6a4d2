"""docs/watch.html in a browser, for its tests: what opens, trains and reads the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs/watch.html"


def visit(driver: Any, address: str = "lang=en") -> None:
    """Opens the page anew and waits until it has done what the address asks."""
    driver.get("about:blank")
    driver.get(f"{PAGE.as_uri()}#{address}")
    rest(driver)


def rest(driver: Any) -> None:
    """Waits until nothing is left to do."""
    driver.execute_async_script("""const done = arguments[0], look = () =>
        !waiting && !settle.later && document.body.dataset.state === "idle" ? done() : setTimeout(look, 10);
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
