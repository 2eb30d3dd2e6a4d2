"""Three plots that teach, drawn by the zoo's own code: `python docs/zoo_plots.py` (some four minutes on one core).

1. f-GAN: each divergence of two Gaussians as a small D estimates it, beside the exact one, over their distance.
2. WGAN and WGAN-GP: what their critics say of that distance, beside W and W(1 + W/2λ).
3. MM and NS: the gradient that reaches a G at rest while D is trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import data
from common.errors import DONE
from common.run.commandline import Parser, command, user_path
from common.run.grids import save_figure
from zoo.f_gan import loss_of
from zoo.mm_ns import LOSSES, MMNS
from zoo.shared.gaussians import estimate
from zoo.shared.slopes import gradient_penalty, uniform
from zoo.wgan import clip_weights, rms_prop

import numpy as np
import paddle
from matplotlib.figure import Figure
from paddle import Tensor, nn
from paddle.optimizer import Adam

F = {  # f(u) of each divergence; arXiv 1606.00709, table 1
    "kl": lambda u: u * np.log(u),
    "reverse-kl": lambda u: -np.log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "js": lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
    "gan": lambda u: u * np.log(u) - (u + 1) * np.log(u + 1),
}
PENALTY = 10.0  # λ
CLIPS = (0.1, 0.05)


def exact(name: str, mean: float) -> float:
    """The divergence of N(0, 1) from N(`mean`, 1), ∫ q f(p/q), by numerical integration."""
    x = np.linspace(-12, 13, 400_001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, mean))
    return float((q * F[name](p / q)).sum() * (x[1] - x[0]))


def critic_difference(distance: float, clip: float | None = None, steps: int = 800) -> float:
    """E f(x) - E f(x') for x ~ N(0, 1), x' ~ N(-`distance`, 1) and a critic f trained on numbers in place of images.

    Args:
        clip: cut its weights back to [-clip, clip] after each step; None: the gradient penalty with λ = 10.
    """
    paddle.seed(0)
    rng = np.random.default_rng(1)
    critic = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    rate = 2e-3
    optimizer = Adam(rate, 0.5, 0.9, parameters=critic.parameters()) if clip is None else rms_prop(critic, rate)

    def pair(count: int) -> tuple[Tensor, Tensor]:
        real, fake = (rng.standard_normal((count, 1)).astype(np.float32) for _ in range(2))
        return paddle.to_tensor(real), paddle.to_tensor(fake - np.float32(distance))

    for step in range(steps):
        real, fake = pair(256)
        loss = critic(fake).mean() - critic(real).mean()
        if clip is None:
            alpha = paddle.to_tensor(uniform(rng, 256).reshape(-1, 1))
            loss += PENALTY * gradient_penalty(critic, real, fake, alpha)
        optimizer.set_lr(rate * (1 - step / steps))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        if clip is not None:
            clip_weights(critic, clip)
    with paddle.no_grad():
        real, fake = pair(20_000)
        return (critic(real).mean() - critic(fake).mean()).item()


def gradients_at_rest(updates: int = 120, every: int = 4) -> dict[str, list[float]]:
    """The norm of the gradient at G's last layer under either loss, measured before D's first update and after each
    `every` of them, on scikit-learn's digits; G does not move."""
    paddle.seed(0)
    game, rng = MMNS(learning_rate=2e-4), np.random.default_rng(0)
    images = data.load("digits").images
    noise = paddle.to_tensor(game.latent(rng, 64))
    found: dict[str, list[float]] = {name: [] for name in LOSSES}
    last = game.generator.parameters()[-1]
    for update in range(updates + 1):
        if update % every == 0:
            for name, loss in LOSSES.items():
                loss.generator(game.discriminator(game.generator(noise))).backward()
                found[name].append(float(last.grad.norm()))
                for optimizer in game.optimizers.values():
                    optimizer.clear_grad()
        with game.turn("discriminator"):
            real = game.discriminator(paddle.to_tensor(images[rng.integers(0, len(images), 32)]))
            fake = game.discriminator(game.generator(paddle.to_tensor(game.latent(rng, 32))))
            game.loss.discriminator(real, fake).backward()
    return found


def draw_divergences(path: Path) -> None:
    """Plot 1."""
    means = np.linspace(0.25, 1.5, 6)
    figure = Figure(figsize=(11, 5), layout="constrained")
    fine = np.linspace(0, 1.5, 40)
    for axes, name in zip(figure.subplots(2, 3).flat, F):
        axes.plot(fine, [exact(name, mean) for mean in fine], label="exact")
        axes.plot(means, [estimate(loss_of(name), mean) for mean in means], "o", label="estimated by D")
        axes.set(title=name, xlabel="distance of the means")
        axes.legend()
    save_figure(path, figure)


def draw_critics(path: Path) -> None:
    """Plot 2."""
    distances = np.array([0.25, 0.5, 1.0, 1.5, 2.0])
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    fine = np.linspace(0, distances[-1], 50)
    axes.plot(fine, fine, color="grey", label="W, the distance itself")
    axes.plot(fine, fine * (1 + fine / (2 * PENALTY)), color="grey", linestyle=":", label="W(1 + W/2λ)")
    axes.plot(distances, [critic_difference(w) for w in distances], "o", label=f"WGAN-GP, λ = {PENALTY:g}")
    for clip in CLIPS:
        axes.plot(distances, [critic_difference(w, clip) for w in distances], "s-", label=f"WGAN, clip {clip:g}")
    axes.set(xlabel="W: distance of the two Gaussians", ylabel="what the critic says")
    axes.legend()
    save_figure(path, figure)


def draw_gradients(path: Path) -> None:
    """Plot 3."""
    every = 4
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in gradients_at_rest(every=every).items():
        axes.plot(np.arange(len(values)) * every, values, label=name.upper())
    axes.set(xlabel="updates of D, G at rest", ylabel="norm of the gradient that reaches G", yscale="log")
    axes.legend()
    save_figure(path, figure)


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the three plots of zoo/README.md."""
    parser = Parser(prog="python docs/zoo_plots.py", description=main.__doc__)
    parser.add_argument("--out", type=user_path, default=Path("work"), help="the folder for them")
    flags = parser.parse_args(arguments)
    for name, draw in (("divergences", draw_divergences), ("critics", draw_critics), ("gradients", draw_gradients)):
        path = flags.out / f"zoo_{name}.png"
        draw(path)
        print(f"{path}: written", flush=True)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
