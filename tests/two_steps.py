"""Two updates of a family, for `test_processes`: alone or under Paddle's launcher, where it is run for all of them.
Prints the losses and some weights of each network as JSON, a line for each family and mode of BatchNorm.
`python tests/two_steps.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Batch
from common.machine import cpu, processes
from common.rng import LATENT, random_numbers
from common.run.families import builder, families

import numpy as np
import paddle

# EBGAN's repelling term is of the pairs in a batch: each process has those of its part only.
LARGE = "dcgan, 64x64 in colour"  # as on pictures of one's own
SETTINGS = {"ebgan": {"repel": 0.0}, LARGE: {"size": 64, "channels": 3, "penalty": 1.0, "augment": True}}
# Its Adam has no memory: the first steps move a weight as far whether its gradient is large or rounding.
SETTINGS["wgan_gp"] = {"learning_rate": 1e-5}
CASES = [("dcgan", "train"), *((name, "eval") for name in [*families(), LARGE])]


def two_steps(name: str, mode: str) -> dict:
    paddle.seed(0)
    family = name.partition(",")[0]
    game = builder(family)(**SETTINGS.get(name, {}))
    if mode == "eval":
        for network in game.networks.values():
            network.eval()
    rows, count = [], game.batches * (32 if name == "dcgan" else 4)
    for step in range(2):
        real = np.random.default_rng(step).uniform(-1, 1, (count, *game.image)).astype(np.float32)
        data = paddle.to_tensor(real), paddle.arange(count) % 10
        batch = Batch(data, np.arange(count), random_numbers(0, LATENT, step), step)
        rows.append({name: value.item() for name, value in processes.averaged(game.update(batch)).items()})
    weights = [network.parameters()[0].numpy().ravel()[:5].tolist() for network in game.networks.values()]
    return {"case": [name, mode], "rows": rows, "weights": weights}


if __name__ == "__main__":
    cpu.set_threads(1)
    rank, _ = processes.start()
    for case in CASES:
        found = two_steps(*case)
        if rank == 0:
            print(json.dumps(found), flush=True)
