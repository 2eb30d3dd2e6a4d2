"""What `python -m commands.results` trains where nothing is asked for: `results_recipes.txt`."""

from __future__ import annotations

from pathlib import Path

RECIPES = Path(__file__).with_suffix(".txt")


def everything() -> list[tuple[str, int]]:
    """The recipes and seeds of the first table of docs/results.md; all first seeds come first."""
    lines = [line for line in RECIPES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    each = [line.split(": ") for line in lines]
    return sorted(((recipe, int(seed)) for seeds, recipe in each for seed in seeds.split()), key=lambda run: run[1])
