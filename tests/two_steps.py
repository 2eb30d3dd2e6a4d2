"""Two updates of the real DCGAN on a batch of 32, for `test_processes`: alone or under Paddle's launcher. Prints the
losses and some weights of each network as JSON, a line for each mode of BatchNorm. `python tests/two_steps.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Batch
from common.machine import cpu, processes
from common.rng import LATENT, random_numbers
from dcgan.train import build

import numpy as np
import paddle


def two_steps(mode: str) -> dict:
    paddle.seed(0)
    gan = build()
    if mode == "eval":
        for network in gan.networks.values():
            network.eval()
    rows = []
    for step in range(2):
        real = np.random.default_rng(step).uniform(-1, 1, (32, 1, 32, 32)).astype(np.float32)
        batch = Batch((paddle.to_tensor(real), None), np.arange(32), random_numbers(0, LATENT, step), step)
        rows.append({name: value.item() for name, value in processes.averaged(gan.update(batch)).items()})
    weights = [network.parameters()[0].numpy().ravel()[:5].tolist() for network in gan.networks.values()]
    return {"mode": mode, "rows": rows, "weights": weights}


if __name__ == "__main__":
    cpu.use_threads(1)
    rank, _ = processes.start()
    for mode in ("eval", "train"):
        found = two_steps(mode)
        if rank == 0:
            print(json.dumps(found), flush=True)
