"""VisualDL: `add_graph` fails with a network of Paddle 3."""

import tempfile

import paddle
from paddle import nn
from visualdl import LogWriter

with tempfile.TemporaryDirectory() as folder, LogWriter(folder) as writer:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    writer.add_graph(network, [paddle.static.InputSpec([None, 2], "float32")])
