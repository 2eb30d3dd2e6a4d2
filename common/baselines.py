"""What the benchmark holds ours against: the same step as the course writes it, and in PyTorch.

The file is run by its path and imports nothing of this repository: importing `common` would set Paddle up, and what is
wanted is Paddle as installed. Each function makes the networks, and returns a function that makes one step on random
images; it imports its framework itself, since the other one may not be installed and takes memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Callable

IMAGES, WARM_UP = 640, 2  # images timed in each process, and steps before


def timed(step: Callable[[], None], steps: int) -> dict:
    """Seconds of each of `steps` steps after a warm-up, and the peak memory in MB."""
    seconds = []
    for _ in range(WARM_UP + steps):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds[WARM_UP:], "peak": peak}


def course(batch_size: int) -> Callable[[], None]:
    """The course's loop in Paddle: two backward passes for D, targets and noise made in each step, D's weights and the
    graph behind the fakes differentiated for nothing, both losses fetched at once."""
    import paddle
    from paddle import nn

    generator, discriminator = course_networks()
    criterion = nn.BCELoss()
    optimizer_d, optimizer_g = (
        paddle.optimizer.Adam(2e-4, beta1=0.5, beta2=0.999, parameters=network.parameters())
        for network in (discriminator, generator)
    )
    real = paddle.rand([batch_size, 1, 32, 32]) * 2 - 1
    losses = []

    def step() -> None:
        optimizer_d.clear_grad()
        loss_real = criterion(discriminator(real), paddle.full((batch_size, 1, 1, 1), 1.0))
        loss_real.backward()
        fake = generator(paddle.randn([batch_size, 100, 1, 1]))
        loss_fake = criterion(discriminator(fake.detach()), paddle.full((batch_size, 1, 1, 1), 0.0))
        loss_fake.backward()
        optimizer_d.step()
        optimizer_d.clear_grad()
        losses.append((loss_real + loss_fake).item())

        optimizer_g.clear_grad()
        fake = generator(paddle.randn([batch_size, 100, 1, 1]))
        loss_g = criterion(discriminator(fake), paddle.full((batch_size, 1, 1, 1), 1.0))
        loss_g.backward()
        optimizer_g.step()
        optimizer_g.clear_grad()
        losses.append(loss_g.item())

    return step


def course_networks() -> tuple:
    """G and D of Paddle's own layers, as the course script has them."""
    from paddle import nn

    def up(inputs: int, outputs: int, stride: int, padding: int) -> list[nn.Layer]:
        return [
            nn.Conv2DTranspose(inputs, outputs, 4, stride, padding, bias_attr=False),
            nn.BatchNorm2D(outputs),
            nn.ReLU(),
        ]

    def down(inputs: int, outputs: int) -> list[nn.Layer]:
        return [nn.Conv2D(inputs, outputs, 4, 2, 1, bias_attr=False), nn.BatchNorm2D(outputs), nn.LeakyReLU(0.2)]

    last_up = nn.Conv2DTranspose(64, 1, 4, 2, 1, bias_attr=False)
    first_down = nn.Conv2D(1, 64, 4, 2, 1, bias_attr=False)
    last_down = nn.Conv2D(256, 1, 4, 1, 0, bias_attr=False)
    generator = nn.Sequential(*up(100, 256, 1, 0), *up(256, 128, 2, 1), *up(128, 64, 2, 1), last_up, nn.Tanh())
    discriminator = nn.Sequential(
        first_down, nn.LeakyReLU(0.2), *down(64, 128), *down(128, 256), last_down, nn.Sigmoid()
    )
    return generator, discriminator


def pytorch(batch_size: int) -> Callable[[], None]:
    """Our step, with all that it saves, in PyTorch."""
    import torch
    from torch import nn

    def up(inputs: int, outputs: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]

    def down(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]

    last_up, first_down = nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False), nn.Conv2d(1, 64, 4, 2, 1, bias=False)
    last_down = nn.Conv2d(256, 1, 4, 1, 0, bias=False)
    generator = nn.Sequential(*up(100, 256, 1, 0), *up(256, 128, 2, 1), *up(128, 64, 2, 1), last_up, nn.Tanh())
    discriminator = nn.Sequential(
        first_down, nn.LeakyReLU(0.2), *down(64, 128), *down(128, 256), last_down, nn.Sigmoid()
    )
    criterion = nn.BCELoss()
    optimizer_d, optimizer_g = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (discriminator, generator)
    )
    real = torch.rand(batch_size, 1, 32, 32) * 2 - 1
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

    return step


if __name__ == "__main__":
    kind, batch_size = sys.argv[1], int(sys.argv[2])
    make, steps = {"course": (course, IMAGES // batch_size // 4), "torch": (pytorch, IMAGES // batch_size)}[kind]
    print(json.dumps({"result": timed(make(batch_size), max(4, steps))}), flush=True)
