"""What `commands.benchmark` measures, each in a process of its own.

`python commands/benchmark_baselines.py KIND BATCH_SIZE THREADS [IMAGES]`; IMAGES are timed.

The file is run by its path: importing `common` would set Paddle up, and the course's loop is measured with Paddle as
installed. So each function imports what it needs itself; the other framework may not even be there.
"""

from __future__ import annotations

import functools
import itertools
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Callable

IMAGES, WARM_UP = 640, 2  # images timed, and steps before
TRAINING_STEPS = 300
Step = Callable[[], None]


def networks(nn: Any, conv: type, transposed: type, norm: type, no_bias: dict[str, bool]) -> tuple[Any, Any]:
    """G and D as the course script has them, of a framework's own layers."""

    def up(inputs: int, outputs: int, stride: int, padding: int) -> list[Any]:
        return [transposed(inputs, outputs, 4, stride, padding, **no_bias), norm(outputs), nn.ReLU()]

    def down(inputs: int, outputs: int) -> list[Any]:
        return [conv(inputs, outputs, 4, 2, 1, **no_bias), norm(outputs), nn.LeakyReLU(0.2)]

    image = transposed(64, 1, 4, 2, 1, **no_bias)
    generator = nn.Sequential(*up(100, 256, 1, 0), *up(256, 128, 2, 1), *up(128, 64, 2, 1), image, nn.Tanh())
    first, last = conv(1, 64, 4, 2, 1, **no_bias), conv(256, 1, 4, 1, 0, **no_bias)
    return generator, nn.Sequential(first, nn.LeakyReLU(0.2), *down(64, 128), *down(128, 256), last, nn.Sigmoid())


def course(batch_size: int, threads: int) -> Step:
    """The course's loop in Paddle: two backward passes for D, targets and noise made in each step, D's weights and the
    graph behind the fakes differentiated for nothing, both losses fetched at once."""
    import paddle
    from paddle import nn

    generator, discriminator = networks(nn, nn.Conv2D, nn.Conv2DTranspose, nn.BatchNorm2D, {"bias_attr": False})
    criterion = nn.BCELoss()
    optimizer_d, optimizer_g = (
        paddle.optimizer.Adam(2e-4, beta1=0.5, beta2=0.999, parameters=network.parameters())
        for network in (discriminator, generator)
    )
    real = paddle.rand([batch_size, 1, 32, 32]) * 2 - 1

    def step() -> None:
        optimizer_d.clear_grad()
        loss_real = criterion(discriminator(real), paddle.full((batch_size, 1, 1, 1), 1.0))
        loss_real.backward()
        fake = generator(paddle.randn([batch_size, 100, 1, 1]))
        loss_fake = criterion(discriminator(fake.detach()), paddle.full((batch_size, 1, 1, 1), 0.0))
        loss_fake.backward()
        optimizer_d.step()
        optimizer_d.clear_grad()
        (loss_real + loss_fake).item()

        optimizer_g.clear_grad()
        fake = generator(paddle.randn([batch_size, 100, 1, 1]))
        loss_g = criterion(discriminator(fake), paddle.full((batch_size, 1, 1, 1), 1.0))
        loss_g.backward()
        optimizer_g.step()
        optimizer_g.clear_grad()
        loss_g.item()

    return step


def pytorch(batch_size: int, threads: int, channels_last: bool = False) -> Step:
    """Our step, with all that it saves, in PyTorch; channels last, as its guide advises for convolutions on a CPU."""
    import torch
    from torch import nn

    if threads:
        torch.set_num_threads(threads)
    generator, discriminator = networks(nn, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, {"bias": False})
    criterion = nn.BCELoss()
    optimizer_d, optimizer_g = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (discriminator, generator)
    )
    real = torch.rand(batch_size, 1, 32, 32) * 2 - 1
    if channels_last:
        generator, discriminator, real = (
            one.to(memory_format=torch.channels_last) for one in (generator, discriminator, real)
        )
    ones, zeros = torch.ones(batch_size, 1, 1, 1), torch.zeros(batch_size, 1, 1, 1)

    def step() -> None:
        with torch.no_grad():
            fake = generator(torch.randn(batch_size, 100, 1, 1))
        loss_d = criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

        discriminator.requires_grad_(False)
        loss_g = criterion(discriminator(generator(torch.randn(batch_size, 100, 1, 1))), ones)
        optimizer_g.zero_grad()
        loss_g.backward()
        discriminator.requires_grad_(True)
        optimizer_g.step()
        loss_g.item()

    return step


def ours(batch_size: int, threads: int) -> Step:
    """`dcgan/`'s step as the loop makes it, in one process or several."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    import common
    from common.game import Batch
    from common.machine import convolutions, processes
    from common.rng import LATENT, random_numbers
    from dcgan.train import build

    import numpy as np
    import paddle

    common.imported()
    convolutions.use_threads(threads)
    processes.start()
    game, steps = build(), itertools.count()
    real, chosen = paddle.rand([batch_size, 1, 32, 32]) * 2 - 1, np.arange(batch_size)

    def step() -> None:
        number = next(steps)
        values = game.update(Batch((real, None), chosen, random_numbers(0, LATENT, number), number))
        game.ema.update(number)
        processes.averaged(values)["loss_g"].item()

    return step


def training(arguments: list[str]) -> dict[str, float]:
    """`dcgan/train.py` itself: when its first step was done, and how much of the time was not spent in steps."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from common.train import run
    from dcgan.train import build

    moments = []

    def build_timed(**settings: float) -> Any:
        game = build(**settings)
        update = game.update

        def timed_update(batch: Any) -> dict:
            started = time.time()
            values = update(batch)
            values["loss_g"].item()  # on a GPU: wait for the step to be done
            moments.append((started, time.time()))
            return values

        game.update = timed_update
        return game

    if status := run("dcgan", build_timed, [*arguments, "--max-steps", str(TRAINING_STEPS), "--eval-every", "0"]):
        raise SystemExit(status)
    kept = moments[WARM_UP:]
    inside, whole = sum(end - start for start, end in kept), kept[-1][1] - kept[0][0]
    return {"first step": moments[0][1], "outside": 1 - inside / whole}


def timed(step: Step, steps: int) -> list[float]:
    """Seconds of each of `steps` steps, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP:]


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "training":
        found = training(arguments)
    else:
        batch_size, threads, images = map(int, [*arguments, IMAGES][:3])
        last = functools.partial(pytorch, channels_last=True)
        make = {"course": course, "torch": pytorch, "torch-last": last, "ours": ours}[kind]
        count = images // batch_size // (4 if kind == "course" else 1)
        found = {"seconds": timed(make(batch_size, threads), max(4, count))}
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"result": found}), flush=True)
