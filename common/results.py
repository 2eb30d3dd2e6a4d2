"""The measured results: `make results`, that is `python -m common.results`.

Trains each recipe with each seed, two runs at a time of one thread each, judges them, and writes the report, a grid of
every run and the pretrained weights. A recipe is a family, "dcgan", or one with flags of its `train.py`, "dcgan
--linear-decay". It can be stopped at any point: the same command goes on. Every figure goes into `docs/results.json`,
and `docs/results.md` is written from that file alone (`--report-only`). Runs of another day or machine are joined by
`--add`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from common.errors import DONE, INTERRUPTED, Parser, UserError, command, whole_number
from common.evaluate import WEIGHTS, judge_runs
from common.judging.judge import load_record
from common.judging.report import CURVE, LOSSES, by_recipe, draw, model_card, report
from common.machine import cpu
from common.publish import write_folder
from common.run.artifacts import GRID_COLUMNS, atomic, grid, save_figure, save_image, save_json
from common.run.families import ROOT, assignment, script
from common.run.flags import DATA_DIR_HELP
from common.run.runs import load_config, load_game, load_losses, load_metrics, load_troubles

import numpy as np

DOCS = ROOT / "docs"


class Run(NamedTuple):
    """A training: a family with flags of its `train.py`, a seed, and where it is kept."""

    recipe: str
    seed: int
    folder: Path


def known_recipe(text: str) -> str:
    """An argparse type: a family of the assignment, with flags or without."""
    if text.split(" ")[0] not in assignment():
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with one of {', '.join(assignment())}")
    return text


@command
def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        prog="python -m common.results",
        description="Train all families with several seeds on MNIST, judge them, and write docs/results.md and the "
        "pretrained weights. Takes hours; stopped at any point, the same command goes on.",
    )
    add = parser.add_argument
    add(
        "--recipes",
        type=known_recipe,
        nargs="+",
        default=["dcgan", "lsgan"],
        help='families, with flags: "dcgan --linear-decay"',
    )
    add("--seeds", type=whole_number(0), nargs="+", default=[0, 1, 2], help="a run of each recipe for each")
    add("--epochs", type=whole_number(1), default=10, help="of each run")
    add("--at-once", type=whole_number(1), default=2, help="runs side by side, of one thread each")
    add("--dataset", choices=["mnist", "digits"], default="mnist", help="what to train on")
    add("--data-dir", help=DATA_DIR_HELP)
    add("--samples", type=whole_number(100), default=10_000, help="images of each generator for the final table")
    add("--work-dir", type=Path, default=Path("work/results"), help="where the runs are kept")
    add("--out", type=Path, default=DOCS, help="folder of results.md, results.json and images/")
    add("--publish-to", type=Path, help="where FAMILY/pretrained/ is written (default: the repository, MNIST's only)")
    add("--finished", action="store_true", help="train nothing, report on the runs that are at their end")
    add("--add", action="store_true", help="to the runs that results.json has, in place of starting it anew")
    add("--report-only", action="store_true", help="write results.md and its pictures from results.json, train nothing")
    flags = parser.parse_args(arguments)

    if not flags.report_only:
        if flags.add:  # looked at now, not after hours
            check_fits(load_results(flags.out), dataset=flags.dataset, epochs=flags.epochs, samples=flags.samples)
        runs = {
            name: Run(recipe, seed, flags.work_dir / name)
            for seed in flags.seeds
            for recipe in flags.recipes
            for name in [f"{recipe.replace(' --', '-').replace(' ', '-')}-{seed}"]
        }
        if flags.finished:
            runs = {name: run for name, run in runs.items() if len(load_metrics(run.folder)) == flags.epochs}
            if not runs:
                raise UserError(f"{flags.work_dir}: no finished run; without --finished they are made first")
        else:
            status = train_all(runs, flags)
            if status != DONE:
                return status
        results = collect(runs, flags)
        if flags.add:
            kept = load_results(flags.out)
            check_fits(kept, judge=results["judge"])
            both = {**kept["runs"], **results["runs"]}  # of a run in both, the new one
            results["runs"] = dict(sorted(both.items(), key=lambda named: named[1]["seed"]))
        draw_grids(runs, flags.out / "images")
        save_json(flags.out / "results.json", results)
        if flags.publish_to or flags.dataset == "mnist":
            publish(results, runs, flags.publish_to or ROOT)
    write_report(load_results(flags.out), flags.out)
    print(f"{flags.out / 'results.md'}: written from {flags.out / 'results.json'}")
    return DONE


def load_results(out: Path) -> dict:
    """What `results.json` holds."""
    path = out / "results.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; without --add and --report-only it is made") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); without --add and --report-only it is made anew") from error


def check_fits(kept: dict, **settings: object) -> None:
    """Raise `UserError` where what `--add` adds to was made otherwise: its figures could not stand beside these."""
    for key, value in settings.items():
        before = kept.get(key)
        if before != value:
            raise UserError(f"--add: {key} was {before} in results.json and is now {value}; give the same, or no --add")


def train_all(runs: dict[str, Run], flags: argparse.Namespace) -> int:
    """Bring every run to its end; the exit status of the first that did not get there, else 0.

    Ctrl-C, which the trainings hear as well, and SIGTERM, which they are told of: all of them save and stop.
    """
    origin = {"commit": commit(), "processor": cpu.processor()}
    trainings: list[subprocess.Popen] = []
    stopped = threading.Event()

    def train(name: str, run: Run) -> int:
        family, *changes = run.recipe.split()
        folder = run.folder
        called = [sys.executable, ROOT / script(family), "--seed", run.seed, *changes, "--threads", 1]
        called += ["--sample-every", 1000, "--dataset", flags.dataset, "--output-dir", folder, "--resume"]
        if flags.data_dir:
            called += ["--data-dir", flags.data_dir]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "origin.json").exists():
            save_json(folder / "origin.json", origin)
        first = folder / "first-epoch.sha256"
        for epochs in (flags.epochs,) if changes or first.exists() else (1, flags.epochs):
            if stopped.is_set():
                return INTERRUPTED
            with (folder / "train.log").open("a") as log:
                whole = [*map(str, called), "--epochs", str(epochs)]
                training = subprocess.Popen(whole, stdout=log, stderr=log)
                trainings.append(training)
                status = training.wait()
            if status != DONE:
                print(f"{name}: stopped with status {status}; see {folder / 'train.log'}", flush=True)
                if status == INTERRUPTED:
                    stopped.set()
                return status
            if not changes and not first.exists():
                first.write_text(sha256(folder / "generator.params"))
        print(f"{name}: trained", flush=True)
        return DONE

    def stop(*_: object) -> None:
        stopped.set()
        for training in trainings:
            training.terminate()

    print(f"{len(runs)} runs, {flags.at_once} at once; progress: tail -f {flags.work_dir}/*/train.log", flush=True)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with ThreadPoolExecutor(flags.at_once) as pool:
            try:
                statuses = list(pool.map(train, runs, runs.values()))
            except KeyboardInterrupt:
                stopped.set()  # and leaving the pool waits for what is being saved
    finally:
        signal.signal(signal.SIGTERM, before)
    return INTERRUPTED if stopped.is_set() else next((status for status in statuses if status != DONE), DONE)


def collect(runs: dict[str, Run], flags: argparse.Namespace) -> dict:
    """Everything the report needs, of every run: its metrics, curves, hashes and settings."""
    _, rows, _ = judge_runs([run.folder for run in runs.values()], flags.samples, data_dir=flags.data_dir)
    found = {}
    for name, (recipe, seed, folder) in runs.items():
        config, losses = load_config(folder), load_losses(folder)
        first = folder / "first-epoch.sha256"
        points, epochs = np.arange(0, len(losses["step"]), CURVE), range(flags.epochs)
        found[name] = {
            "recipe": recipe,
            "seed": seed,
            **json.loads((folder / "origin.json").read_text(encoding="utf-8")),
            "versions": config["versions"],
            "epochs": load_metrics(folder),
            "final": {kind: rows.pop(f"{folder} {kind}") for kind in WEIGHTS.values()},
            "curves": {
                column: [round(losses[column][at : at + CURVE].mean(), 4) for at in points] for column in LOSSES
            },
            "epoch means": {
                column: [round(losses[column][losses["epoch"] == epoch].mean(), 4) for epoch in epochs]
                for column in LOSSES
            },
            "troubles": load_troubles(folder),
            "sha256": {kind: sha256(folder / weights) for weights, kind in WEIGHTS.items()},
            "sha256 of generator.params after the first epoch": first.read_text() if first.exists() else None,
        }
    return {
        "dataset": flags.dataset,
        "samples": flags.samples,
        "epochs": flags.epochs,
        "judge": load_record(flags.dataset)["sha256"],
        "runs": found,
        "anchors": rows,  # what is left: the floor and the ceiling
    }


def draw_grids(runs: dict[str, Run], out: Path) -> None:
    """`results_RUN.png`: what each run's moving average draws of the same 64 latent vectors."""
    for name, run in runs.items():
        game = load_game(run.folder, "generator_ema.params")
        images = game.sample(game.latent(np.random.default_rng(0), GRID_COLUMNS**2))
        save_image(out / f"results_{name}.png", grid(images))


def publish(results: dict, runs: dict[str, Run], root: Path) -> None:
    """Write `FAMILY/pretrained/`: the moving average of the seed that the judge likes best, with a model card. Of the
    families as they are: what is changed by a flag is no family's weights."""
    for family in assignment():
        members = by_recipe(results).get(family, [])
        if not members:
            continue
        best = min(members, key=lambda run: run["final"]["EMA"]["frechet"])
        if best["name"] not in runs:
            continue  # published when it was made
        folder, target = runs[best["name"]].folder, root / family / "pretrained"
        config = load_config(folder)
        weights = (folder / "generator_ema.params").read_bytes()
        write_folder(target, config, weights, model_card(family, best, results, config))
        print(f"{target}: seed {best['seed']}, Fréchet distance {best['final']['EMA']['frechet']:.2f}")


def write_report(results: dict, out: Path) -> None:
    """`results.md` and its curves, from `results` alone."""
    with atomic(out / "results.md") as file:
        file.write(report(results).encode())
    save_figure(out / "images" / "results.png", draw(results))


def commit() -> str:
    """What is checked out here; empty in a folder that is no checkout."""
    called = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    return subprocess.run(called, capture_output=True, text=True, check=False).stdout.strip()


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
