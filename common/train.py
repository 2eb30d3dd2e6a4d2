"""The training loop: one for every family. `dcgan/train.py` and its sisters call `run` with what makes them differ."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from common import data
from common.data import Dataset
from common.errors import BAD_INPUT, BROKE_DOWN, DONE, INTERRUPTED, UserError
from common.files.finding import NotHadError
from common.files.folder import array_md5
from common.game import Batch, Game
from common.language import _
from common.machine import convolutions, cpu, onednn, processes
from common.rng import LATENT, SHUFFLE, random_numbers, seed_layers
from common.run import artifacts, checkpoint
from common.run.commandline import command
from common.run.families import builder, families, image_of, script, title
from common.run.flags import parse_flags
from common.run.identity import check_identity, identity
from common.run.interrupt import Interrupt
from common.run.recorder import Recorder
from common.run.words import print_decay, print_end, print_header
from common.settings import settings_of

import numpy as np
import paddle
from paddle import nn


@command(prints=False)
def run(family: str, build: Callable[..., Game], arguments: list[str] | None = None) -> int:
    """Train a family as the command line says.

    Args:
        family: its name: that of its folder, or of its file in `zoo`.
        build: makes the family's `Game`; its arguments, or those of the class it returns, are the family's flags.
        arguments: the flags, None for the command line's.

    Returns:
        The exit status: 0 done, 2 for what the user can mend, 3 after a breakdown, 130 after Ctrl-C or SIGTERM.
    """
    flags = parse_flags(family, build, arguments)
    convolutions.use_threads(flags.threads)
    choose_device(flags.device)
    try:
        rank, world = processes.start(flags.device)
    except ValueError as error:
        raise UserError(str(error)) from error
    paddle.seed(flags.seed)
    game = build(**flags.settings)
    check_image(family, game, flags)
    try:
        how = (flags.background, flags.pad)
        dataset = data.load(flags.dataset, flags.data_dir, game.image, game.labelled, *how)
    except NotHadError as error:
        raise UserError(f"{error}" + _(", or use --dataset digits") if game.image[0] == 1 else str(error)) from error
    game.classes = len(dataset.classes) or game.classes
    if dataset.labels is not None:
        game.label_shares = tuple((np.bincount(dataset.labels, minlength=game.classes) / len(dataset.labels)).tolist())
    if not processes.all_equal(int(dataset.checksum.partition(":")[2][:15], 16)):
        raise UserError(f"--dataset {flags.dataset}: the processes found different data: {dataset.name} here")
    config = config_of(family, game, dataset, flags, world)
    config["identity"] = identity(config, settings_of(build))
    check_batches(game, dataset, flags, config)
    if flags.sync_batchnorm:
        for network in game.networks.values():
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return (train if rank == 0 else train_unrecorded)(game, dataset, flags, config)


def choose_device(name: str) -> None:
    """Point Paddle at `auto`, `cpu`, `gpu` or `gpu:N`.

    Raises:
        UserError: there is no such device here.
    """
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if name == "auto":
        name = "gpu" if gpus else "cpu"
    kind, _colon, number = name.partition(":")
    if name not in ("cpu", "gpu") and not (kind == "gpu" and number.isdecimal() and len(number) < 10):
        raise UserError(_("--device {name}: expected auto, cpu, gpu or gpu:N", name=name))
    if kind == "gpu" and int(number or 0) >= gpus:
        raise UserError(
            _(
                "--device {name}: Paddle {version} sees {count} GPUs here; use --device cpu",
                name=name,
                version=paddle.__version__,
                count=gpus,
            )
        )
    paddle.set_device(name)


def check_image(family: str, game: Game, flags: argparse.Namespace) -> None:
    """Raise `UserError` where the family does not draw images of the data set's channels; it names one that does."""
    own = data.channels_of(flags.dataset, game.image[0])
    values = {"dataset": flags.dataset, "own": own, "drawn": game.image[0]}
    if own != game.image[0] and "channels" in flags.settings:
        raise UserError(_("--channels {drawn}: the images of {dataset} have {own}; leave the flag out", **values))
    if own != game.image[0]:
        takers = [script(name) for name in families() if name != family and takes(name, own)]
        way_out = _("take python {file}", file=takers[0]) if takers else _("no family here draws such ones yet")
        own = _("{own} channels", own=own) if own > 1 else _("{own} channel", own=own)
        values |= {"own": own, "family": title(family), "way_out": way_out}
        raise UserError(
            _("--dataset {dataset}: its images have {own}, {family} draws images of {drawn}; {way_out}", **values)
        )


def takes(family: str, channels: int) -> bool:
    """Whether a family draws images of so many channels, by a flag or always; one that is half written does not."""
    try:
        build = builder(family)
    except Exception:
        return False
    return image_of(build)[0] == channels or any(setting.name == "channels" for setting in settings_of(build))


def config_of(family: str, game: Game, dataset: Dataset, flags: argparse.Namespace, world: int) -> dict:
    """What `config.json` says of a run."""
    given = {**vars(flags), **flags.settings}
    del given["settings"]
    given["data_dir"] = flags.data_dir and flags.data_dir.absolute()  # commands read it, in any folder
    return {
        "family": family,
        "flags": {name: str(value) if isinstance(value, Path) else value for name, value in given.items()},
        "scores": game.scores,
        "dataset": dataset.name,
        "checksum": dataset.checksum,
        "note": dataset.note,
        "classes": dataset.classes,
        "label_shares": game.label_shares,
        "labels": array_md5(dataset.labels) if dataset.classes and dataset.labels is not None else "",
        "versions": {"python": sys.version.split()[0], "paddle": paddle.__version__, "numpy": np.__version__},
        "device": paddle.get_device(),
        "threads": f"{cpu.description()}, {convolutions.library_name()}",
        "processes": world,
        "parameters": {
            name: sum(p.size for p in net.parameters() if not p.stop_gradient) for name, net in game.networks.items()
        },
    }


def check_batches(game: Game, dataset: Dataset, flags: argparse.Namespace, config: dict) -> None:
    """Raise `UserError` where data, batch size and processes do not go together."""
    count, world, wanted = len(dataset.images), config["processes"], flags.batch_size * game.batches
    if flags.linear_decay and any(map(checkpoint.has_scheduler, game.optimizers.values())):
        raise UserError(_("--linear-decay: this family's learning rates have schedulers of their own; leave it out"))
    if flags.sync_batchnorm and config["device"] == "cpu":
        raise UserError(_("--sync-batchnorm: Paddle has it for GPUs only; without it each process uses its own part"))
    if wanted > count:
        most = count // game.batches
        way_out = _("take at most {most}", most=most) if most > 1 else _("more are needed")
        values = {"size": flags.batch_size, "wanted": wanted, "count": count, "way_out": way_out}
        raise UserError(
            _("--batch-size {size}: an update takes {wanted:,} images, there are {count:,}; {way_out}", **values)
        )
    smallest = flags.batch_size if game.batches > 1 else count % flags.batch_size or flags.batch_size
    if smallest < world:
        raise UserError(
            f"--batch-size {flags.batch_size}: it leaves {smallest} images for the {world} processes at an epoch's "
            "end; choose another"
        )


def length(count: int, batches: int, flags: argparse.Namespace) -> tuple[int, int]:
    """Steps in an epoch of `count` images, and steps in all.

    A smaller last batch is used too; but where a step takes several batches, what is not enough for all is left out.
    """
    taken = flags.batch_size * batches
    steps_per_epoch = count // taken if batches > 1 else -(-count // taken)
    return steps_per_epoch, min(flags.epochs * steps_per_epoch, flags.max_steps or sys.maxsize)


def training_steps(
    game: Game, dataset: Dataset, flags: argparse.Namespace, start: int
) -> Iterator[tuple[int, int, int, dict]]:
    """Make the steps from `start` to the end; after each, its number, its epoch, its batch there and its values.

    Every image is seen once an epoch, but for those that `length` leaves out. Of several processes, each takes its part
    of every batch.
    """
    count, taken = len(dataset.images), flags.batch_size * game.batches
    steps_per_epoch, total = length(count, game.batches, flags)
    learning_rates = {name: optimizer.get_lr() for name, optimizer in game.optimizers.items()}
    on_the_device = to_device(dataset)  # once; from here on a batch is one index into it
    for step in range(start, total):
        epoch, batch = divmod(step, steps_per_epoch)
        if batch == 0 or step == start:
            order = random_numbers(flags.seed, SHUFFLE, epoch).permutation(count)
            if flags.linear_decay:
                for name, optimizer in game.optimizers.items():
                    optimizer.set_lr(learning_rates[name] * (1 - epoch / flags.epochs))
        seed_layers(flags.seed, step)
        chosen = order[batch * taken : (batch + 1) * taken]
        values = game.update(Batch(on_the_device, chosen, random_numbers(flags.seed, LATENT, step), step))
        if game.ema:
            game.ema.update(step)
        yield step, epoch, batch, processes.averaged(values)


def to_device(dataset: Dataset) -> tuple[paddle.Tensor | np.ndarray, paddle.Tensor | None]:
    """A data set's images and labels as tensors; uint8 images stay the one array that they are."""
    labels = None if dataset.labels is None else paddle.to_tensor(dataset.labels)
    return (dataset.images if dataset.images.dtype == np.uint8 else paddle.to_tensor(dataset.images)), labels


def train_unrecorded(game: Game, dataset: Dataset, flags: argparse.Namespace, config: dict) -> int:
    """What every process but the first does: the same steps, and nothing written. Returns the exit status."""
    with Interrupt() as interrupt:
        saved = resume(game, flags, config) if flags.resume else None
        for step, *_ in training_steps(game, dataset, flags, saved["step"] if saved else 0):
            if processes.any_asked(interrupt.asked, step):
                return INTERRUPTED
    return DONE


def train(game: Game, dataset: Dataset, flags: argparse.Namespace, config: dict) -> int:
    """Train `game` on `dataset` as `flags` say and write everything to `flags.output_dir`; returns the exit status."""
    folder = flags.output_dir
    steps_per_epoch, total = length(len(dataset.images), game.batches, flags)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file of this name, or no such place
        values = {"folder": folder, "reason": error.strerror}
        raise UserError(_("--output-dir {folder}: {reason}; name another folder", **values)) from error
    with artifacts.locked(folder), Interrupt() as interrupt:
        saved = resume(game, flags, config) if flags.resume else None
        start = saved["step"] if saved else 0
        # Where nothing is left to do, the config stays that of what was done.
        earlier = artifacts.begin(folder, config, new=not start) if start < total else None
        print_header(config, dataset.images, total, start, earlier)
        print_decay(config["flags"], steps_per_epoch, total)
        if start >= total:
            print(_("nothing to do: {steps:,} steps are done; a larger --epochs or --max-steps goes on", steps=start))
            return DONE

        recorder = Recorder(game, dataset, flags, config, steps_per_epoch, total, saved)
        status, saved_at = DONE, time.monotonic()
        for step, epoch, batch, values in training_steps(game, dataset, flags, start):
            last, epoch_ends = step == total - 1, batch == steps_per_epoch - 1
            interrupted = processes.any_asked(interrupt.asked, step)
            draws = step % flags.sample_every == 0 or last
            saves = epoch_ends or last or interrupted or time.monotonic() - saved_at > 60 * flags.checkpoint_minutes
            if not recorder.log(step, epoch, batch, values, at_once=draws or saves):
                status = BROKE_DOWN
                break
            if draws or epoch_ends:
                recorder.draw_samples(step, epoch, batch, keep=draws, show=epoch_ends)
            if epoch_ends and flags.eval_every > 0 and (epoch + 1) % flags.eval_every == 0:
                recorder.judge(step, epoch)
            if saves:
                recorder.save(step)
                saved_at = time.monotonic()
            if interrupted:
                status = INTERRUPTED
                break
        recorder.close()
    print_end(config, folder, status, step + 1)
    return status


def resume(game: Game, flags: argparse.Namespace, config: dict) -> dict | None:
    """Put the last sound checkpoint of `flags.output_dir` into `game`.

    Returns:
        The checkpoint's `step` to go on with, `logs` with their lengths and `sample_every`; None where there is none.

    Raises:
        UserError: the checkpoint is of another run, or none of those that are there is sound.
    """
    folder = flags.output_dir
    found = checkpoint.load_checkpoint(folder, game)
    if not processes.all_equal(found[0]["step"] if found else 0):
        raise UserError(f"--output-dir {folder}: on several machines it has to be one folder that all of them see")
    if found is None:
        print(_("nothing to resume in {folder}: starting new", folder=folder))
        return None
    content, path, problem = found
    check_identity(path, config["identity"], flags.settings, content)
    checkpoint.restore(game, content, path)
    if problem:
        print(_("warning: {problem}; going on from the checkpoint before it", problem=problem), file=sys.stderr)
        checkpoint.set_aside(folder)
    if "computed by" in content:  # earlier versions computed in one way
        onednn.go_on_with(content["computed by"])
    return content


if __name__ == "__main__":
    print("error: this is the loop of all families, no command: python dcgan/train.py --help", file=sys.stderr)
    sys.exit(BAD_INPUT)
