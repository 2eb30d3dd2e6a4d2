"""What a student changed, read from the syntax trees."""

from __future__ import annotations

from assignment import starter
from assignment.student import CODE
from assignment.syntax import RIGHT_CRITERIA, RIGHT_LAYERS, changes
from tests.conftest import ROOT

import pytest

SIGMOID = "            nn.Sigmoid(),\n"
BUILD = "GAN(generator, discriminator, criterion, **settings)"
APPLIED = "Discriminator(size, channels).apply(weights_init)"


def changed(*edits: tuple[str, str], folder=ROOT / "my_lsgan"):
    """`changes` of a starter in which the lines are replaced."""
    files = {name: starter.starter_of(name, folder) for name in CODE}
    for old, new in edits:
        assert sum(text.count(old) for text in files.values()) == 1
        files = {name: text.replace(old, new) for name, text in files.items()}
    return changes(files, "my_lsgan", ROOT / "dcgan")


def test_the_starter_is_dcgan(tmp_path):
    for folder in (ROOT / "my_lsgan", tmp_path / "my_lsgan"):
        assert changed(folder=folder) == (["nn.Sigmoid()"], "nn.BCELoss()", [], [], [])


def test_lsgan_is_the_two_lines():
    for new in ("", "            nn.Identity(),\n"):
        found = changed((SIGMOID, new), ("nn.BCELoss()", 'nn.MSELoss(reduction="mean")'))
        assert found.layers in RIGHT_LAYERS
        assert found.criterion in RIGHT_CRITERIA
        assert found[2:] == ([], [], [])


@pytest.mark.parametrize("imports", ["import paddle\nfrom paddle import nn\n", "import paddle\n"])
def test_the_loss_by_its_whole_name_needs_an_import(imports):
    whole = ("nn.BCELoss()", "paddle.nn.MSELoss()")
    found = changed((SIGMOID, ""), whole, ("from paddle import nn\n\n\ndef", f"{imports}\n\ndef"))
    assert found.criterion in RIGHT_CRITERIA
    assert found[2:] == ([], [], [])


def test_comments_and_docstrings_are_free():
    found = changed(
        ('    """All that', '    """我的作业。All that'), ("    criterion =", "    # 损失\n    criterion =")
    )
    assert found[2:] == ([], [], [])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("criterion, **settings", "criterion, learning_rate=0.01", "sets the learning rate in the code, line 29"),
        (BUILD, BUILD.replace("**settings", "**{**settings, 'learning_rate_d': 1e-3}"), "sets the learning rate"),
        (BUILD, BUILD.replace("**settings", "**{**settings, 'penalty': 1.0}"), "sets penalty in the code"),
        (APPLIED, "Discriminator(size, channels)", "does not initialise both"),
        ("from common.init import weights_init", "weights_init = print", ""),
        ("x: Tensor) -> Tensor", "x: Tensor) -> None", ""),
        ("*score_layers(channels, size)", "*score_layers(channels, size)[:-1]", ""),
        ("    criterion = nn", "    criterion = nn.ReLU\n    criterion = nn", ""),
        ("def build", "++len('+')\n\n\ndef build", ""),
        ("def build", "--len('-')\n\n\ndef build", ""),
    ],
)
def test_other_changes_are_named(old, new, reason):
    found = changed((old, new))
    assert found.others
    assert any(reason in named for named in found.reasons) or not reason


@pytest.mark.parametrize(
    "line",
    [
        "import os", "import os.path as p", "from os import system", "from paddle import os",
        "import common.files.download",
        "from common import files", "__import__('os')", "eval('1')", "open('x')", "paddle.utils.os.getcwd()",
        "sys.modules", "Path('x').write_text('y')", "().__class__.__bases__", "getattr(sys, 'mod' + 'ules')",
        "from . import other", "np = paddle.numpy.fromfile", "import lsgan.model",
        "[sys][0].path", "import sys as s", "from paddle import sys", "paddle.sys", "print.f_back", "x._getframe",
    ],
)  # fmt: skip
def test_what_reaches_beyond_is_not_run(line):
    assert changed(("    criterion = nn", f"    {line}\n    criterion = nn")).beyond


@pytest.mark.parametrize(
    "line", ["import numpy as np", "from paddle.nn import functional as F", "import math", "import sys", "sys.exit(0)"]
)
def test_what_does_not_is_run(line):
    assert changed(("from paddle import nn\n\n\ndef", f"from paddle import nn\n{line}\n\n\ndef")).beyond == []


@pytest.mark.parametrize("text", ["x = (", "x = 1\0", "(" * 5000, "-" * 60000 + "1", "x" + ".x" * 30000])
def test_code_that_cannot_be_read(text):
    files = {"model.py": text, "train.py": starter.starter_of("train.py", ROOT / "my_lsgan")}
    found = changes(files, "my_lsgan", ROOT / "dcgan")
    assert found.reasons[0].startswith("model.py cannot be read")
