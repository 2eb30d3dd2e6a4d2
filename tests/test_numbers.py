"""Every whole number of every command has bounds, and is refused in one line before anything is moved or written; every
path of theirs may begin at the home; the help says of every flag what it does, and its default."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path

from common.run.commandline import Parser, command, seed_number
from common.run.families import ROOT, builder, families
from common.run.flags import parse_flags
from common.settings import settings_of
from tests.conftest import check_refused, here, train
from tests.runs import TOY

import pytest

HUGE = [10**10, 2**63, 2**64, 10**30, 10**5000]
COMMANDS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("assignment", "commands", "docs")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "Parser(" in path.read_text(encoding="utf-8")
]


class Seen(Exception):  # noqa: N818  it is no error
    """Carries a parser out of a command."""


@pytest.fixture
def parser_of(monkeypatch):
    """The parser of a command, caught where it is about to parse."""

    def caught(self: Parser, *_: object) -> None:
        raise Seen(self)

    def found(called) -> Parser:
        with monkeypatch.context() as patch:
            patch.setattr(Parser, "parse_args", caught)
            try:
                called()
            except Seen as seen:
                return seen.args[0]
        raise AssertionError("it parsed nothing")

    return found


def whole_numbers(parser: Parser) -> list[argparse.Action]:
    """The flags that take any whole number: those whose type turns "7" or, for large ones, "1000" into one."""

    def takes(action: argparse.Action) -> bool:
        if action.type is None or action.choices:
            return False
        try:
            return type(action.type("1000")) is int
        except argparse.ArgumentTypeError:
            return False

    return [action for action in parser._actions if takes(action)]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_no_folder(empty, say):
    """A variable of the shell that is not set: `Path` takes it for the folder we are in."""
    said = say(train, "toy", "--max-steps", 1, "--output-dir", empty)
    check_refused(said, "--output-dir: an empty name; this folder is .")


def check_bounded(parser: Parser) -> None:
    assert Path not in [action.type for action in parser._actions], "user_path knows what ~ is"
    for action in whole_numbers(parser):
        name = (action.option_strings or [action.dest])[0]
        assert action.type is not int, f"{name} takes any number"
        for value in HUGE[1:] if action.type is seed_number else HUGE:
            with pytest.raises(argparse.ArgumentTypeError):
                action.type("9" * 5001 if value == HUGE[-1] else str(value))
        with pytest.raises(argparse.ArgumentTypeError):
            action.type("-1")


def check_explained(parser: Parser) -> None:
    shown = " ".join(parser.format_help().split())
    for action in parser._actions:
        said = parser._get_formatter()._expand_help(action)
        assert len(said) > 4, action.dest
        assert said.split(" (default")[0] in shown
        if type(action.default) in (int, float, str) and action.default != "==SUPPRESS==":
            assert said.endswith(f" (default: {action.default})") == (action.default != ""), action.dest
        assert not re.search(r"default: ?(\)|\[|\{)", said), said


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name, parser_of):
    parser = parser_of(lambda: importlib.import_module(name).main([]))
    check_bounded(parser)
    check_explained(parser)


def test_trainings(parser_of):
    for family in families():
        parser = parser_of(lambda family=family: parse_flags(family, builder(family), []))
        flags = {action.option_strings[0] for action in whole_numbers(parser)}
        own = {f"--{s.name.replace('_', '-')}" for s in settings_of(builder(family)) if s.type is int and not s.choices}
        assert {"--epochs", "--seed", "--sample-every", "--eval-every", "--max-steps", "--threads", *own} <= flags
        check_bounded(parser)
        check_explained(parser)


def test_nothing_is_moved(half, say):
    before = {path: path.stat().st_mtime_ns for path in half.rglob("*")}
    said = say(train, "toy", *TOY, "--output-dir", half, "--epochs", 99_999_999_999_999_999_999)
    check_refused(said, "argument --epochs: 99999999999999999999 is too large: at most ")
    assert {path: path.stat().st_mtime_ns for path in half.rglob("*")} == before


def test_the_largest_numbers_train(tmp_path):
    most = 2**31 - 1
    flags = ["--epochs", most, "--sample-every", most, "--eval-every", most, "--seed", 2**63 - 1, "--max-steps", 2]
    assert train("toy", *TOY, *flags, "--output-dir", tmp_path) == 0
    assert train("toy", *TOY, *flags, "--max-steps", 3, "--output-dir", tmp_path, "--resume") == 0


def test_too_little_memory_is_one_line(capsys):
    @command
    def main(arguments: list[str]) -> int:
        raise MemoryError("Unable to allocate 1.2 TiB")

    assert here(main) == 2
    assert capsys.readouterr().err.startswith("error: not enough memory; take fewer images at once")
