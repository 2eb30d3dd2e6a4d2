"""The words and pictures of `commands.results`, made from `results.json` alone."""

from __future__ import annotations

import shlex

from commands.results_recipes import EQUAL, UPDATES, bare, everything
from commands.results_summary import CURVE, WON, at_common_epochs
from common.judging.tables import COLUMNS
from common.run import families
from common.run.families import script

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

SHOWN = {key: column for key, column in COLUMNS.items() if key != "kernel_spread"}
FEW = ("frechet", "precision", "recall", "confident")
# The curves of the report, and the colours of their families; the players' are commands.compare's.
DRAWN = (
    "dcgan --epochs 10",
    "dcgan --penalty 1 --learning-rate 0.0005 --epochs 6",
    "lsgan --epochs 10",
    "lsgan --penalty 10 --learning-rate 0.001 --epochs 8",
)
FAMILY_COLOURS = ("#b3400a", "#6741d9", "#0b7285", "#5c940d")
KINDS = ("EMA", "raw")  # of weights, the one that a table shows first


def by_recipe(results: dict, equal: bool) -> dict[str, list[dict]]:
    """The runs of each recipe, with their names: those of the first table, or the others."""
    found: dict[str, list[dict]] = {}
    for name, run in results["runs"].items():
        if run["recipe"].endswith(UPDATES) == equal:
            found.setdefault(run["recipe"], []).append({"name": name, **run})
    return found


def by_epochs(recipes: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Those of the recipes of which an epoch was judged in every run, with these epochs alone."""
    found = {}
    for recipe, members in recipes.items():
        curves = at_common_epochs([run["by epoch"] for run in members])
        if curves[0]["epoch"]:
            found[recipe] = [{**run, "by epoch": curve} for run, curve in zip(members, curves)]
    return found


def heading(recipe: str) -> str:
    """ "dcgan --linear-decay" as "DCGAN --linear-decay"; the length of the first table's runs is not said."""
    family, *changes = bare(recipe).split()
    return " ".join([families.title(family), *changes])


def spread_of(values: list[float], form: str = "{:.2f}") -> str:
    """Mean and, of several runs, standard deviation (n - 1), as "28.36 ± 1.20"; a dash where nothing was measured."""
    if None in values or not values:
        return "–"
    mean = form.format(np.mean(values))
    return f"{mean} ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else mean


def report(results: dict) -> str:
    """The report as Markdown."""
    lines = [
        "# Measured results",
        "",
        f"Written by `python -m commands.results` from `results.json`. {results['samples']:,} samples of each "
        "generator. Mean ± standard deviation where there are several seeds. ↓ less is better, ↑ more is better; what "
        "the columns mean: [reading-results.md](reading-results.md).",
        "",
    ]
    equal, others = by_recipe(results, True), by_recipe(results, False)
    if equal:
        lines += equal_updates(equal, results["anchors"])
    if others:
        lines += longer(others, results["anchors"])
    return "\n".join([*lines, *reproduce(results["runs"])]) + "\n"


def equal_updates(recipes: dict[str, list[dict]], anchors: dict[str, dict]) -> list[str]:
    """The section with a row for each family and data set, the nearest to real images first."""
    lines = [
        "## Every family, with as many updates",
        "",
        f"Each family's own command with `{EQUAL.strip()}`: 5,000 updates of G on 64 images. (WGAN and WGAN-GP: their "
        "critics see five batches in each; WGAN-GP's batches have 32 images. StackGAN: 2,000 updates of its first "
        "stage, 3,000 of its second. Two domains: 64 images of each.) Averaged weights (EMA), where there are some. A "
        "dash: the family draws nothing from noise. In brackets the floor of a yardstick: what is reached where "
        "nothing was learnt. Yardsticks on unseen images: by 1,000 or 2,000 drawn at random, of most runs still by the "
        "first ones, which are harder. Minutes on one thread, judgements included. CIFAR-10 has a judge of its own: "
        "its distances cannot be compared with the others.",
        "",
        f"| | seeds (pictures) | {' | '.join(SHOWN[key][0] for key in FEW)} | its own yardstick (floor) "
        "| minutes | command | |",
        "| --- |" + " --- |" * (len(FEW) + 5),
    ]
    for dataset in sorted({run["dataset"] for members in recipes.values() for run in members}, reverse=True):
        suffix = "" if dataset == "mnist" else f", {dataset}"
        rows = []
        for recipe, members in recipes.items():
            if members[0]["dataset"] != dataset:
                continue
            cells = [spread_of([shown(run).get(key) for run in members], SHOWN[key][1]) for key in FEW]
            family, *flags = bare(recipe).split()
            command = " ".join(["python", script(family).as_posix(), *flags])
            minutes = spread_of([run["minutes"] for run in members], "{:.0f}")
            picture = f"![{heading(recipe)}](images/{members[0]['picture']})"
            seeds = ", ".join(f"[{run['seed']}](images/{run['picture']})" for run in members)
            name = heading(recipe).removesuffix(UPDATES) + suffix
            if "earlier code" in members[0]:  # entered by hand where no flags give the run any more; --add replaces it
                name += f" (earlier code: {members[0]['earlier code']})"
            distance = np.mean([shown(run).get("frechet", np.inf) for run in members])
            rows.append((distance, [name, seeds, *cells, own(members), minutes, f"`{command}`", picture]))
        lines += [f"| {' | '.join(cells)} |" for _, cells in sorted(rows)]
        for name, row in anchors.get(dataset, {}).items():
            cells = [SHOWN[key][1].format(row[key]) for key in FEW]
            lines.append(f"| {name}{suffix} | | {' | '.join(cells)} | | | | |")
    return [*lines, ""]


def shown(run: dict) -> dict:
    """The metrics of the weights that the first table shows."""
    return next((run["final"][kind] for kind in KINDS if kind in run["final"]), {})


def own(members: list[dict]) -> str:
    """The yardsticks of a family, as "its name 0.996 (0)": figure and floor, means over the seeds."""
    found = [next((run["yardsticks"][kind] for kind in KINDS if kind in run["yardsticks"]), {}) for run in members]
    cells = []
    for name in dict.fromkeys(name for one in found for name in one):
        figures, floors = zip(*(one[name] for one in found if name in one))
        form = "{:.3f}" if len(figures) > 1 else "{:.4g}"
        cells.append(f"{name} {spread_of(figures, form)} ({np.mean(floors):.4g})")
    return "; ".join(cells)


def longer(recipes: dict[str, list[dict]], anchors: dict[str, dict]) -> list[str]:
    """The sections on all other runs."""
    silent = {recipe: members for recipe, members in recipes.items() if not members[0]["final"]}
    recipes = {recipe: members for recipe, members in recipes.items() if members[0]["final"]}
    lines = ["## Longer runs and other recipes", "", "Each name is a family and the flags of its command.", ""]
    if recipes:
        lines += drawing(recipes, anchors)
    if silent:
        lines += ["## What draws nothing from noise", "", "| | its own yardstick (floor) | |", "| --- | --- | --- |"]
        for recipe, members in silent.items():
            grids = " ".join(f"![{run['name']}](images/{run['picture']})" for run in members)
            lines.append(f"| {heading(recipe)} | {own(members)} | {grids} |")
        lines += [""]
    return lines


def drawing(recipes: dict[str, list[dict]], anchors: dict[str, dict]) -> list[str]:
    """What is known of generators that draw from noise."""
    lines, judged = [], by_epochs(recipes)
    if judged:
        lines += ["![Fréchet distance, D's loss and D's lead by epoch](images/results.png)", ""]
    lines += [f"| | {' | '.join(name for name, _ in SHOWN.values())} |", "| --- |" + " --- |" * len(SHOWN)]
    for recipe, members in recipes.items():
        for kind in members[0]["final"]:
            cells = [spread_of([run["final"][kind][key] for run in members], form) for key, (_, form) in SHOWN.items()]
            lines.append(f"| {heading(recipe)} {kind} | {' | '.join(cells)} |")
    for dataset in sorted({run["dataset"] for members in recipes.values() for run in members}):
        for name, row in anchors.get(dataset, {}).items():
            suffix = "" if dataset == "mnist" else f", {dataset}"
            lines.append(
                f"| {name}{suffix} | {' | '.join(form.format(row[key]) for key, (_, form) in SHOWN.items())} |"
            )
    lines += ["", *winning(recipes), ""]
    lines += [line for recipe, members in judged.items() for line in by_epoch(recipe, members)]
    seeds = sorted({run["seed"] for members in recipes.values() for run in members})
    lines += ["## What they draw", "", "The same 64 latent vectors, each run's moving average.", ""]
    lines += ["| |" + "".join(f" seed {seed} |" for seed in seeds), "| --- |" + " --- |" * len(seeds)]
    for recipe, members in recipes.items():
        grids = {run["seed"]: f"![{run['name']}](images/{run['picture']})" for run in members}
        lines.append(f"| {heading(recipe)} | {' | '.join(grids.get(seed, '') for seed in seeds)} |")
    return [*lines, ""]


def winning(recipes: dict[str, list[dict]]) -> list[str]:
    """The section that says where D begins to win."""
    lines = [
        "## Where D begins to win",
        "",
        f"Counted in blocks of {CURVE} steps. D dominates a block if its mean score of real images is more than {WON} "
        "above that of fakes. The last column: how often the health watch spoke.",
        "",
        "| | first such block, at step (each seed) | share of all blocks | warnings |",
        "| --- | --- | --- | --- |",
    ]
    for recipe, members in recipes.items():
        found = [run["won"] for run in members if "won" in run]
        if found:
            first = " / ".join("never" if one["first"] is None else f"{one['first']:,}" for one in found)
            share = spread_of([100 * one["share"] for one in found], "{:.0f}")
            said = " / ".join(str(run["troubles"]) for run in members)
            lines.append(f"| {heading(recipe)} | {first} | {share}% | {said} |")
    return lines


def by_epoch(recipe: str, members: list[dict]) -> list[str]:
    """A recipe's section with a row for each epoch."""
    columns = {"raw": "Fréchet raw ↓", "ema": "Fréchet EMA ↓", "loss_d": "D's loss", "loss_g": "G's loss"}
    columns = {**columns, "score_real": "D of real", "score_fake": "D of fakes"}
    columns = {column: name for column, name in columns.items() if members[0]["by epoch"].get(column)}
    lines = [
        f"## {heading(recipe)} by epoch",
        "",
        "Fréchet distance of 2,000 samples; losses and scores as the mean over the epoch's steps.",
        "",
        f"| epoch | {' | '.join(columns.values())} |",
        "| --- |" + " --- |" * len(columns),
    ]
    for place, epoch in enumerate(members[0]["by epoch"]["epoch"]):
        cells = [
            spread_of(
                [run["by epoch"][column][place] for run in members], "{:.2f}" if column in ("raw", "ema") else "{:.3f}"
            )
            for column in columns
        ]
        lines.append(f"| {epoch} | {' | '.join(cells)} |")
    return [*lines, ""]


def reproduce(runs: dict[str, dict]) -> list[str]:
    """The section with the commands and what each run's weights hashed to."""
    lines = [
        "## Reproduce",
        "",
        "```bash",
        "python -m commands.results   # the first table, but for what is added to it below",
    ]
    first = {recipe for recipe, _ in everything()}
    for recipe in sorted({run["recipe"] for run in runs.values()}):
        if recipe in first:
            continue
        seeds = map(str, sorted(run["seed"] for run in runs.values() if run["recipe"] == recipe))
        lines.append(f"python -m commands.results --add --recipes {shlex.quote(recipe)} --seeds {' '.join(seeds)}")
    lines += [
        "```",
        "",
        "The same processor type, Paddle version and commit give the same bits; another processor rounds otherwise, "
        "and its run soon is another run. SHA-256 of `generator.params` begins with:",
        "",
        "| run | hash | trained on | with | at commit |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        digest = f"`{run['sha256']['raw'][:32]}`" if "raw" in run["sha256"] else "no generator"
        lines.append(f"| {name} | {digest} | {run['processor']} | {versions} | {run['commit'][:12]} |")
    return lines


def draw_curves(results: dict) -> Figure | None:
    """Fréchet distances, losses and D's lead by epoch, of the recipes DRAWN, or of the first ones where none of them is
    there: a colour for each family, broken lines for the course's settings. None where no run has curves."""
    found = by_epochs(by_recipe(results, False))
    if not found:
        return None
    recipes = [recipe for recipe in DRAWN if recipe in found] or [*found][: len(DRAWN)]
    names = dict.fromkeys(recipe.split()[0] for recipe in recipes)
    colours = dict(zip(names, FAMILY_COLOURS))
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    distance, loss_d, lead = figure.subplots(1, 3)
    for recipe in recipes:
        members, family = found[recipe], recipe.split()[0]
        style = {"color": colours[family], "linestyle": "-" if "--penalty" in recipe else "--"}
        epochs = members[0]["by epoch"]["epoch"]
        kind = next((kind for kind in KINDS if members[0]["by epoch"][kind.lower()]), None)
        if kind:
            table = np.array([run["by epoch"][kind.lower()] for run in members])
            distance.plot(epochs, table.mean(axis=0), label=f"{heading(recipe)}, {kind}", **style)
            distance.fill_between(epochs, table.min(axis=0), table.max(axis=0), color=colours[family], alpha=0.15)
        for run in members:
            found_by = run["by epoch"]
            if min(found_by.get("loss_d", [0])) > 0:  # a critic's difference of scores has no logarithm
                loss_d.plot(epochs, found_by["loss_d"], linewidth=1, **style)
            if "score_real" in found_by:
                lead.plot(epochs, np.subtract(found_by["score_real"], found_by["score_fake"]), linewidth=1, **style)
    distance.set(title="Fréchet distance (band: all seeds)", xlabel="epoch", yscale="log")
    loss_d.set(title="D's loss, mean of an epoch", xlabel="epoch", yscale="log")
    for axes in (distance, loss_d):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    lead.set(title="D's score of real less that of fakes", xlabel="epoch")
    for axes in (distance, loss_d, lead):
        axes.grid(alpha=0.25)
    return figure
