"""What `python -m commands.results` trains: recipes, and where nothing is asked for those of `results_recipes.txt`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.run.families import builder, families
from common.run.flags import flag_of, parse_flags

RECIPES = Path(__file__).with_suffix(".txt")
UPDATES = " --max-steps 5000"  # how a recipe of the first table ends
EQUAL = f" --batch-size 64{UPDATES}"  # how all of them do, but WGAN-GP's


class Run(NamedTuple):
    """A training: a family with flags of its command, a seed, and where it is kept."""

    recipe: str
    seed: int
    folder: Path


def name_of(recipe: str, seed: int) -> str:
    """ "dcgan --epochs 10", 2 as "dcgan-epochs-10-2"; the length of the first table's runs is not said."""
    return f"{bare(recipe).replace(' --', '-').replace(' ', '-')}-{seed}"


def bare(recipe: str) -> str:
    """A recipe without the length that those of the first table have."""
    return recipe.removesuffix(EQUAL)


def known_recipe(text: str) -> str:
    """An argparse type: a family, with flags or without."""
    family, *words = text.replace("=", " ").split()
    if family not in families():
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with one of {', '.join(families())}")
    for flag in ("--seed", "--threads", "--output-dir", "--data-dir", "--resume", "--sample-every"):
        if flag in words:
            raise argparse.ArgumentTypeError(f"{text!r}: this command sets {flag} itself")
    if {"-h", "--help", "folder"} & {*words}:
        raise argparse.ArgumentTypeError(f"{text!r}: what is trained here is judged: no --help, no --dataset folder")
    return " ".join([family, *words])


def check_recipe(run: Run, config: dict[str, Any]) -> None:
    """Raise `UserError` where a run's `config.json` says that it was made by other settings than its recipe stands for:
    a default may be another one since."""
    family, *words = run.recipe.split()
    flags = parse_flags(family, builder(family), words)
    length = {name: vars(flags)[name] for name in ("epochs", "max_steps", "batch_size", "linear_decay")}
    for name, value in {**flags.settings, **length}.items():
        then = config["flags"].get(name)
        if then is not None and then != value:
            raise UserError(
                f"{run.folder}: made with {flag_of(name)} {then}, {run.recipe} means {value} today; give "
                f"{flag_of(name)} in --recipes and in the folder's name, or remove the folder"
            )


def everything() -> list[tuple[str, int]]:
    """The recipes and seeds of the first table of docs/results.md; all first seeds come first."""
    lines = [line for line in RECIPES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    each = [line.split(": ") for line in lines]
    return sorted(((recipe, int(seed)) for seeds, recipe in each for seed in seeds.split()), key=lambda run: run[1])
