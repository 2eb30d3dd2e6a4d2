"""paddle2onnx 2.1: the slope of a LeakyReLU is written as a number that has nothing to do with it, such as 2e-43."""

import tempfile

import onnx
import paddle
import paddle2onnx
from paddle import nn

with tempfile.TemporaryDirectory() as folder:
    paddle.jit.save(nn.LeakyReLU(0.2), f"{folder}/net", [paddle.static.InputSpec([None, 2], "float32")])
    content = paddle2onnx.export(f"{folder}/net.json", f"{folder}/net.pdiparams", None)
slopes = [a.f for node in onnx.load_model_from_string(content).graph.node for a in node.attribute if a.name == "alpha"]
assert [abs(slope - 0.2) < 1e-5 for slope in slopes] == [True], slopes
