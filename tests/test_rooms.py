"""Imports run one way, and `common/` holds the files that the README tells to read, no more."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.conftest import ROOT

import pytest

# From what may import everything above it to what imports nothing of ours. A line's rooms do not import each other.
FLOORS = [
    ["docs", "assignment"],
    ["commands"],
    ["dcgan", "lsgan", "zoo"],
    ["common.train"],
    ["common.run", "common.gan"],
    ["common.game"],
    ["common.judging"],
    ["common.data"],
    ["common.files", "common.layers", "common.penalty", "common.augment"],
    ["common.machine", "common.ema", "common.errors", "common.init", "common.losses", "common.rng", "common.settings"],
    ["common.language"],
]
READ = [
    "layers", "init", "losses", "penalty", "augment", "ema", "gan", "game", "rng", "data", "settings", "errors",
    "train",
]  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("commands", "common", "dcgan", "lsgan", "zoo", "docs", "assignment")
    for path in (ROOT / folder).rglob("*.py")
    if path != ROOT / "common/__init__.py"  # Python runs it before any of the others
}


def room_of(module: str) -> str:
    """The entry of `FLOORS` that a module lies in."""
    rooms = [room for floor in FLOORS for room in floor if f"{module}.".startswith(f"{room}.")]
    return max(rooms, key=len)


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    ours = found & set(MODULES)
    return {name for name in ours if not any(other.startswith(f"{name}.") for other in ours)}  # not its package as well


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    place = {room: index for index, floor in enumerate(FLOORS) for room in floor}
    mine = room_of(module)
    for other in imported(MODULES[module]):
        its = room_of(other)
        assert its == mine or place[its] > place[mine], f"{module} imports {other}"


def test_there_is_no_circle():
    graph = {module: imported(path) for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_common_is_the_reading_list():
    assert {path.stem for path in (ROOT / "common").glob("*.py")} == {*READ, "__init__"}


@pytest.mark.parametrize("module", sorted(module for module in MODULES if module.startswith("zoo.")))
def test_a_family_reads_alone(module):
    """What two families share stands in `zoo/shared/`, which knows no family."""
    of_the_zoo = {other for other in imported(MODULES[module]) if other.startswith("zoo.")}
    assert {other for other in of_the_zoo if not other.startswith("zoo.shared")} == set()
