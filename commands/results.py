"""The measured results: `make results`, that is `python -m commands.results`.

A recipe is a family with flags of its own command: "cgan --batch-size 64 --max-steps 5000". Each recipe is trained with
each seed by that command, two at a time with one thread each, then judged. It can be stopped at any point: the same
command goes on. Every figure goes into `docs/results.json`, and `docs/results.md` is written from that file alone
(`--report-only`). Runs of another day or machine are joined by `--add`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.evaluate import WEIGHTS, judge_runs
from commands.results_recipes import Run, check_recipe, everything, known_recipe, name_of
from commands.results_report import SHOWN, draw_curves, report
from commands.results_summary import by_epoch, won
from commands.sample import reconstructed
from common.errors import DONE, INTERRUPTED, UserError
from common.files.atomic import atomic
from common.judging.judge import load_record
from common.machine import cpu
from common.run.artifacts import save_json
from common.run.commandline import MOST_IMAGES, Parser, command, seed_number, user_path, whole_number
from common.run.families import ROOT, script
from common.run.flags import DATA_DIR_HELP
from common.run.grids import GRID_COLUMNS, grid, save_figure, save_image
from common.run.runs import load_config, load_game, load_losses, load_troubles

import numpy as np

DOCS = ROOT / "docs"


@command
def main(arguments: list[str] | None = None) -> int:
    """Train families, judge them, and write docs/results.md. Without --recipes: those of the first table there, which
    results_recipes.txt lists. Takes hours; stopped at any point, the same command goes on.
    """
    parser = Parser(prog="python -m commands.results", description=main.__doc__)
    add = parser.add_argument
    add("--recipes", type=known_recipe, nargs="+", help='families, with flags: "dcgan --epochs 10"')
    add("--seeds", type=seed_number, nargs="+", help="of --recipes, a run of each for each (default: 0)")
    add("--at-once", type=whole_number(1), default=2, help="runs side by side, of one thread each")
    add("--data-dir", type=user_path, help=DATA_DIR_HELP)
    add(
        "--samples",
        type=whole_number(100, MOST_IMAGES),
        default=10_000,
        help="images of each generator that are judged",
    )
    add("--work-dir", type=user_path, default=Path("work/results"), help="where the runs are kept")
    add("--out", type=user_path, default=DOCS, help="folder of results.md, results.json and images/")
    add("--finished", action="store_true", help="train nothing, report on the runs that are at their end")
    add("--add", action="store_true", help="to the runs that results.json has, in place of starting it anew")
    add("--report-only", action="store_true", help="write results.md and its pictures from results.json, train nothing")
    flags = parser.parse_args(arguments)

    if not flags.report_only:
        if flags.seeds and not flags.recipes:
            parser.error("--seeds: they are of --recipes; without those each family has seeds of its own")
        wanted = everything()
        if flags.recipes:
            wanted = [(recipe, seed) for seed in flags.seeds or [0] for recipe in flags.recipes]
        asked = [Run(*each, flags.work_dir / name_of(*each)) for each in wanted]
        check_names(asked, earlier(flags)["runs"])  # looked at now, not after hours
        runs = {run.folder.name: run for run in asked}
        if flags.finished:
            runs = {name: run for name, run in runs.items() if origin_of(run.folder).get("done")}
            if not runs:
                raise UserError(f"{flags.work_dir}: no finished run; without --finished they are made first")
        else:
            status = train_all(runs, flags)
            if status != DONE:
                return status
        made, anchors = collect(runs, flags)
        draw_grids(runs, flags.out / "images", flags.data_dir)
        kept = earlier(flags)  # again: another `--add` may have come in between
        check_names(runs.values(), kept["runs"])
        both = {**kept["runs"], **made}  # of a run in both, the new one
        results = {
            "samples": flags.samples,
            "judges": {**kept["judges"], **{name: load_record(name)["sha256"] for name in anchors}},
            "runs": dict(sorted(both.items(), key=lambda named: named[1]["seed"])),
            "anchors": {**kept["anchors"], **anchors},
        }
        save_json(flags.out / "results.json", results)
    write_report(load_results(flags.out), flags.out)
    print(f"{flags.out / 'results.md'}: written from {flags.out / 'results.json'}")
    return DONE


def load_results(out: Path) -> dict:
    """What `results.json` holds."""
    path = out / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; without --add and --report-only it is made") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); without --add and --report-only it is made anew") from error
    if not {"samples", "judges", "runs", "anchors"} <= set(results):
        raise UserError(f"{path}: of an earlier version; without --add and --report-only it is made anew")
    return results


def earlier(flags: argparse.Namespace) -> dict:
    """What `--add` adds to; nothing without that flag.

    Raises:
        UserError: it was judged otherwise, and its figures could not stand beside the new ones.
    """
    if not flags.add:
        return {"runs": {}, "judges": {}, "anchors": {}}
    kept = load_results(flags.out)
    judges = {f"the judge of {name}": (judge, load_record(name)["sha256"]) for name, judge in kept["judges"].items()}
    for what, (before, now) in {"--samples": (kept["samples"], flags.samples), **judges}.items():
        if before != now:
            raise UserError(f"--add: {what} was {before} in results.json and is now {now}; give the same, or no --add")
    return kept


def check_names(runs: Iterable[Run], there: dict[str, dict]) -> None:
    """Raise `UserError` where two recipes, of `runs` or of results that are `there`, have one name: one of them would
    take the other's place."""
    recipes = {name: run["recipe"] for name, run in there.items()}
    for run in runs:
        other = recipes.setdefault(run.folder.name, run.recipe)
        if other != run.recipe:
            raise UserError(f"{run.folder.name} is {run.recipe} and {other}; take one of them, or a flag more for one")


def origin_of(folder: Path) -> dict:
    """Where a run was made and how long it took, as far as it has come; empty before it began."""
    path = folder / "origin.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); remove {folder}, and the run is made anew") from error


def train_all(runs: dict[str, Run], flags: argparse.Namespace) -> int:
    """Bring every run to its end; the exit status of the first that did not get there, else 0.

    Ctrl-C, which the trainings hear as well, and SIGTERM, which they are told of: all of them save and stop.
    """
    here = {"commit": commit(), "processor": cpu.processor(), "seconds": 0.0, "done": False}
    trainings: list[subprocess.Popen] = []
    stopped = threading.Event()

    def train(name: str, run: Run) -> int:
        family, *changes = run.recipe.split()
        folder, origin = run.folder, {**here, **origin_of(run.folder)}
        if stopped.is_set():
            return INTERRUPTED
        if origin["done"]:
            return DONE
        called = [sys.executable, ROOT / script(family), *changes, "--seed", run.seed, "--threads", 1]
        called += ["--sample-every", 1000, "--output-dir", folder, "--resume"]
        if flags.data_dir:
            called += ["--data-dir", flags.data_dir]
        folder.mkdir(parents=True, exist_ok=True)
        before = origin["seconds"]
        with (folder / "train.log").open("a") as log:
            began = time.monotonic()
            training = subprocess.Popen([*map(str, called)], stdout=log, stderr=log)
            trainings.append(training)
            if stopped.is_set():  # just now, when it was not yet among those that were told
                training.terminate()
            status = None
            while status is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = training.wait(timeout=60)
                seconds = before + time.monotonic() - began
                save_json(folder / "origin.json", {**origin, "seconds": seconds, "done": status == DONE})
        if status == DONE:
            print(f"{name}: trained in {seconds / 60:.0f} minutes", flush=True)
        else:
            print(f"{name}: stopped with status {status}; see {folder / 'train.log'}", flush=True)
        if status == INTERRUPTED:
            stopped.set()
        return status

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


def collect(runs: dict[str, Run], flags: argparse.Namespace) -> tuple[dict, dict]:
    """Everything the report needs of every run, and the floors and ceilings of their data sets. A run's curves stay
    with the run."""
    configs = {name: load_config(run.folder) for name, run in runs.items()}
    for name, run in runs.items():
        check_recipe(run, configs[name])
    rows, yardsticks, anchors = {}, {}, {}
    for dataset in sorted({config["dataset"] for config in configs.values()}):
        members = [run.folder for name, run in runs.items() if configs[name]["dataset"] == dataset]
        _, judged, measured = judge_runs(members, flags.samples, data_dir=flags.data_dir)
        judged = {what: {key: row[key] for key in SHOWN} for what, row in judged.items()}
        anchors[dataset] = {what: row for what, row in judged.items() if what.startswith(("real, ", "noise"))}
        rows.update(judged), yardsticks.update(measured)
    found = {}
    for name, (recipe, seed, folder) in runs.items():
        losses, origin = load_losses(folder), origin_of(folder)
        kinds = [kind for kind in WEIGHTS.values() if f"{folder} {kind}" in rows]
        found[name] = {
            "recipe": recipe,
            "seed": seed,
            "dataset": configs[name]["dataset"],
            "commit": origin["commit"],
            "processor": origin["processor"],
            "versions": configs[name]["versions"],
            "minutes": round(origin["seconds"] / 60, 2),
            "final": {kind: rows[f"{folder} {kind}"] for kind in kinds},
            "yardsticks": {
                kind: {what: [float(f"{one.figure:.4g}"), float(f"{one.floor:.4g}")] for what, one in named.items()}
                for kind in WEIGHTS.values()
                if (named := yardsticks.get(f"{folder} {kind}"))
            },
            "by epoch": by_epoch(folder, losses),
            "troubles": len(load_troubles(folder)),
            "sha256": {kind: sha256(folder / file) for file, kind in WEIGHTS.items() if (folder / file).exists()},
            "picture": f"results_{name}.png",
        }
        if configs[name]["scores"] and {"score_real", "score_fake"} <= set(losses):
            found[name]["won"] = won(losses)
    return found, anchors


def draw_grids(runs: dict[str, Run], out: Path, data_dir: str | None) -> None:
    """`results_RUN.png`: what each run's moving average draws of the same 64 latent vectors, or, where nothing is drawn
    from noise, what it makes of unseen pictures."""
    for name, run in runs.items():
        average = "generator_ema.params"
        game = load_game(run.folder, *[average] * (run.folder / average).exists())
        if "generator" in game.networks:
            images = game.sample(game.latent(np.random.default_rng(0), GRID_COLUMNS**2))
        else:
            images = reconstructed(game, load_config(run.folder), 0, 2 * GRID_COLUMNS, GRID_COLUMNS, data_dir)
        save_image(out / f"results_{name}.png", grid(images))


def write_report(results: dict, out: Path) -> None:
    """`results.md` and its curves, from `results` alone."""
    with atomic(out / "results.md") as file:
        file.write(report(results).encode())
    curves = draw_curves(results)
    if curves:
        save_figure(out / "images" / "results.png", curves)


def commit() -> str:
    """What is checked out here; empty in a folder that is no checkout, perhaps below one of another repository, and
    where there is no git."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return ""
    called = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    return subprocess.run(called, capture_output=True, text=True, check=False).stdout.strip()


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
