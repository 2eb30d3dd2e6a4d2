"""Who plays in `docs/time_to_quality.py`: `python docs/quality_players.py ours|pytorch FOLDER EVERY`.

Both start from FOLDER's weights and train on its batches and on the same noise, one thread each. Every EVERY steps they
write what their averaged generator makes of FOLDER's latent vectors, and the seconds that the steps took so far.

The file is run by its path, and each player imports what it needs itself: importing `common` would set up MKL and the
heap for PyTorch, too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SEED, LATENT = 0, 1  # the stream of a step's latent vectors in `common/rng.py`
RATE, PENALTY, PENALTY_EVERY, DECAY = 5e-4, 1.0, 4, 0.999  # as `make best` trains DCGAN
STATISTICS = 10  # batches of latent vectors, for the averaged generator's BatchNorm
Step = Callable[[int, np.ndarray], None]
Sample = Callable[[], np.ndarray]


def noise(step: int) -> np.random.Generator:
    """The random numbers of one step."""
    return np.random.default_rng([SEED, LATENT, step])


def trained(network: Any) -> list[Any]:
    """The weights of a network of Paddle's, without BatchNorm's running statistics, which it lists among them."""
    return [weights for weights in network.parameters() if not weights.stop_gradient]


def ours(folder: Path, images: np.ndarray) -> tuple[Step, Sample]:
    """DCGAN's game as the loop trains it."""
    sys.path[0] = str(ROOT)
    import common
    from common.game import Batch, on_device
    from common.machine import convolutions, processes
    from dcgan.train import build

    import paddle

    common.imported()
    convolutions.use_threads(1)
    processes.start()
    game = build(learning_rate=RATE, penalty=PENALTY, penalty_every=PENALTY_EVERY, ema_decay=DECAY)
    start, latent = (np.load(folder / name) for name in ("start.npz", "latent.npy"))
    for name, network in game.networks.items():
        for number, weights in enumerate(trained(network)):
            weights.set_value(start[f"{name}-{number}"])
    game.ema.network.set_state_dict(game.generator.state_dict())
    data = paddle.to_tensor(images), None

    def step(number: int, chosen: np.ndarray) -> None:
        game.update(Batch(data, chosen, noise(number), number))
        game.ema.update(number)

    def sample() -> np.ndarray:
        game.ema.measure_statistics([on_device(part) for part in np.split(latent[: 100 * STATISTICS], STATISTICS)])
        return game.sample(latent, ema=True)

    return step, sample


def pytorch(folder: Path, images: np.ndarray) -> tuple[Step, Sample]:
    """The same in PyTorch, channels last: its better setting on one thread (`commands.benchmark`)."""
    sys.path[0] = str(ROOT / "commands")
    import copy

    import torch
    from benchmark_baselines import networks
    from torch import nn

    torch.set_num_threads(1)
    pair = networks(nn, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, {"bias": False})
    start = np.load(folder / "start.npz")
    latent = torch.from_numpy(np.load(folder / "latent.npy"))
    for name, network in zip(("generator", "discriminator"), pair):
        with torch.no_grad():
            for number, weights in enumerate(network.parameters()):
                weights.copy_(torch.from_numpy(start[f"{name}-{number}"]))
    generator, discriminator = (network.to(memory_format=torch.channels_last) for network in pair)
    average = copy.deepcopy(generator).requires_grad_(False)
    followed = list(average.parameters()), list(generator.parameters())
    optimizer_d, optimizer_g = (
        torch.optim.Adam(network.parameters(), RATE, betas=(0.5, 0.999)) for network in (discriminator, generator)
    )
    criterion, raw = nn.BCELoss(), discriminator[:-1]  # the penalty is of the raw score, before the Sigmoid

    def step(number: int, chosen: np.ndarray) -> None:
        real = torch.from_numpy(images[chosen]).to(memory_format=torch.channels_last)
        rng, count = noise(number), len(chosen)
        noise_d, noise_g = (
            torch.from_numpy(rng.standard_normal((count, 100, 1, 1), dtype=np.float32)) for _ in range(2)
        )
        ones, zeros = torch.ones(count, 1, 1, 1), torch.zeros(count, 1, 1, 1)

        with torch.no_grad():
            fake = generator(noise_d)
        optimizer_d.zero_grad()
        (criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)).backward()
        if number % PENALTY_EVERY == 0:
            real.requires_grad_()
            for norm in norms(discriminator, nn):
                norm.momentum = 0.0  # what the penalty sees is no second look for the running statistics
            (slopes,) = torch.autograd.grad(raw(real).sum(), real, create_graph=True)
            (PENALTY_EVERY * PENALTY / 2 * slopes.square().sum((1, 2, 3)).mean()).backward()
            for norm in norms(discriminator, nn):
                norm.momentum = 0.1
        optimizer_d.step()

        discriminator.requires_grad_(False)
        optimizer_g.zero_grad()
        criterion(discriminator(generator(noise_g)), ones).backward()
        discriminator.requires_grad_(True)
        optimizer_g.step()
        with torch.no_grad():
            torch._foreach_lerp_(*followed, 1 - min(DECAY, (1 + number) / (10 + number)))

    @torch.no_grad()
    def sample() -> np.ndarray:
        average.train()
        for norm in norms(average, nn):
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        for part in latent[: 100 * STATISTICS].split(100):
            average(part)
        average.eval()
        return torch.cat([average(part) for part in latent.split(500)]).contiguous().numpy()

    return step, sample


def norms(network: Any, nn: Any) -> list[Any]:
    """A PyTorch network's BatchNorm layers."""
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def main(player: str, folder: Path, every: int) -> None:
    """Make all steps, and write samples and seconds on the way."""
    images, batches = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "batches.npy")
    step, sample = {"ours": ours, "pytorch": pytorch}[player](folder, images)
    seconds = 0.0
    for number, chosen in enumerate(batches):
        started = time.perf_counter()
        step(number, chosen)
        seconds += time.perf_counter() - started
        if (number + 1) % every == 0:
            np.savez(folder / f"{player}-{number + 1}.npz", images=sample(), seconds=seconds)
            print(f"{player}: step {number + 1:,} of {len(batches):,}, {seconds / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
