"""What a student changed, read from the syntax trees of the two files. Nothing of the code is run."""

from __future__ import annotations

import ast
import difflib
import re
from pathlib import Path
from typing import NamedTuple

from common.gan import GAN
from common.settings import settings_of

RIGHT_LAYERS = ([], ["nn.Identity()"])  # after D's last convolution
RIGHT_CRITERIA = {f"{path}.MSELoss({how})" for path in ("nn", "paddle.nn") for how in ("", "reduction='mean'")}
WHOLE = re.compile(r"\*score_layers\([\w, ]*\)")  # D's convolutions, all of them
PACKAGES = {"__future__", "sys", "pathlib", "typing", "math", "numpy", "paddle"}
BY_WHOLE_NAME = {"train.py: +import paddle", "train.py: -from paddle import nn"}  # for `paddle.nn.MSELoss`
MODULES = {f"common.{name}" for name in ("gan", "init", "layers", "losses", "settings", "train")}
OF_SYS = {"path", "exit"}  # of `sys`, which is in BEYOND
NAMES = {"__init__", "__file__", "__name__", "__all__"}  # the only ones with underscores before and behind
# What reaches beyond the task: files, processes, the interpreter itself.
BEYOND = {
    "open", "exec", "eval", "compile", "getattr", "setattr", "delattr", "globals", "locals", "vars", "input",
    "breakpoint", "os", "system", "popen", "environ", "getenv", "subprocess", "socket", "ctypes", "modules",
    "importlib", "shutil", "write_text", "write_bytes", "unlink", "rmdir", "rename", "replace", "symlink_to",
    "read_text", "read_bytes", "fromfile", "tofile", "loadtxt", "savetxt", "memmap", "sys", "_getframe", "f_back",
    "f_globals", "f_locals", "f_builtins", "tb_frame", "gi_frame",
}  # fmt: skip


class Changes(NamedTuple):
    """What differs from `dcgan/`.

    Attributes:
        layers: what comes after D's last convolution, as source.
        criterion: the loss, as source.
        others: all other changes, a line of source each; empty where nothing else was changed.
        reasons: what of them has a name: the learning rate, the initialisation; or why a file cannot be read.
        beyond: why it should not be run unread.
    """

    layers: list[str]
    criterion: str
    others: list[str]
    reasons: list[str]
    beyond: list[str]


class Plain(ast.NodeTransformer):
    """Makes a tree what it is without docstrings, the folder's name and the answers to both TODOs, which it keeps."""

    def __init__(self, folder: str) -> None:
        self.folder, self.layers, self.criterion = folder, [], ""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Leave docstrings out."""
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return super().generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from my_lsgan.model` as `from dcgan.model`."""
        if node.module == f"{self.folder}.model":
            node.module = "dcgan.model"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`run("my_lsgan", build)` as `run("dcgan", build)`; D's layers without those of TODO 1."""
        called = ast.unparse(node.func)
        if called == "run" and node.args and ast.unparse(node.args[0]) == repr(self.folder):
            node.args[0] = ast.Constant("dcgan")
        if called == "nn.Sequential" and node.args and WHOLE.fullmatch(ast.unparse(node.args[0])):
            self.layers = [ast.unparse(layer) for layer in node.args[1:]]
            node.args = node.args[:1]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """The criterion of TODO 2 is left out, and so is where the starter found the repository."""
        target = ast.unparse(node.targets[0])
        if target == "criterion":
            self.criterion = ast.unparse(node.value)
            node.value = ast.Constant(None)
        names = {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
        if target in ("sys.path[0]", "sys.path[:1]") and names == {"str", "Path", "__file__"}:
            node.targets, node.value = [ast.Name("path", ast.Store())], ast.Constant(None)
        return self.generic_visit(node)


def changes(files: dict[str, str], folder: str, originals: Path) -> Changes:
    """What a student's `model.py` and `train.py` change.

    Args:
        files: the name of each to its text.
        folder: the name of the student's folder, by which `train.py` imports `model.py`.
        originals: the folder `dcgan`.
    """
    layers, criterion, others, reasons, beyond = [], "", [], [], []
    for name, text in files.items():
        try:
            tree = ast.parse(text)
            beyond += [f"{name} {found}" for found in beyond_the_task(tree, folder)]
            reasons += [f"{name} {found}" for found in named_changes(tree)]
            plain = Plain(folder)
            lines = ast.unparse(plain.visit(tree)).splitlines()
        except SyntaxError as error:
            reasons.append(f"{name} cannot be read: {error.msg}, line {error.lineno}")
            continue
        except (ValueError, RecursionError, MemoryError) as error:
            reasons.append(f"{name} cannot be read: {type(error).__name__}")
            continue
        layers, criterion = plain.layers or layers, plain.criterion or criterion
        original = Plain("dcgan").visit(ast.parse((originals / name).read_text(encoding="utf-8")))
        difference = difflib.unified_diff(ast.unparse(original).splitlines(), lines, lineterm="", n=0)
        others += [f"{name}: {line}" for line in [*difference][2:] if line[0] != "@"]  # after the names of two files
    if sum(line.count(".apply(weights_init)") for line in files.get("train.py", "").splitlines()) < 2:
        reasons.append("train.py does not initialise both networks by weights_init")
    if criterion.startswith("paddle.nn."):
        others = [line for line in others if line not in BY_WHOLE_NAME]
    return Changes(layers, criterion, others, reasons, beyond)


def beyond_the_task(tree: ast.AST, folder: str) -> list[str]:
    """What in a tree reaches beyond two networks and a loss, with its lines."""
    found, mine = [], {*MODULES, f"{folder}.model"}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in OF_SYS]
    usual = {id(node.value) for node in attributes}  # `sys` in `sys.path` and `sys.exit`
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported = [node.module or "."] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            strange = [name for name in imported if not (name in mine or name.split(".")[0] in PACKAGES)]
            named = {name.name for name in node.names if name.asname or isinstance(node, ast.ImportFrom)}
            strange += [name.name for name in node.names if name.name in BEYOND - ({"sys"} - named)]
            found += [f"imports {name}, line {line}" for name in strange]
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        hidden = name.startswith("__") and name not in NAMES
        if hidden or (name in BEYOND and id(node) not in usual):
            found.append(f"uses {name}, line {line}")
    return found


def named_changes(tree: ast.AST) -> list[str]:
    """Settings that a tree fixes and that the command line should choose, with their lines."""
    settings = {setting.name for setting in settings_of(GAN)}
    found = []
    for node in ast.walk(tree):
        name = node.arg if isinstance(node, ast.keyword) else node.value if isinstance(node, ast.Constant) else ""
        if isinstance(name, str) and name in settings:
            what = "the learning rate" if name.startswith("learning_rate") else name
            found.append(f"sets {what} in the code, line {getattr(node, 'lineno', 0)}")
    return found
