"""Which of CGAN's four variants learns the label first? `python docs/cgan_variants.py` trains each over three seeds.

Some 40 minutes on one core. What is measured is kept in `work/cgan_variants.json` after each run, so that the same
command goes on where it was stopped; at the end it is drawn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import data
from common.data import CLASSES
from common.errors import DONE
from common.game import Batch
from common.judging.judge import classify, load_judge
from common.machine import convolutions
from common.rng import LATENT, SHUFFLE, random_numbers
from common.run import artifacts, grids
from common.run.commandline import MOST_IMAGES, Parser, command, seed_number, user_path, whole_number
from common.run.flags import DATA_DIR_HELP
from zoo.cgan import CGAN

import numpy as np
import paddle
from matplotlib.figure import Figure

VARIANTS = [(parts, heads) for parts in ("two", "three") for heads in ("one", "two")]
EVERY, ASKED = 50, 500  # updates between readings; digits read each time


def learn(parts: str, heads: str, seed: int, updates: int, batch_size: int, data_dir: str | None) -> list[float]:
    """The share of digits that the judge reads as asked, before the first update and after every 50 of them."""
    paddle.seed(seed)
    game, judge = CGAN(parts, heads, learning_rate=2e-4, penalty=0.0), load_judge("mnist")
    mnist = data.load("mnist", data_dir, labelled=True)
    on_device = paddle.to_tensor(mnist.images), paddle.to_tensor(mnist.labels)
    order = random_numbers(seed, SHUFFLE, 0).permutation(len(mnist.images))
    wanted, found = np.arange(ASKED) % CLASSES, []
    for step in range(updates + 1):
        if step % EVERY == 0:
            seen = classify(judge, game.sample(game.latent(random_numbers(0, LATENT, 0), ASKED)))
            found.append(float((seen.classes == wanted).mean()))
        chosen = order[np.arange(step * batch_size, (step + 1) * batch_size) % len(order)]
        game.update(Batch(on_device, chosen, random_numbers(seed, LATENT, step), step))
    return found


@command
def main(arguments: list[str] | None = None) -> int:
    """Train CGAN's variants and draw how they learn."""
    parser = Parser(prog="python docs/cgan_variants.py", description=main.__doc__)
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[0, 1, 2], help="of the runs")
    parser.add_argument("--updates", type=whole_number(1), default=500, help=f"a multiple of {EVERY}")
    parser.add_argument("--batch-size", type=whole_number(2, MOST_IMAGES), default=64, help="images an update")
    parser.add_argument("--threads", type=whole_number(1), help="CPU threads (default: all cores)")
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--out", type=user_path, default=Path("work"), help="the folder for the JSON and the picture")
    flags = parser.parse_args(arguments)
    if flags.updates % EVERY:
        parser.error(f"--updates {flags.updates}: expected a multiple of {EVERY}, after which it is read")
    convolutions.use_threads(flags.threads)
    path = flags.out / "cgan_variants.json"
    setting = {"updates": flags.updates, "batch size": flags.batch_size, "every": EVERY, "asked": ASKED}
    kept = json.loads(path.read_text()) if path.is_file() else {}
    runs = kept.get("runs", {}) if kept.get("setting") == setting else {}
    for seed in flags.seeds:
        for parts, heads in VARIANTS:
            name = f"{parts} parts, {heads} head{'s' if heads == 'two' else ''}, seed {seed}"
            if name not in runs:
                runs[name] = learn(parts, heads, seed, flags.updates, flags.batch_size, flags.data_dir)
                print(f"{name}: {runs[name][-1]:.1%} read as asked after {flags.updates} updates", flush=True)
                artifacts.save_json(path, {"setting": setting, "runs": runs})
    draw(runs, flags.out / "cgan_variants.png")
    return DONE


def draw(runs: dict[str, list[float]], path: Path) -> None:
    """The mean over the seeds of each variant, and the range."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for variant in dict.fromkeys(name.rpartition(",")[0] for name in runs):
        shares = np.array([values for name, values in runs.items() if name.startswith(f"{variant},")])
        steps = np.arange(shares.shape[1]) * EVERY
        (line,) = axes.plot(steps, shares.mean(axis=0), label=f"{variant} ({len(shares)} seeds)")
        axes.fill_between(steps, shares.min(axis=0), shares.max(axis=0), color=line.get_color(), alpha=0.15)
    axes.set(xlabel="updates", ylabel="digits read as asked", ylim=(0, 1))
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))  # above: the bands fill the rest
    grids.save_figure(path, figure)
    print(f"{path}: written")


if __name__ == "__main__":
    sys.exit(main())
