"""The assignment: between the two folders there are two lines, names and docstrings aside."""

from __future__ import annotations

import ast
import difflib

from common.losses import to_targets
from docs.saturation import gradients
from tests.conftest import ROOT, make_gan, noise, real

import numpy as np
import paddle
import pytest
from paddle import nn


def code(path: str) -> list[str]:
    """The lines of a file without docstrings, and with either family's name as `gan`."""
    text = (ROOT / path).read_text()
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    strings = [
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
    ]
    left_out = {line for string in strings for line in range(string.lineno, string.end_lineno + 1)}
    lines = [line for number, line in enumerate(text.splitlines(), 1) if number not in left_out]
    for name in ("dcgan", "lsgan"):
        lines = [line.replace(name, "gan").replace(name.upper(), "GAN") for line in lines]
    return lines


@pytest.mark.parametrize(
    ("file", "difference"),
    [
        ("model.py", ["-            nn.Sigmoid(),"]),
        ("train.py", ["-    criterion = nn.BCELoss()", "+    criterion = nn.MSELoss()"]),
    ],
)
def test_the_diff_is_the_assignment(file, difference):
    lines = difflib.unified_diff(code(f"dcgan/{file}"), code(f"lsgan/{file}"), lineterm="", n=0)
    assert [line for line in lines if not line.startswith(("---", "+++", "@@"))] == difference


def test_the_folders_hold_the_same_files():
    files = [
        {path.name for path in (ROOT / name).iterdir() if path.name != "__pycache__"} for name in ("dcgan", "lsgan")
    ]
    assert files[0] == files[1]


def test_adam_makes_the_papers_half_invisible():
    """LSGAN's paper has ½ before its squares, `MSELoss` has none: Adam divides by the gradient's own size."""
    gans = [make_gan("lsgan"), make_gan("lsgan")]
    start = make_gan("lsgan")
    gans[1].loss = to_targets(lambda score, target: 0.5 * nn.MSELoss()(score, target))
    values = [gan.step(real(), noise(1), noise(2)) for gan in gans]
    assert float(values[0]["loss_d"]) == pytest.approx(2 * float(values[1]["loss_d"]), rel=1e-3)
    for name in start.networks:
        before, whole, half = (
            np.concatenate([p.numpy().ravel() for p in gan.networks[name].parameters() if not p.stop_gradient])
            for gan in (start, *gans)
        )
        # With plain gradient descent this would be ½; what is left is rounding and Adam's epsilon.
        assert np.linalg.norm(whole - half) < 0.02 * np.linalg.norm(whole - before)


@pytest.mark.parametrize(("family", "half"), [("dcgan", np.log(2)), ("lsgan", 0.25)])
def test_chance_is_what_the_pages_say(family, half):
    """D that answers ½ everywhere: its loss is twice log 2 for DCGAN, twice ¼ for LSGAN; G's is the half of that."""
    gan = make_gan(family)
    last = [layer for layer in gan.networks["discriminator"].sublayers() if hasattr(layer, "weight")][-1]
    last.weight.set_value(paddle.zeros_like(last.weight))
    # DCGAN's Sigmoid makes ½ of 0; LSGAN's raw score is ½ itself.
    last.register_forward_post_hook(lambda layer, x, y: y + (0.5 if family == "lsgan" else 0.0))
    gan.optimizers["discriminator"].set_lr(0.0)
    values = gan.step(real(), noise(1), noise(2))
    assert float(values["score_real"]) == float(values["score_fake"]) == 0.5
    assert float(values["loss_d"]) == pytest.approx(2 * half)
    assert float(values["loss_g"]) == pytest.approx(half)


def test_gradients_far_from_the_boundary():
    """What `docs/images/saturation.png` shows, in figures: the gradient of G's loss with respect to D's raw score."""
    scores, curves = gradients()
    far = {name: np.interp([-30.0, 30.0], scores, values) for name, values in curves.items()}
    assert abs(far["minimax"][0]) < 1e-6  # D is sure that it is fake: G learns nothing
    assert abs(far["DCGAN"][0]) < 0.1  # in float32 the sigmoid's own gradient is lost to the clamp in BCELoss
    assert abs(far["DCGAN"][1]) < 1e-6  # D is sure that it is real, however far from the data
    assert far["LSGAN"] == pytest.approx([-62, 58])  # 2 (score - 1): pulled to 1 from either side
    near = {name: float(np.interp(-2, scores, values)) for name, values in curves.items()}
    assert near["DCGAN"] == pytest.approx(-1 / (1 + np.exp(-2)), rel=1e-3)
    assert near["minimax"] == pytest.approx(-1 / (1 + np.exp(2)), rel=1e-3)
