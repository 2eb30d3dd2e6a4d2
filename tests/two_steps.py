"""Two updates of the real DCGAN on a batch of 32, for `test_parallel`: alone or under Paddle's launcher. Prints the
losses and a weight of each network as JSON. `python tests/two_steps.py train` or `eval`: the mode of BatchNorm."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import cpu

cpu.set_up(1)

import paddle

from common import parallel
from common.train import random_numbers
from dcgan.train import build

rank, world = parallel.start()
paddle.seed(0)
gan = build()
if world > 1:
    gan.distribute()
if sys.argv[1] == "eval":
    for network in gan.networks.values():
        network.eval()
rows = []
for step in range(2):
    real = paddle.to_tensor(np.random.default_rng(step).uniform(-1, 1, (32, 1, 32, 32)).astype(np.float32))
    values = parallel.averaged(gan.update(real, random_numbers(0, 1, step), step, parallel.part(32)))
    rows.append({name: value.item() for name, value in values.items()})
weights = [network.parameters()[0].numpy().ravel()[:5].tolist() for network in gan.networks.values()]
if rank == 0:
    print(json.dumps({"rows": rows, "weights": weights}))
