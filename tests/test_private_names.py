"""What Paddle keeps to itself and is used here all the same: few names, and the Paddle that is here must have each."""

from __future__ import annotations

import ast

from tests.conftest import ROOT

import paddle
import pytest
from paddle import nn

FOLDERS = ("commands", "common", "dcgan", "lsgan", "zoo", "docs")
# What has the name, and what it is used for.
USED = {
    "_momentum": (nn.BatchNorm2D(1), "EMA measures BatchNorm's statistics as plain means"),
    "_mean": (nn.BatchNorm2D(1), "the penalty and the page compute BatchNorm in single steps"),
    "_variance": (nn.BatchNorm2D(1), "as above"),
    "_epsilon": (nn.BatchNorm2D(1), "as above"),
    "_negative_slope": (nn.LeakyReLU(0.2), "ONNX and the page write it"),
    "_parameter_list": (paddle.optimizer.Adam(parameters=[paddle.zeros([1])]), "whose turn it is"),
}
# Names of Python's own with such a beginning, and modules that Paddle does not document.
PYTHONS = {"_replace", "_asdict", "_exit", "_fields", "_ArgumentGroup"}
UNDOCUMENTED = {"paddle.base.core.set_num_threads"}


def trees() -> list[ast.AST]:
    paths = [ROOT / "hubconf.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths if path.parent.name != "upstream"]


def test_no_other_private_name_is_used():
    """Of another object than `self`, or of a layer of Paddle's that `self` is one of; names imported with a `_` too."""
    found = set()
    for tree in trees():
        ours = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("_"):
                stored = isinstance(node.ctx, ast.Store) and getattr(node.value, "id", "") == "self"
                ours |= {node.attr} if stored else set()
                found |= {node.attr}
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("paddle", "visualdl"):
                found |= {alias.name for alias in node.names if alias.name.startswith("_")}
        found -= ours | PYTHONS
    assert found == {*USED}


@pytest.mark.parametrize("name", USED)
def test_it_is_there(name):
    owner, use = USED[name]
    assert hasattr(owner, name), use


@pytest.mark.parametrize("name", sorted(UNDOCUMENTED))
def test_what_is_not_documented_is_there(name):
    found = paddle
    for part in name.split(".")[1:]:
        found = getattr(found, part)
