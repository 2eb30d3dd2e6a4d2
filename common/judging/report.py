"""The words and pictures of `common.results`, made from `results.json` alone."""

from __future__ import annotations

import shlex

from common.judging.tables import COLUMNS

import numpy as np
from matplotlib.figure import Figure

LOSSES = ("loss_d", "loss_g", "score_real", "score_fake")  # the columns of `losses.csv` that are reported
CURVE = 100  # steps that one point of a curve is the mean of, the last one perhaps of fewer
WON = 0.95  # D has all but won where its mean score of real images is this far above that of fakes
SHOWN = {key: column for key, column in COLUMNS.items() if key != "kernel_spread"}


def by_recipe(results: dict) -> dict[str, list[dict]]:
    """The runs of each recipe, with their names."""
    found: dict[str, list[dict]] = {}
    for name, run in results["runs"].items():
        found.setdefault(run["recipe"], []).append({"name": name, **run})
    return found


def title(recipe: str) -> str:
    """ "dcgan --linear-decay" as "DCGAN --linear-decay"."""
    family, *changes = recipe.split()
    return " ".join([family.upper(), *changes])


def model_card(family: str, run: dict, results: dict, config: dict) -> str:
    """What a reader must know of published weights."""
    final, floor = run["final"]["EMA"], results["anchors"]["real, unseen"]
    figures = "\n".join(
        f"| {name} | {form.format(final[key])} | {form.format(floor[key])} |" for key, (name, form) in SHOWN.items()
    )
    return f"""# {family.upper()}, pretrained · 预训练权重

```bash
python -m common.sample {family}/pretrained --out grid.png
```

| | |
| --- | --- |
| network · 网络 | the generator of `{family}/model.py`, `[N, 100, 1, 1]` normal noise to `[N, 1, 32, 32]` in [-1, 1] |
| weights · 权重 | moving average (0.999) after {len(run["epochs"])} epochs, seed {run["seed"]}, the best of \
{len(by_recipe(results)[family])} by Fréchet distance |
| data · 数据 | {results["dataset"].upper()}, training images ({config["checksum"]}) |
| recipe · 配方 | batch {config["flags"]["batch_size"]}, Adam {config["flags"]["learning_rate"]}, \
beta1 {config["flags"]["beta1"]}; `make results` at commit {run["commit"][:12]} |
| SHA-256 | `{run["sha256"]["EMA"]}` |
| licence · 许可证 | Apache-2.0 |

{results["samples"]:,} samples by our judge, beside unseen real images · 由评判网络给出，与未见过的真图对照：

| metric · 指标 | these weights · 本权重 | real, unseen · 真图 |
| --- | --- | --- |
{figures}

It draws handwritten digits and nothing else; made for teaching. · 只会画手写数字，供教学使用。
""".replace("\\\n", "")


def spread_of(values: list[float], form: str = "{:.2f}") -> str:
    """Mean and, of several runs, standard deviation (n - 1), as "28.36 ± 1.20"."""
    mean = form.format(np.mean(values))
    return f"{mean} ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else mean


def report(results: dict) -> str:
    """The report as Markdown."""
    recipes, runs = by_recipe(results), results["runs"]
    seeds = sorted({run["seed"] for run in runs.values()})
    epochs = results["epochs"]
    there = {(run["recipe"], run["seed"]) for run in runs.values()}
    missing = [f"{title(recipe)} seed {seed}" for recipe in recipes for seed in seeds if (recipe, seed) not in there]
    left_out = f" Not finished, and left out: {', '.join(missing)}." if missing else ""
    called = shlex.join(
        ["python", "-m", "common.results", "--recipes", *recipes, "--seeds", *map(str, seeds), "--epochs", str(epochs)]
    )
    lines = [
        "# Measured results",
        "",
        f"Written by `python -m common.results --report-only` from `results.json`; no figure is typed by hand. "
        f"{results['dataset'].upper()}, {epochs} epochs, seeds {', '.join(map(str, seeds))}, the course's "
        f"hyperparameters but for the flags that a row names. Mean ± standard deviation over the seeds.{left_out} "
        "One CPU thread a run.",
        "",
        "![curves](images/results.png)",
        "",
        f"## After {epochs} epochs, {results['samples']:,} samples each",
        "",
    ]
    lines += [f"| | {' | '.join(name for name, _ in SHOWN.values())} |", "| --- |" + " --- |" * len(SHOWN)]
    for recipe, members in recipes.items():
        for kind in members[0]["final"]:
            cells = [spread_of([run["final"][kind][key] for run in members], form) for key, (_, form) in SHOWN.items()]
            lines.append(f"| {title(recipe)} {kind} | {' | '.join(cells)} |")
    for name, row in results["anchors"].items():
        lines.append(f"| {name} | {' | '.join(form.format(row[key]) for key, (_, form) in SHOWN.items())} |")
    lines += ["", *winning(recipes)]
    lines += ["", *(line for recipe, members in recipes.items() for line in by_epoch(recipe, members, epochs))]
    lines += ["## What the health watch said", ""]
    lines += [
        f"- {name}, step {line['step']:,}: {line['trouble']}: {line['advice']}."
        for name, run in runs.items()
        for line in run["troubles"]
    ] or ["Nothing, in no run."]
    lines += ["", "## What they draw", "", "Each run's moving average, the same 64 latent vectors.", ""]
    lines += ["| |" + "".join(f" seed {seed} |" for seed in seeds), "| --- |" + " --- |" * len(seeds)]
    for recipe, members in recipes.items():
        grids = {run["seed"]: f"![{run['name']}](images/results_{run['name']}.png)" for run in members}
        cells = [grids.get(seed, "") for seed in seeds]
        lines.append(f"| {title(recipe)} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Reproduce",
        "",
        "```bash",
        f"{called}   # hours; stop it whenever you like, it goes on",
        "```",
        "",
        "SHA-256 of `generator.params` begins with:",
        "",
        "| run | after the first epoch | after the last | trained on | with | at commit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        first = run["sha256 of generator.params after the first epoch"]
        versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        cells = [f"`{first[:32]}`" if first else "", f"`{run['sha256']['raw'][:32]}`", run["processor"], versions]
        lines.append(f"| {' | '.join([name, *cells, run['commit'][:12]])} |")
    lines += [
        "",
        "The first one takes minutes: `python FAMILY/train.py --seed SEED --threads 1 --epochs 1`, then "
        "`sha256sum work/FAMILY/generator.params`. The same processor type and Paddle version give the same bits; "
        "another processor rounds otherwise, and its run soon is another run.",
    ]
    return "\n".join(lines) + "\n"


def winning(recipes: dict[str, list[dict]]) -> list[str]:
    """The section that says where D begins to win."""
    lines = [
        "## Where D begins to win",
        "",
        f"Counted in blocks of {CURVE} steps. D dominates a block if its mean score of real images is more than {WON} "
        "above that of fakes.",
        "",
        "| | first such block, at step (each seed) | share of all blocks |",
        "| --- | --- | --- |",
    ]
    for recipe, members in recipes.items():
        won = [np.subtract(run["curves"]["score_real"], run["curves"]["score_fake"]) > WON for run in members]
        first = " / ".join(f"{np.argmax(parts) * CURVE:,}" if parts.any() else "never" for parts in won)
        lines.append(f"| {title(recipe)} | {first} | {spread_of([100 * parts.mean() for parts in won], '{:.0f}')} % |")
    return lines


def by_epoch(recipe: str, members: list[dict], epochs: int) -> list[str]:
    """A recipe's section with a row for each epoch."""
    lines = [
        f"## {title(recipe)} by epoch",
        "",
        "Fréchet distance of 2,000 samples; losses and scores as the mean over the epoch's steps.",
        "",
        "| epoch | Fréchet raw ↓ | Fréchet EMA ↓ | D's loss | G's loss | D of real | D of fakes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for epoch in range(epochs):
        cells = [spread_of([run["epochs"][epoch][kind]["frechet"] for run in members]) for kind in ("raw", "ema")]
        cells += [spread_of([run["epoch means"][column][epoch] for run in members], "{:.3f}") for column in LOSSES]
        lines.append(f"| {epoch + 1} | {' | '.join(cells)} |")
    return [*lines, ""]


def draw(results: dict) -> Figure:
    """Losses and Fréchet distances of all runs, a colour for each recipe."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    distance, loss_d, gap = figure.subplots(1, 3)
    for index, (recipe, members) in enumerate(by_recipe(results).items()):
        colour = f"C{index}"
        for kind, style in (("raw", "-"), ("ema", "--")):
            table = np.array([[found[kind]["frechet"] for found in run["epochs"]] for run in members])
            epochs = np.arange(1, table.shape[1] + 1)
            label = f"{title(recipe)} {'EMA' if kind == 'ema' else kind}"
            distance.plot(epochs, table.mean(axis=0), style, color=colour, label=label)
            distance.fill_between(epochs, table.min(axis=0), table.max(axis=0), color=colour, alpha=0.12)
        for run in members:
            curves = {name: np.array(values) for name, values in run["curves"].items()}
            steps = np.arange(len(curves["loss_d"])) * CURVE
            loss_d.plot(steps, curves["loss_d"], color=colour, alpha=0.6, linewidth=1)
            gap.plot(steps, curves["score_real"] - curves["score_fake"], color=colour, alpha=0.6, linewidth=1)
    distance.set(title="Fréchet distance (band: all seeds)", xlabel="epoch", yscale="log")
    for set_formatter in (distance.yaxis.set_major_formatter, distance.yaxis.set_minor_formatter):
        set_formatter("{x:.0f}")
    distance.legend()
    loss_d.set(title="D's loss, mean of 100 steps", xlabel="step", yscale="log")
    gap.set(title="D's score of real less that of fakes", xlabel="step")
    for axes in (distance, loss_d, gap):
        axes.grid(alpha=0.25)
    return figure
