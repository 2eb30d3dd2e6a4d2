"""Runs side by side in one picture: `python -m commands.compare work/dcgan work/lsgan --out compare.png`."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.errors import DONE, UserError
from common.files.atomic import atomic
from common.language import _
from common.run.commandline import Parser, command, number_between, user_path
from common.run.grids import read_grid, sorted_grids
from common.run.lettering import lettered
from common.run.runs import each_once, labels, load_config, load_losses, load_metrics, steps_of

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

SHORTEST = 20  # curves shorter than this are shown as they are
SMOOTHING = 0.95  # weight of the past in the bold curves
# The players' colours, those of docs/watch.html and docs/play.html, in which G's images have G's; and what comes after.
D_COLOUR, G_COLOUR, REAL_COLOUR = "#1864ab", "#23772f", "#7c8794"
PLAYERS = {"loss_d": D_COLOUR, "loss_g": G_COLOUR, "score_real": REAL_COLOUR, "score_fake": G_COLOUR}
OTHERS = ("#b3400a", "#6741d9", "#0b7285", "#a61e4d", "#5c940d", "#1b2430")


class Run(NamedTuple):
    """What the picture needs of a run."""

    label: str
    family: str
    losses: dict[str, np.ndarray]  # `load_losses`
    last_grid: Path | None
    metrics: list[dict]  # `load_metrics`
    scores: list[float] | None  # what D is taught to answer for fake and real; None for a critic without such a scale
    dataset: str = ""


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the losses, D's scores and the last sample grids of any number of runs in one picture. Runs may differ in
    length and may still be going.
    """
    parser = Parser(
        prog="python -m commands.compare",
        description=main.__doc__,
    )
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=user_path, nargs="+", help="folders that a train.py wrote")
    parser.add_argument("--out", type=user_path, default=Path("compare.png"), help="the picture, PNG, PDF or SVG")
    parser.add_argument(
        "--smoothing",
        type=number_between(0, 1),
        default=SMOOTHING,
        help="weight of the past in the bold curves, as in VisualDL; 0 shows the raw ones",
    )
    flags = parser.parse_args(arguments)
    if flags.out.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(_("--out {out}: expected a name that ends in .png, .pdf or .svg", out=flags.out))
    if not flags.out.parent.is_dir():
        raise UserError(_("--out {out}: there is no folder {folder}", out=flags.out, folder=flags.out.parent))
    run_dirs = each_once(flags.run_dirs)
    runs = [load_run(run_dir, label) for run_dir, label in zip(run_dirs, labels(run_dirs))]

    with atomic(flags.out) as file:
        draw_runs(runs, flags.smoothing).savefig(file, format=flags.out.suffix[1:], dpi=110)
    lengths = ", ".join(f"{run.label} ({steps_of(run.losses):,} steps)" for run in runs)
    print(f"{flags.out}: {lengths}")
    return DONE


def load_run(run_dir: Path, label: str = "") -> Run:
    """Read a run's folder, to be called `label`, else by its name; raises `UserError` where it is none."""
    config, losses = load_config(run_dir), load_losses(run_dir)
    grids = sorted_grids(run_dir / "samples")
    last_grid = grids[-1] if grids else None
    label = label or run_dir.resolve().name
    scores, dataset = config["scores"], config.get("dataset", "mnist")
    return Run(label, config["family"], losses, last_grid, load_metrics(run_dir), scores, dataset)


def smooth(values: np.ndarray, weight: float, steps: np.ndarray) -> np.ndarray:
    """The exponential moving average of `values [N]`, without the pull to 0 at its start (Adam's bias correction).
    A value that is no number is a gap, and does not count.

    Args:
        weight: of the past, from one step to the next.
        steps: of the values; those of published curves are means of 100 steps.
    """
    finite = np.isfinite(values)
    gaps = np.diff(steps[finite])
    first = np.maximum(gaps[:1], 1) if len(gaps) else np.ones(finite.sum())
    weights = weight ** np.concatenate([first, gaps])
    pairs = zip(values[finite], weights)
    moved = itertools.accumulate(pairs, lambda mean, pair: pair[1] * mean + (1 - pair[1]) * pair[0], initial=0.0)
    average = np.full(len(values), np.nan)
    average[finite] = np.array([*moved][1:]) / (1 - np.cumprod(weights))
    return average


def differ(runs: Iterable[tuple[str, dict]]) -> bool:
    """Whether these judgements, each with its data set, are of different data sets or by different judges: then their
    distances cannot be compared. Earlier versions did not say whose they are."""
    pairs = [(dataset, line.get("judge")) for dataset, line in runs]
    judges = {str(judge) for _dataset, judge in pairs if judge is not None}
    return len({dataset for dataset, _judge in pairs}) > 1 or len(judges) > 1


def draw_runs(runs: list[Run], smoothing: float = SMOOTHING) -> Figure:
    """The picture, a column for each run below its name: losses, D's scores, the last grid; then the metrics."""
    with lettered({run.label for run in runs}.union(*(run.losses for run in runs))) as shown:
        named = ({shown[name]: values for name, values in run.losses.items()} for run in runs)
        return panels(
            [run._replace(label=shown[run.label], losses=losses) for run, losses in zip(runs, named)], smoothing
        )


def panels(runs: list[Run], smoothing: float) -> Figure:
    """The same of runs whose names can be written in a figure."""
    scored = any(has_scores(run) or others(run) for run in runs)
    drawn = any(run.last_grid for run in runs)
    judged = [run for run in runs if run.metrics]
    heights = [4.2] + [3.9] * scored + [5] * drawn + [0.5 + 0.5 * len(judged)] * bool(judged)
    figure = Figure(figsize=(5 * max(len(runs), 2), sum(heights)), layout="constrained")
    losses, *rest = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]

    for axes, run in zip(columns(losses, runs), runs):
        for name, colour in zip(loss_names(run), colours(loss_names(run))):
            curve(axes, run, name, name[len("loss") :].lstrip("_").upper() or name, colour, smoothing)
        finish(axes, "losses")
        axes.set_title(textwrap.fill(run.label, 40), pad=28, fontweight="bold")  # as wide as the column
        # One height for the runs of a family. BCE and squared errors are not on one scale.
        members = [other for other in runs if other.family == run.family]
        limit(axes, np.concatenate([other.losses[name] for other in members for name in loss_names(other)]))
    if scored:
        for axes, run in zip(columns(rest.pop(0), runs), runs):
            if has_scores(run):
                draw_scores(axes, run, smoothing)
            elif others(run):
                draw_others(axes, run, smoothing)
            else:
                axes.set_axis_off()
    if drawn:
        for axes, run in zip(columns(rest.pop(0), runs), runs):
            axes.set_axis_off()
            if run.last_grid:
                draw_grid(axes, run)
    if judged:
        metrics_table(rest.pop(0).subplots(), judged)
    return figure


def columns(part: SubFigure, runs: list[Run]) -> np.ndarray:
    """Axes for each run."""
    return part.subplots(1, len(runs), squeeze=False)[0]


def loss_names(run: Run) -> list[str]:
    """The columns that are losses, in the order in which the family reports them."""
    return [name for name in run.losses if name.startswith("loss")]


def has_scores(run: Run) -> bool:
    """Whether it has D's scores of real images and of fakes, on a scale to read them on."""
    return bool(run.scores) and {"score_real", "score_fake"} <= set(run.losses)


def others(run: Run) -> list[str]:
    """The columns that are neither losses nor say when."""
    return [name for name in run.losses if name not in ("step", "epoch", "batch") and not name.startswith("loss")]


def draw_grid(axes: Axes, run: Run) -> None:
    """The last grid."""
    axes.imshow(np.asarray(read_grid(run.last_grid)), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(when(run.last_grid), fontsize="medium")


def when(path: Path) -> str:
    """The epoch and the batch of a grid, whose name has them."""
    epoch, batch = path.stem.split("_")
    return f"epoch {int(epoch) + 1}, batch {int(batch)}"


def draw_scores(axes: Axes, run: Run, smoothing: float) -> None:
    """D's scores, on the scale that it is taught."""
    low, high = run.scores
    middle, margin = (low + high) / 2, 0.2 * (high - low)
    curve(axes, run, "score_real", "D(x), real", REAL_COLOUR, smoothing)
    curve(axes, run, "score_fake", "D(G(z)), fake", G_COLOUR, smoothing)
    axes.axhline(middle, color=D_COLOUR, linewidth=0.8, linestyle=":", label=f"{middle:g}: D cannot tell")
    axes.set_ylim(low - margin, high + margin)
    finish(axes, "D's mean scores")


def draw_others(axes: Axes, run: Run, smoothing: float) -> None:
    """What else a family reports, where its critic's scores have no scale to be read on."""
    names = others(run)
    for name, colour in zip(names, colours(names)):
        curve(axes, run, name, name, colour, smoothing)
    limit(axes, np.concatenate([run.losses[name] for name in names]))
    finish(axes, "what else it reports")


def metrics_table(axes: Axes, runs: list[Run]) -> None:
    """The last judgement of each run, raw generator and moving average. ↓ less is better, ↑ more is better."""
    names = {"frechet": "Fréchet ↓", "precision": "precision ↑", "recall": "recall ↑", "coverage": "coverage ↑",
             "class_distance": "classes ↓", "confident": "sure ↑"}  # fmt: skip
    apart = differ((run.dataset, run.metrics[-1]) for run in runs)
    if apart:
        axes.set_title("of different data sets or judges: not to be compared", fontsize="medium")
    rows = [
        [
            f"{run.label}{f' ({run.dataset})' if apart else ''}, {which}",
            run.metrics[-1]["epoch"] + 1,
            *(f"{run.metrics[-1][key][name]:.3f}" if name in run.metrics[-1][key] else "–" for name in names),
        ]
        for run in runs
        for key, which in (("raw", "raw"), ("ema", "EMA"))
        if key in run.metrics[-1]
    ]
    axes.set_axis_off()
    header = ["", "epoch", *names.values()]
    widths = [0.3, *[0.1] * (len(header) - 1)]  # a name may be long, and a cell's text shrinks all the others
    axes.table(rows, colLabels=header, colWidths=widths, loc="center", cellLoc="center").scale(1, 1.3)


def colours(names: list[str]) -> list[str]:
    """A player's colour for what is a player's, others for the rest."""
    rest = itertools.cycle(OTHERS)
    return [PLAYERS.get(name) or next(rest) for name in names]


def curve(axes: Axes, run: Run, name: str, label: str, colour: str, smoothing: float) -> None:
    """Draw one value of a run: faint as it is, bold smoothed."""
    steps, values = run.losses["step"], run.losses[name]
    if len(steps) >= SHORTEST and smoothing:
        axes.plot(steps, values, color=colour, alpha=0.15, linewidth=0.6)
        values = smooth(values, smoothing, steps)
    if not np.isfinite(run.losses[name]).all():
        label += " (gaps: not finite)"
    axes.plot(steps, values, color=colour, linewidth=1.6, label=label)


def finish(axes: Axes, what: str) -> None:
    """What is shown, the legend above the curves, and a grid."""
    axes.set(xlabel="step", ylabel=what)
    axes.grid(alpha=0.25)
    count = len(axes.get_legend_handles_labels()[1])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(count, 4), fontsize="small", frameon=False)


def limit(axes: Axes, values: np.ndarray) -> None:
    """A height that outliers do not set."""
    values = values[np.isfinite(values)].clip(-1e300, 1e300)
    if len(values):
        low, high = np.percentile(values, [1, 99])
        axes.set_ylim(min(0, 1.15 * low), max(0, 1.15 * high) or 1)


if __name__ == "__main__":
    sys.exit(main())
