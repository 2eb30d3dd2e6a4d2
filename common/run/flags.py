"""The flags of every family's training: those of the loop, the same for all, and the family's own settings."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any, Callable

from common.data import CHANNELS, DATASETS
from common.errors import UserError
from common.files.folder import A_RUN, files_below
from common.language import _
from common.run.commandline import Parser, colour, number_between, seed_number, user_path, whole_number
from common.run.families import ROOT, families, image_of, script, title, usual_dataset
from common.run.runs import checked, load_config
from common.run.words import typed
from common.settings import Setting, settings_of

DATA_DIR_HELP = (
    "folder with the data set's files or your pictures, or CIFAR-10's archive (default: $MNIST_DIR for mnist, else "
    "Paddle's cache, else Paddle's download)"
)

CARD = "pretrained · 预训练权重"  # how the title of a card ends, by `commands.publish`
# Of a folder of one's own pictures, for DCGAN and LSGAN: `docs/search.md`, found on digits. Other families with a
# penalty that is off by default, such as StackGAN, were worse with it.
OWN_PICTURES = {"penalty": 1.0, "learning_rate": 5e-4}


def parse_flags(family: str, build: Callable, arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags in `arguments` (None: the command line's); a bad one ends the program with one line and status 2.

    Returns:
        The loop's flags by name; the family's settings as a dictionary under `settings`.
    """
    try:
        settings = settings_of(build)
    except TypeError as error:
        raise UserError(str(error)) from None
    grey = image_of(build)[0] == 1
    chosen = chosen_for("folder", settings)
    usual = " ".join(f"{flag_of(name)} {value:g}" for name, value in OWN_PICTURES.items() if name in chosen)
    # A student's family may stand anywhere: then it is the file that is being run; a notebook has none.
    file = ROOT / script(family) if family in families() else getattr(sys.modules["__main__"], "__file__", family)
    prog = typed(file, Path.cwd())
    parser = Parser(
        prog=prog,
        description=f"Train {title(family)} and write sample grids, generator.params, loss curves and VisualDL "
        "records to --output-dir. Ctrl-C stops after the current step and saves; --resume goes on.",
        epilog=f"example: python {prog} {'--dataset digits ' if grey else ''}--epochs 20",
    )
    add = parser.add_argument
    add("--epochs", type=whole_number(1), default=100, help="passes over the data set")
    add("--batch-size", type=whole_number(2), default=32, help="images a step")
    add(
        "--dataset",
        choices=DATASETS,
        default=usual_dataset(build),
        help="digits: scikit-learn's 1,797 digits, no network needed; folder: the pictures in "
        f"--data-dir{f' (with {usual}, unless you give others)' if usual else ''}; auto: MNIST where it can be had, "
        "else digits",
    )
    add("--linear-decay", action="store_true", help="let the step sizes fall epoch by epoch, to 0 after --epochs")
    add("--data-dir", type=user_path, help=DATA_DIR_HELP)
    add("--background", type=colour, default="white", help="of --dataset folder: behind what is transparent or padded")
    add("--pad", action="store_true", help="of --dataset folder: pad what is not square; else its middle is cut out")
    add("--output-dir", type=user_path, default=Path("work", family), help="everything the run writes")
    add("--seed", type=seed_number, default=42, help="of every source of randomness")
    add("--max-steps", type=whole_number(1), help="stop after so many steps in all, saving as at any end")
    add("--sample-every", type=whole_number(1), default=100, help="steps between sample grids")
    add("--eval-every", type=whole_number(0), default=1, help="epochs between judgements; 0 turns them off")
    add("--resume", action="store_true", help="go on from the last checkpoint in --output-dir")
    add("--checkpoint-minutes", type=number_between(0, 1e6), default=5.0, help="between checkpoints within an epoch")
    add("--device", default="auto", help="auto, cpu, gpu or gpu:N")
    add("--sync-batchnorm", action="store_true", help="several GPUs: BatchNorm's statistics over all parts of a batch")
    add("--threads", type=whole_number(1), help="CPU threads of each process (default: all cores)")
    own = parser.add_argument_group(f"settings of {title(family)}")
    for setting in settings:
        try:
            add_setting(own, setting)
        except argparse.ArgumentError:
            values = {"prog": prog, "flag": flag_of(setting.name)}
            raise UserError(
                _("{prog}: {flag} is a flag of every training; give its argument another name", **values)
            ) from None

    flags = parser.parse_args(arguments)
    parser.set_defaults(**by_itself(flags, settings))
    flags = parser.parse_args(arguments)
    if flags.dataset == "folder" and flags.data_dir and holds_pictures(flags.output_dir, flags.data_dir):
        parser.error(_("--output-dir: your pictures are there; name another folder, which may be a new one among them"))
    if is_published(flags.output_dir):
        parser.error(_("--output-dir: weights were published there, with a card; name another folder"))
    if flags.resume:
        check_data_set(flags)
    if flags.dataset != "folder" and (flags.pad or flags.background != parser.get_default("background")):
        parser.error(_("--background and --pad: for --dataset folder, whose pictures are made square"))
    flags.settings = {setting.name: vars(flags).pop(setting.name) for setting in settings}
    return flags


def check_data_set(flags: argparse.Namespace) -> None:
    """Raise `UserError` where a run is to go on with another data set, before that is downloaded."""
    if not (flags.output_dir / "checkpoint.params").exists():
        return
    then = now = flags.dataset
    with contextlib.suppress(UserError):  # its file is damaged: the checkpoint knows
        then = load_config(flags.output_dir).get("dataset")
    if then in DATASETS and now not in (then, "auto"):
        values = {"path": flags.output_dir, "name": "--dataset", "then": then, "now": now}
        raise UserError(
            _("{path}: {name} was {then} and is now {now}; resume with {then}, or without --resume", **values)
        )


def is_published(folder: Path) -> bool:
    """Whether `commands.publish` wrote a folder: the next run would leave the card beside other weights."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as card:
            return CARD in card.readline()
    except OSError:
        return False


def holds_pictures(output_dir: Path, data_dir: Path) -> bool:
    """Whether a run in `output_dir` would write among the pictures in `data_dir`: from then on they would be left out
    as the run's, or set aside with its grids by the next one. A run that is among them already may go on there."""
    run, pictures = output_dir.resolve(), data_dir.resolve()
    if pictures == run or pictures.is_relative_to(run / "samples"):
        return True
    if not (run.is_dir() and run.is_relative_to(pictures)) or all((run / name).exists() for name in A_RUN):
        return False
    return any(True for _file in files_below(run))


def by_itself(flags: argparse.Namespace, settings: list[Setting]) -> dict[str, Any]:
    """What settings are for the data set where the user says nothing. A run that goes on keeps what it has."""
    found = chosen_for(flags.dataset, settings)
    if flags.resume:
        defaults = {setting.name: setting.default for setting in settings}
        with contextlib.suppress(UserError):  # there is no run yet, or its file is damaged: the checkpoint knows
            kept = {**defaults, **load_config(flags.output_dir).get("flags", {})}
            theirs = [setting for setting in settings if setting.name in found]
            return {s.name: checked(s, kept[s.name] or s.default, flags.output_dir) for s in theirs}
    return found


def chosen_for(dataset: str, settings: list[Setting]) -> dict[str, Any]:
    """The settings, by name, that a data set has a default of its own for."""
    defaults = {setting.name: setting.default for setting in settings}
    found = {"channels": CHANNELS.get(dataset, 3 if dataset == "folder" else 1)}
    plain = "penalty_every" in defaults and defaults.get("penalty") == 0
    if dataset == "folder":  # some versions turned --augment on by themselves: their runs go on with it
        found |= {"augment": False} | (OWN_PICTURES if plain else {})
    return {name: value for name, value in found.items() if name in defaults}


def add_setting(parser: argparse._ArgumentGroup, setting: Setting) -> None:
    """Make a flag of a setting."""
    options = {"default": setting.default, "help": setting.help.replace("%", "%%") or "see the file's docstring"}
    if setting.choices:
        options |= {"choices": setting.choices, "type": setting.type}
    elif setting.type is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif setting.type is int:
        options["type"] = whole_number(setting.range.low, setting.range.high - 1)
    else:
        options["type"] = number_between(*setting.range)
    parser.add_argument(flag_of(setting.name), **options)


def flag_of(name: str) -> str:
    """`learning_rate` as `--learning-rate`."""
    return f"--{name.replace('_', '-')}"
