"""What a training run tells its user in words."""

from __future__ import annotations

import sys
from pathlib import Path

from common.errors import BROKE_DOWN, INTERRUPTED
from common.run.families import title


def metrics_line(found: dict[str, dict]) -> str:
    """A judgement in a line."""
    raw = found["raw"]
    average = f" (EMA {found['ema']['frechet']:.2f})" if "ema" in found else ""
    return f"{raw['frechet']:.2f}{average}, precision {raw['precision']:.2f}, recall {raw['recall']:.2f}"


def print_header(config: dict, images: int, steps: int, start: int, earlier: Path | None) -> None:
    """Say what is about to be trained, on what, and where the results go."""
    flags = config["flags"]
    if earlier:
        print(f"an earlier run was here: it is now in {earlier}")
    family, device, version = title(config["family"]), config["device"], config["versions"]["paddle"]
    processes = f"{config['processes']} processes of " if config["processes"] > 1 else ""
    print(f"{family} on {device} ({processes}{config['threads']}), Paddle {version}")
    print(f"data     {config['dataset']}, {images:,} images")
    resumed = f", resumed after {start:,}" if start else ""
    print(f"training {steps:,} steps of {flags['batch_size']} images, seed {flags['seed']}{resumed}")
    print("networks " + ", ".join(f"{name} {size:,}" for name, size in config["parameters"].items()) + " parameters")
    print(f"results  {Path(flags['output_dir']).resolve()}", flush=True)
    print_note(config)


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
        weights.insert(1, "generator_ema.params (their average)")
    print(f"         weights: {', '.join(weights)}")
    print("         pictures: samples/, progress.gif; curves: losses.csv, VisualDL records")
    if status == INTERRUPTED:
        print("next     the same command with --resume goes on from here")
    how = "" if "generator" in config["parameters"] else " --reconstruct"
    print(f"next     python -m commands.sample {folder}{how} --out grid.png   (in the repository's folder)")
    print(f"next     visualdl --logdir {folder.parent}   (or make board)")
    print_note(config)
