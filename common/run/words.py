"""What a training run tells its user in words."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from common.errors import BROKE_DOWN, INTERRUPTED
from common.run.families import ROOT, families, title

import numpy as np


def metrics_line(found: dict[str, dict]) -> str:
    """A judgement in a line."""
    raw = found["raw"]
    average = f" (EMA {found['ema']['frechet']:.2f})" if "ema" in found else ""
    return f"{raw['frechet']:.2f}{average}, precision {raw['precision']:.2f}, recall {raw['recall']:.2f}"


def resuming() -> str:
    """What goes on with a run that was stopped; make says how its own targets do."""
    return os.environ.get("GAN_RESUME") or "the same command with --resume"


def print_header(config: dict, images: np.ndarray, steps: int, start: int, earlier: Path | None) -> None:
    """Say what is about to be trained, on what, and where the results go."""
    flags, own = config["flags"], config["dataset"] == "folder"
    if earlier:
        print(f"an earlier run was here: it is now in {earlier}")
    family, device, version = title(config["family"]), config["device"], config["versions"]["paddle"]
    processes = f"{config['processes']} processes of " if config["processes"] > 1 else ""
    print(f"{family} on {device} ({processes}{config['threads']}), Paddle {version}")
    print(f"data     {config['dataset']}, {len(images):,} images{described(images) if own else ''}")
    resumed = f", resumed after {start:,}" if start else ""
    print(f"training {steps:,} steps of {flags['batch_size']} images, seed {flags['seed']}{resumed}")
    if own:
        settings = [f"{name} {value}" for name, value in config["identity"].items() if name.startswith("--")]
        print(f"settings {', '.join(settings[2:])}: those that you did not give are chosen for your own pictures")
    print("networks " + ", ".join(f"{name} {size:,}" for name, size in config["parameters"].items()) + " parameters")
    print(f"results  {Path(flags['output_dir']).resolve()}", flush=True)
    print_note(config)


def described(images: np.ndarray) -> str:
    """The shape and the size of images `[N, C, H, W]`, and where they are."""
    _, channels, height, width = images.shape
    where = "mapped from the cache" if isinstance(images, np.memmap) else "in memory"
    return f" of {width}x{height} {'grey' if channels == 1 else 'in colour'}: {images.nbytes / 1e6:,.0f} MB {where}"


def print_note(config: dict) -> None:
    """The line that nobody can miss, where the data are not what was asked for first."""
    if config["note"]:
        print(f"\n{'!' * 20}\n!!! {config['note']}\n{'!' * 20}\n", flush=True)


def print_end(config: dict, folder: Path, status: int, step: int) -> None:
    """Say how the run ended, what it wrote and what to do next."""
    if status == BROKE_DOWN:
        print(
            f"error: training broke down: a loss or score is not finite by step {step - 1}; what {folder} holds is "
            "from before. A smaller --learning-rate is the usual cure.",
            file=sys.stderr,
        )
        return
    print(f"{'stopped' if status == INTERRUPTED else 'done'} after {step:,} steps. Written to {folder}:")
    weights = [f"{name}.params" for name in config["parameters"]]
    if (folder / "generator_ema.params").exists():
        weights.insert(weights.index("generator.params") + 1, "generator_ema.params (their average)")
    print(f"         weights: {', '.join(weights)}")
    print("         pictures: samples/, progress.gif; curves: losses.csv, VisualDL records")
    if status == INTERRUPTED:
        print(f"next     {resuming()} goes on from here")
    how = "" if "generator" in config["parameters"] else " --reconstruct"
    if config["family"] in families():  # the commands read no others
        print(f"next     {in_the_repository(f'-m commands.sample {typed(folder, ROOT)}{how} --out grid.png')}")
    print(f"next     {in_the_repository(f'-m commands.board {typed(folder.parent, ROOT)}')}")
    print_note(config)


def in_the_repository(arguments: str) -> str:
    """A command line that calls Python with `arguments` in the repository's folder, to be copied where we are now."""
    go = "" if Path.cwd() == ROOT else f"cd {typed(ROOT, Path.cwd())} && "
    return f"{go}{python(ROOT)} {arguments}"


def python(here: Path) -> str:
    """How one calls this Python in the folder `here`: by its name where the shell finds it, else by its path."""
    found = shutil.which("python")
    return "python" if found and Path(found).parent == Path(sys.executable).parent else typed(sys.executable, here)


def typed(path: Path | str, here: Path) -> str:
    """A path as one types it in the folder `here`: relative to it where it lies in it, else absolute."""
    path = Path.cwd() / path
    return shlex.quote((path.relative_to(here) if path.is_relative_to(here) else path).as_posix())
