"""Why the Sigmoid goes: the gradient G gets through it, drawn by `python docs/saturation.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.results_report import FAMILY_COLOURS
from common.errors import DONE
from common.run.commandline import Parser, command, user_path
from common.run.grids import save_figure

import paddle
from matplotlib.figure import Figure
from paddle import nn

COLOURS = {"minimax": "grey", **dict(zip(("DCGAN", "LSGAN"), FAMILY_COLOURS))}


def gradients() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gradient of G's loss with respect to D's raw score s, by Paddle's own automatic differentiation in float32.

    Returns:
        The scores `[N]` from -40 to 40, and for each loss its gradient `[N]` there: `minimax` log(1 - sigmoid(s)),
        `DCGAN` BCELoss(sigmoid(s), 1) = -log sigmoid(s), `LSGAN` MSELoss(s, 1) = (s - 1)².
    """
    losses = {
        "minimax": lambda s: -nn.BCELoss(reduction="sum")(nn.functional.sigmoid(s), paddle.zeros_like(s)),
        "DCGAN": lambda s: nn.BCELoss(reduction="sum")(nn.functional.sigmoid(s), paddle.ones_like(s)),
        "LSGAN": lambda s: nn.MSELoss(reduction="sum")(s, paddle.ones_like(s)),
    }
    scores = np.linspace(-40, 40, 1601, dtype=np.float32)
    curves = {}
    for name, loss in losses.items():
        s = paddle.to_tensor(scores, stop_gradient=False)
        loss(s).backward()
        curves[name] = s.grad.numpy()
    return scores, curves


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the gradient of G's loss for three losses."""
    parser = Parser(prog="python docs/saturation.py", description=main.__doc__)
    parser.add_argument("--out", type=user_path, default=Path("work/saturation.png"), help="the picture, PNG")
    flags = parser.parse_args(arguments)
    scores, curves = gradients()
    figure = Figure(figsize=(11, 4), layout="constrained")
    near, far = figure.subplots(1, 2)
    for axes, reach in ((near, 6), (far, 40)):
        shown = np.abs(scores) <= reach
        for name, values in curves.items():
            axes.plot(scores[shown], np.abs(values[shown]), label=name, linewidth=2, color=COLOURS[name])
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xlabel("D's raw score of a fake:  sure it is fake  <  0  <  sure it is real")
        axes.grid(alpha=0.25)
    near.set_ylabel("|gradient| that reaches G")
    near.set_ylim(0, 4)
    near.set_title("near the boundary")
    near.legend()
    far.set_yscale("symlog", linthresh=1e-6)
    far.set_ylim(0, 200)
    far.set_title("far from it, logarithmic: in float32 the sigmoid is flat")
    save_figure(flags.out, figure)
    print(f"{flags.out}: written")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
