"""The training loop: one for every family. `dcgan/train.py` and its sisters call `run` with what makes them differ."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import numpy as np

from common import cpu
from common.errors import BROKE_DOWN, DONE, INTERRUPTED, UserError, command
from common.flags import parse_flags
from common.report import describe, print_end, print_header

if TYPE_CHECKING:
    from common.data import Dataset
    from common.gan import GAN

# Every random number is a function of the seed, its stream and its place there, not of what was drawn before it: a run
# can stop and go on anywhere, and what one part of the program draws cannot shift what another part sees.
SHUFFLE, LATENT, FIXED, EMA = range(4)
READ_EVERY = 20  # steps between looks at the losses: on a GPU each look waits for all the work queued before it


@command
def run(family: str, build: Callable[..., GAN], arguments: list[str] | None = None) -> int:
    """Train a family as the command line says.

    Args:
        family: the name of its folder, `dcgan` or `lsgan`.
        build: makes the family's `GAN` from Adam's settings; called once Paddle is set up and seeded.
        arguments: the flags, None for the command line's.

    Returns:
        The exit status: 0 done, 2 for what the user can mend, 3 after a breakdown, 130 after Ctrl-C or SIGTERM.
    """
    flags = parse_flags(family, arguments)
    threads = cpu.set_up(flags.threads)
    import paddle

    from common import data, parallel

    device = choose_device(flags.device)
    rank, world = parallel.start()
    dataset = data.load(flags.dataset, flags.data_dir)
    paddle.seed(flags.seed)
    adam = {"learning_rate": flags.learning_rate, "learning_rate_d": flags.learning_rate_d, "beta1": flags.beta1}
    gan = build(**adam, label_smoothing=flags.label_smoothing)
    config = {
        "family": family,
        "flags": {name: str(value) if isinstance(value, Path) else value for name, value in vars(flags).items()},
        "dataset": dataset.name,
        "checksum": dataset.checksum,
        "note": dataset.note,
        "versions": {"python": sys.version.split()[0], "paddle": paddle.__version__, "numpy": np.__version__},
        "device": device,
        "threads": threads,
        "processes": world,
        "parameters": {
            name: sum(p.size for p in net.parameters() if not p.stop_gradient) for name, net in gan.networks.items()
        },
    }
    return train(gan, dataset, flags, config) if world == 1 else train_together(gan, dataset, flags, config, rank)


def choose_device(name: str) -> str:
    """Point Paddle at `auto`, `cpu`, `gpu` or `gpu:N`; return what that came to, as `cpu` or `gpu:0`.

    Raises:
        UserError: there is no such device here.
    """
    import paddle

    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if name == "auto":
        name = "gpu" if gpus else "cpu"
    kind, _, number = name.partition(":")
    if name not in ("cpu", "gpu") and not (kind == "gpu" and number.isdigit()):
        raise UserError(f"--device {name}: expected auto, cpu, gpu or gpu:N")
    if kind == "gpu" and int(number or 0) >= gpus:
        raise UserError(f"--device {name}: Paddle {paddle.__version__} sees {gpus} GPUs here; use --device cpu")
    paddle.set_device(name)
    return paddle.get_device()


def random_numbers(seed: int, stream: int, place: int = 0) -> np.random.Generator:
    """The random numbers of one place in one stream; the same on every machine."""
    return np.random.default_rng([seed, stream, place])


def length(count: int, flags: argparse.Namespace) -> tuple[int, int]:
    """Steps in an epoch of `count` images, rounded up since the last, smaller batch is used too, and steps in all."""
    steps_per_epoch = -(-count // flags.batch_size)
    return steps_per_epoch, min(flags.epochs * steps_per_epoch, flags.max_steps or sys.maxsize)


def play(gan: GAN, dataset: Dataset, flags: argparse.Namespace, start: int) -> Iterator[tuple[int, int, int, dict]]:
    """Make the steps from `start` to the end; after each, its number, its epoch, its place there and its values.

    Every image is seen once an epoch. Where there are several processes, each takes its part of every batch.
    """
    import paddle

    from common import parallel
    from common.gan import on_device

    count, batch_size = len(dataset.images), flags.batch_size
    steps_per_epoch, total = length(count, flags)
    learning_rates = {name: optimizer.get_lr() for name, optimizer in gan.optimizers.items()}
    images = paddle.to_tensor(dataset.images)  # on the device, once; from here on a batch is one index into it
    for step in range(start, total):
        epoch, batch = divmod(step, steps_per_epoch)
        if batch == 0 or step == start:
            order = random_numbers(flags.seed, SHUFFLE, epoch).permutation(count)
            if flags.linear_decay:
                for name, optimizer in gan.optimizers.items():
                    optimizer.set_lr(learning_rates[name] * (1 - epoch / flags.epochs))
        chosen = order[batch * batch_size : (batch + 1) * batch_size]
        real = paddle.index_select(images, on_device(chosen))
        values = gan.update(real, random_numbers(flags.seed, LATENT, step), step, parallel.part(len(chosen)))
        yield step, epoch, batch, parallel.averaged(values)


def train_together(gan: GAN, dataset: Dataset, flags: argparse.Namespace, config: dict, rank: int) -> int:
    """Train in several processes, of which this is number `rank`; the first does all that `train` does.

    Raises:
        UserError: flags that do not go together.
    """
    from common import parallel

    world = config["processes"]
    if flags.sync_batchnorm and config["device"] == "cpu":
        raise UserError("--sync-batchnorm: Paddle has it for GPUs only; without it each process uses its own part")
    smallest = len(dataset.images) % flags.batch_size or flags.batch_size
    if smallest < world:
        raise UserError(
            f"--batch-size {flags.batch_size}: it leaves {smallest} images for the {world} processes at an epoch's "
            "end; choose another"
        )
    gan.distribute(flags.sync_batchnorm)
    words = (
        f"error: process {rank} of {world} ended early: another is gone, it was killed, or see above; --resume goes on"
    )
    with parallel.last_words(words):
        return (train if rank == 0 else follow)(gan, dataset, flags, config)


def follow(gan: GAN, dataset: Dataset, flags: argparse.Namespace, config: dict) -> int:
    """What every process but the first does: the same steps, and nothing written. Returns the exit status."""
    from common import parallel
    from common.progress import Interrupt

    with Interrupt() as interrupt:
        place = resume(gan, flags.output_dir, config) if flags.resume else None
        for step, *_ in play(gan, dataset, flags, place["step"] if place else 0):
            if parallel.agreed(interrupt.asked, step):
                return INTERRUPTED
    return DONE


def train(gan: GAN, dataset: Dataset, flags: argparse.Namespace, config: dict) -> int:
    """Train `gan` on `dataset` as `flags` say and write everything to `flags.output_dir`; returns the exit status."""
    import paddle

    from common import artifacts, checkpoint, parallel
    from common.evaluate import Examiner
    from common.health import Health, spread
    from common.progress import Interrupt, Progress
    from common.runs import best_distance, load_rows

    count, folder = len(dataset.images), flags.output_dir
    steps_per_epoch, total = length(count, flags)
    folder.mkdir(parents=True, exist_ok=True)

    with artifacts.locked(folder), Interrupt() as interrupt:
        place = resume(gan, folder, config) if flags.resume else None
        start = place["step"] if place else 0
        earlier = None if start else artifacts.set_aside(folder)
        artifacts.save_json(folder / "config.json", config)
        print_header(config, count, total, start, earlier)
        if start >= total:
            print(f"nothing to do: {start:,} steps are done; a larger --epochs or --max-steps goes on")
            return DONE

        if place:
            artifacts.remove_later_grids(folder / "samples", start, place["sample_every"], steps_per_epoch)
        logs = artifacts.Logs(folder, place and place["logs"])
        health, examiner = Health(spread(dataset.images[:1000])), Examiner(dataset)
        if place:
            health.resume(load_rows(folder), place["troubles"])
        else:
            logs.hyperparameters(config["flags"])
        best = best_distance(folder)
        fixed_latent = gan.latent(random_numbers(flags.seed, FIXED), artifacts.GRID_COLUMNS**2)
        ema_latent = [gan.latent(random_numbers(flags.seed, EMA, part), 100) for part in range(10)]
        progress = Progress(total - start, count / steps_per_epoch, flags.epochs, flags.sample_every)
        unread: list[tuple[dict, dict[str, paddle.Tensor]]] = []  # steps whose losses are still on the device
        saved_at = time.monotonic()
        status = DONE

        for step, epoch, batch, values in play(gan, dataset, flags, start):
            unread.append(({"step": step, "epoch": epoch, "batch": batch}, values))

            last, epoch_ends = step == total - 1, batch == steps_per_epoch - 1
            interrupted = parallel.agreed(interrupt.asked, step)
            draws = step % flags.sample_every == 0 or last
            judges = epoch_ends and flags.eval_every > 0 and (epoch + 1) % flags.eval_every == 0
            saves = epoch_ends or last or interrupted or time.monotonic() - saved_at > 60 * flags.checkpoint_minutes
            troubles = []
            if step % READ_EVERY == 0 or draws or saves:
                rows = read(unread)
                unread.clear()
                logs.steps(rows)
                speed = progress.advance(rows)
                if step % READ_EVERY == 0:
                    logs.board.add_scalar("speed/images a second", speed, step)
                if not all(np.isfinite(value) for row in rows for value in row.values()):
                    status = BROKE_DOWN
                    break
                troubles += health.look_at_steps(rows)
            if draws or epoch_ends:
                samples = gan.sample(fixed_latent)
                grid = artifacts.grid(samples)
                troubles += health.look_at_samples(step, samples)
            if draws:
                artifacts.save_image(folder / "samples" / f"{epoch:04d}_{batch:04d}.png", grid)
            if epoch_ends:
                logs.board.add_image("samples", np.asarray(grid.convert("RGB")), step)
            if saves:
                gan.ema.measure_statistics(ema_latent)
            if judges and (found := examiner.examine(gan)):
                logs.metrics({"step": step, "epoch": epoch, **found})
                progress.say(f"epoch {epoch + 1}: Fréchet distance {describe(found)}")
                troubles += health.look_at_classes(step, found["raw"]["classes"])
                nearer = min(found, key=lambda name: found[name]["frechet"])
                if found[nearer]["frechet"] < best:
                    best = found[nearer]["frechet"]
                    network = gan.ema.network if nearer == "ema" else gan.networks["generator"]
                    artifacts.save_params(folder / "generator_best.params", network.state_dict())
            for trouble in troubles:
                logs.trouble(trouble)
                progress.say(f"!!! step {trouble['step']}: {trouble['trouble']}: {trouble['advice']}.")
            if saves:
                for name, network in (*gan.networks.items(), ("generator_ema", gan.ema.network)):
                    artifacts.save_params(folder / f"{name}.params", network.state_dict())
                place = {"step": step + 1, "logs": logs.flush(), "sample_every": flags.sample_every}
                place["troubles"] = sorted(health.ongoing)
                checkpoint.save(folder, gan, {**place, "identity": identity(config)})
                saved_at = time.monotonic()
            if interrupted:
                status = INTERRUPTED
                break

        progress.bar.close()
        logs.close()
        artifacts.save_gif(folder / "samples", folder / "progress.gif")
    print_end(config, folder, status, step + 1)
    return status


def identity(config: dict) -> dict:
    """What makes a run this run: with any of it changed, `--resume` would give neither the old run nor a new one."""
    flags = config["flags"]
    several = {"processes": config["processes"]} if config["processes"] > 1 else {}
    names = ["seed", "batch_size", "learning_rate", "beta1"]
    names += [name for name in ("learning_rate_d", "label_smoothing", "linear_decay") if flags[name]]
    names += ["epochs"] if flags["linear_decay"] else []  # the end that the step sizes fall to
    fixed = {f"--{name.replace('_', '-')}": flags[name] for name in names}
    return {"family": config["family"], "data set": f"{config['dataset']} {config['checksum']}", **several, **fixed}


def resume(gan: GAN, folder: Path, config: dict) -> dict | None:
    """Put the last sound checkpoint of `folder` into `gan`.

    Returns:
        The checkpoint's `step` to go on with, `logs` with their lengths and `sample_every`; None where there is none.

    Raises:
        UserError: the checkpoint is of another run, or none of those that are there is sound.
    """
    from common import checkpoint

    found = checkpoint.load(folder)
    if found is None:
        print(f"nothing to resume in {folder}: starting new")
        return None
    content, path, problem = found
    if problem:
        print(f"warning: {problem}; going on from the checkpoint before it", file=sys.stderr)
    mine, its = identity(config), content["identity"]
    for name in {**mine, **its}:
        now, then = mine.get(name, "off"), its.get(name, "off")
        if now != then:
            raise UserError(f"{path}: {name} was {then} and is now {now}; resume with {then}, or without --resume")
    checkpoint.restore(gan, content, path)
    return content


def read(steps: list[tuple[dict, dict]]) -> list[dict[str, float]]:
    """Fetch the values of many steps from the device at once: a row for each, float32 as computed."""
    import paddle

    names = list(steps[0][1])
    table = paddle.stack([values[name] for _, values in steps for name in names]).numpy().reshape(-1, len(names))
    return [{**place, **dict(zip(names, values))} for (place, _), values in zip(steps, table)]
