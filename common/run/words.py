"""What a training run tells its user in words."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from common.errors import BROKE_DOWN, INTERRUPTED
from common.language import _, shown
from common.run.families import ROOT, families, title

import numpy as np


def metrics_line(found: dict[str, dict]) -> str:
    """A judgement in a line."""
    raw = found["raw"]
    average = f" (EMA {found['ema']['frechet']:.2f})" if "ema" in found else ""
    return _(
        "{frechet}, precision {precision:.2f}, recall {recall:.2f}",
        frechet=f"{raw['frechet']:.2f}{average}",
        precision=raw["precision"],
        recall=raw["recall"],
    )


def resuming() -> str:
    """What goes on with a run that was stopped; make says how its own targets do."""
    return os.environ.get("GAN_RESUME") or _("the same command with --resume")


def print_header(config: dict, images: np.ndarray, steps: int, start: int, earlier: Path | None) -> None:
    """Say what is about to be trained, on what, and where the results go."""
    flags, own = config["flags"], config["dataset"] == "folder"
    if earlier:
        print(
            _("an earlier run was here: it is now in {folder}; to go on with it: --output-dir {folder} --resume",
              folder=earlier)
        )  # fmt: skip
    family, device, version = title(config["family"]), config["device"], config["versions"]["paddle"]
    threads = config["threads"]
    if config["processes"] > 1:
        threads = _("{count} processes of {threads}", count=config["processes"], threads=threads)
    values = {"family": family, "device": device, "threads": threads, "version": version}
    print(_("{family} on {device} ({threads}), Paddle {version}", **values))
    about = described(images) if own else ""
    print(_("data     {name}, {images:,} images", name=config["dataset"], images=len(images)) + about)
    if config["classes"]:
        numbered = ", ".join(f"{label}: {name}" for label, name in enumerate(config["classes"]))
        print(_("classes  {numbered}", numbered=numbered))
    resumed = _(", resumed after {start:,}", start=start) if start else ""
    values = {"steps": steps, "batch": flags["batch_size"], "seed": flags["seed"]}
    print(_("training {steps:,} steps of {batch} images, seed {seed}", **values) + resumed)
    if own:
        chosen = ", ".join([f"{name} {value}" for name, value in config["identity"].items() if name[:2] == "--"][2:])
        print(_("settings {chosen}: where you gave none, the defaults for your own pictures", chosen=chosen))
    sizes = ", ".join(f"{name} {size:,}" for name, size in config["parameters"].items())
    print(_("networks {sizes} parameters", sizes=sizes))
    print(_("results  {folder}", folder=Path(flags["output_dir"]).resolve()), flush=True)
    print_note(config)


def print_decay(flags: dict, steps_per_epoch: int, total: int) -> None:
    """Say where --max-steps ends a training before its step sizes have fallen far: they fall by --epochs, 100 where
    nobody gave any."""
    left = 1 - (total - 1) // steps_per_epoch / flags["epochs"]
    if flags["linear_decay"] and left > 1.5 / flags["epochs"]:
        how = {"left": left, "epochs": flags["epochs"]}
        print(_("note: --max-steps ends at {left:.0%} of the step size; --linear-decay goes by {epochs} epochs", **how))


def described(images: np.ndarray) -> str:
    """The shape and the size of images `[N, C, H, W]`, and where they are."""
    channels, height, width = images.shape[1:]
    where = _("mapped from the cache") if isinstance(images, np.memmap) else _("in memory")
    colours = _("grey") if channels == 1 else _("in colour")
    size = images.nbytes / 1e6
    size = f"{size:,.0f}" if size >= 10 else f"{size:.1f}"
    values = {"width": width, "height": height, "colours": colours, "where": where}
    return _(", {width}x{height} {colours}, {size} MB {where}", size=size, **values)


def print_note(config: dict) -> None:
    """The line that nobody can miss, where the data are not what was asked for first."""
    if config["note"]:
        print(f"\n{'!' * 20}\n!!! {shown(config['note'])}\n{'!' * 20}\n", flush=True)


def print_end(config: dict, folder: Path, status: int, step: int) -> None:
    """Say how the run ended, what it wrote and what to do next."""
    if status == BROKE_DOWN:
        print(
            _(
                "error: training broke down: a loss, score or weight is not finite by step {step}; what {folder} holds "
                "is from before. A smaller --learning-rate is the usual cure.",
                step=step - 1,
                folder=folder,
            ),
            file=sys.stderr,
        )
        return
    if status == INTERRUPTED:
        print(_("stopped after {step:,} steps. Written to {folder}:", step=step, folder=folder))
    else:
        print(_("done after {step:,} steps. Written to {folder}:", step=step, folder=folder))
    weights = [f"{name}.params" for name in config["parameters"]]
    if (folder / "generator_ema.params").exists():
        after = weights.index("generator.params") + 1 if "generator" in config["parameters"] else len(weights)
        weights.insert(after, _("generator_ema.params (their average)"))
    print(_("         weights: {files}", files=", ".join(weights)))
    print(_("         pictures: samples/, progress.gif; curves: losses.csv, VisualDL records"))
    if status == INTERRUPTED:
        print(_("next     {command} goes on from here", command=resuming()))
    how = "" if "generator" in config["parameters"] else " --reconstruct"
    if config["family"] in families():  # the commands read no others
        sample = in_the_repository(f"-m commands.sample {typed(folder, ROOT)}{how} --out grid.png")
        print(_("next     {command}", command=sample))
    board = in_the_repository(f"-m commands.board {typed(folder.parent, ROOT)}")
    print(_("next     {command}", command=board))
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
    name = (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
    return shlex.quote(f"./{name}" if name.startswith("-") else name)  # which would be a flag
