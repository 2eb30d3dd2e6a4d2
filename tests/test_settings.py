"""A family's settings: from the signature of its `build` to flags, and back from a `config.json` of a stranger."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Literal, get_type_hints

from commands import compare, evaluate, sample
from common.errors import UserError
from common.run.families import builder, families
from common.run.flags import chosen_for, parse_flags
from common.run.runs import checked
from common.settings import Count, Decay, OptionalRate, Rate, Weight, settings_of
from tests.conftest import check_refused, here

import pytest


@pytest.mark.parametrize("family", families())
def test_the_types_of_settings_can_be_read_by_python_3_9(family):
    """`float | None` cannot: it is looked at when a training starts."""
    build = builder(family)
    classes = inspect.getmro(build) if inspect.isclass(build) else inspect.getmro(get_type_hints(build)["return"])
    for function in (build, *(one.__init__ for one in classes if "__init__" in vars(one))):
        for name, parameter in inspect.signature(function).parameters.items():
            settable = parameter.default is not parameter.empty and isinstance(parameter.annotation, str)
            assert not (settable and "|" in parameter.annotation), f"{function.__qualname__}: {name}"


class Family:
    """A family that has one of each kind.

    Args:
        rate: the step size,
            on two lines.
        decay, weight: two of a kind
        count: how many
        loss: which one
        loud: say so
    """

    def __init__(
        self,
        given: what | this.Python | cannot.read,  # noqa: F821  no setting: it has no default
        rate: Rate = 1e-3,
        decay: Decay = 0.5,
        weight: Weight = 10.0,
        count: Count = 5,
        own_rate: OptionalRate = None,
        loss: Literal["hinge", "mm"] = "mm",
        loud: bool = False,
    ) -> None:
        self.given = given


def build(extra: Count = 1, **settings: float) -> Family:
    """Passes on what the family takes.

    Args:
        extra: its own
    """
    return Family(0, **settings)


def parsed(*flags: str) -> dict:
    return parse_flags("dcgan", build, [*flags]).settings


DEFAULTS = {
    "extra": 1, "rate": 1e-3, "decay": 0.5, "weight": 10.0, "count": 5, "own_rate": None, "loss": "mm", "loud": False,
}  # fmt: skip


def test_defaults_are_those_of_the_signature():
    """Those of `build` first, then, through its return annotation, those of the class."""
    assert parsed() == DEFAULTS
    assert [setting.name for setting in settings_of(build)] == list(DEFAULTS)
    assert [setting.name for setting in settings_of(Family)] == list(DEFAULTS)[1:]


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        (["--rate", "0.25"], {"rate": 0.25}),
        (["--decay", "0"], {"decay": 0.0}),
        (["--weight", "999999"], {"weight": 999999.0}),
        (["--count", "7", "--extra", "2"], {"count": 7, "extra": 2}),
        (["--own-rate", "1e-9"], {"own_rate": 1e-9}),
        (["--loss", "hinge"], {"loss": "hinge"}),
        (["--loud"], {"loud": True}),
    ],
)
def test_a_flag_for_each(flags, changed):
    found = parsed(*flags)
    assert found == {**DEFAULTS, **changed}
    assert {name: type(found[name]) for name in changed} == {name: type(value) for name, value in changed.items()}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rate", "0"], "--rate: 0 is out of range: from 1e-09 to less than 1"),
        (["--rate", "1"], "--rate: 1 is out of range"),
        (["--rate", "nan"], "--rate: nan is out of range"),
        (["--own-rate", "much"], "--own-rate: 'much' is not a number"),
        (["--decay", "1"], "--decay"),
        (["--weight", "inf"], "--weight"),
        (["--count", "0"], "--count: 0 is too small: at least 1"),
        (["--count", "1.5"], "--count: '1.5' is not a whole number"),
        (["--loss", "other"], "--loss"),
        (["--loud", "1"], "unrecognized arguments: 1"),
        (["--given", "1"], "--given"),  # an argument without a default is no setting
    ],
)
def test_what_cannot_be_is_refused(capsys, flags, words):
    assert here(lambda given: parsed(*given), *flags) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


class Bare:
    """A family as one writes it who has not seen the types of `common/settings.py`.

    Args:
        wide: such as 50%
    """

    def __init__(self, wide: int = 64, share: float = 0.5, few: OptionalRate = None, plain=7) -> None: ...


def test_types_without_a_range_are_flags_too(capsys):
    def bare(*flags: str) -> dict:
        return parse_flags("dcgan", Bare, [*flags]).settings

    assert bare() == {"wide": 64, "share": 0.5, "few": None, "plain": 7}
    typed = "--wide", "-3", "--share", "1e300", "--few", "0.5", "--plain", "8"
    assert bare(*typed) == {"wide": -3, "share": 1e300, "few": 0.5, "plain": 8}
    assert here(lambda given: bare(*given), "--share", "nan") == 2
    assert here(lambda given: bare(*given), "--help") == 0
    assert "such as 50% (default: 64)" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [str, Literal[True, False], Literal["a", 1], tuple[int, int]])
def test_a_type_that_makes_no_flag_is_named(kind):
    def build(kind=None) -> Family: ...

    build.__annotations__ = {"kind": kind}
    with pytest.raises(UserError, match="its argument kind has no type that makes a flag: int, float, bool"):
        parse_flags("dcgan", build, [])


def test_an_argument_named_as_a_flag_of_every_training_is_said():
    def build(seed: Count = 1) -> Family: ...

    with pytest.raises(UserError, match="--seed is a flag of every training"):
        parse_flags("dcgan", build, [])


class Child(Family):
    """Names one argument of its own, and one otherwise than the class that it is derived from.

    Args:
        own: what it adds
        count: how many of these
    """

    def __init__(self, own: Count = 1, rate: Rate = 1e-2, count: Count = 5) -> None:
        super().__init__(0, rate, count=count)


def test_a_class_need_not_say_again_what_its_base_says():
    found = {setting.name: (setting.help, setting.default) for setting in settings_of(Child)}
    assert found == {
        "own": ("what it adds", 1),
        "rate": ("the step size, on two lines", 1e-2),
        "count": ("how many of these", 5),
    }


def test_help_comes_from_the_docstring(capsys):
    assert here(lambda given: parsed(*given), "--help") == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "settings of DCGAN" in said
    assert "--rate RATE the step size, on two lines (default: 0.001)" in said
    assert said.count("two of a kind (default: ") == 2
    assert "--extra EXTRA its own (default: 1)" in said
    assert "--loss {hinge,mm} which one (default: mm)" in said
    assert "--loud, --no-loud say so" in said
    assert "see the file's docstring" in said  # of --own-rate, which nobody documented


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("dcgan", "learning_rate", "2e-4"),
        ("dcgan", "learning_rate", 0),
        ("dcgan", "learning_rate", None),
        ("dcgan", "learning_rate", [1e-4]),
        ("dcgan", "learning_rate", 1e300),
        ("dcgan", "beta1", {}),
        ("dcgan", "beta1", float("nan")),
        ("dcgan", "label_smoothing", 0.5),
        ("lsgan", "beta2", -0.1),
        ("wgan_gp", "critic_steps", 10**30),
        ("wgan_gp", "critic_steps", 0),
        ("wgan_gp", "critic_steps", 2.5),
        ("wgan_gp", "critic_steps", True),
        ("wgan_gp", "penalty", float("inf")),
        ("cgan", "learning_rate", "__import__('os')"),
    ],
)
def test_a_strangers_config_is_refused_in_one_line(tmp_path, say, family, setting, value):
    (tmp_path / "config.json").write_text(json.dumps({"family": family, "flags": {setting: value}}))
    words = f"{tmp_path / 'config.json'}: {setting} is "
    check_refused(say(sample.main, tmp_path, "--out", tmp_path / "a.png"), words)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flags", []), ("flags", "learning_rate"), ("flags", 3), ("flags", None),
        ("dataset", 5), ("dataset", "../mnist"), ("dataset", ["mnist"]), ("dataset", None),
        ("checksum", [1]), ("scores", [0, 10**400]),
        ("scores", "01"), ("scores", [0, 1, 2]), ("scores", ["0", 1]), ("scores", {"0": 1}),
    ],
)  # fmt: skip
def test_what_else_a_stranger_may_have_written(tmp_path, say, name, value):
    (tmp_path / "config.json").write_text(json.dumps({"family": "dcgan", name: value}))
    words = f"{tmp_path / 'config.json'}: {name} is {value!r}, which cannot be"
    for command, *flags in ((sample.main, "--out", tmp_path / "a.png"), (evaluate.main,), (compare.main,)):
        check_refused(say(command, tmp_path, *flags), words)


@pytest.mark.parametrize(("name", "value"), [("channels", 1.0), ("size", 32.0), ("channels", True), ("penalty", None)])
def test_what_equals_the_default_and_is_of_another_type_cannot_be(tmp_path, name, value):
    (setting,) = (one for one in settings_of(builder("dcgan")) if one.name == name)
    with pytest.raises(UserError, match=rf"{name} is {value}, which cannot be"):
        checked(setting, value, tmp_path)


def test_a_family_may_have_half_of_the_penaltys_settings():
    every = [setting for setting in settings_of(builder("dcgan")) if setting.name == "penalty_every"]
    assert chosen_for("folder", every) == {}


def test_flags_of_another_version_are_left_alone(tmp_path, say):
    """What this version does not know, and what that one did not."""
    config = {"family": "dcgan", "flags": {"batch_size": 3, "nonsense": [1]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_refused(say(sample.main, tmp_path, "--out", tmp_path / "a.png"), "generator.params: No such file")
