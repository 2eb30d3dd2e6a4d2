"""A family's settings are the arguments of its class or its `build`, with these types; they are its flags.

`critic_steps: Count = 5` in the signature and a line on `critic_steps` under `Args:` in the docstring give the flag
`--critic-steps`, its default, the numbers it takes and its help.
"""

from __future__ import annotations

import inspect
import math
import re
from types import SimpleNamespace
from typing import Annotated, Any, Callable, Literal, NamedTuple, Optional, get_args, get_origin, get_type_hints


class Range(NamedTuple):
    """Numbers x with low <= x < high."""

    low: float
    high: float


NoneType = type(None)
ANY = {int: Range(-(2**31), 2**31), float: Range(-math.inf, math.inf), bool: None}  # types without a range of their own
Rate = Annotated[float, Range(1e-9, 1)]  # a step size; 0 would train nothing
OptionalRate = Optional[Rate]  # spelled out: `Rate | None` is no type before Python 3.10
Decay = Annotated[float, Range(0, 1)]  # the weight of the past in a moving average
Weight = Annotated[float, Range(0, 1e6)]  # of a term of a loss
Count = Annotated[int, Range(1, 2**31)]
Size = Literal[32, 64, 128]  # height and width of the images that `common/layers.py` has networks for
Channels = Literal[1, 3]


class Setting(NamedTuple):
    """One setting: its name, its type, what it may be, its default and its line of documentation."""

    name: str
    type: type
    range: Range | None
    choices: tuple[Any, ...]
    default: Any
    help: str


def settings_of(build: Callable) -> list[Setting]:
    """The settings that `build` takes by name: its own arguments with defaults, and, where it passes `**settings` on,
    those of the class that it returns.

    Raises:
        TypeError: one has a type that makes no flag.
    """
    found = []
    parameters = inspect.signature(build).parameters.values()
    named = {"return", *(parameter.name for parameter in parameters if parameter.default is not parameter.empty)}
    hints = hints_of(build.__init__ if inspect.isclass(build) else build, named)
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD and inspect.isclass(hints.get("return")):
            found += settings_of(hints["return"])
        elif parameter.default is not parameter.empty:
            try:
                kind = kind_of(hints.get(parameter.name, type(parameter.default)))
            except TypeError:
                raise TypeError(
                    f"{build.__module__}.{build.__qualname__}: its argument {parameter.name} has no type that makes a "
                    "flag: int, float, bool, a Literal of texts or numbers, or one of common/settings.py"
                ) from None
            found.append(Setting(parameter.name, *kind, parameter.default, help_of(parameter.name, build)))
    return found


def kind_of(hint: Any) -> tuple[type, Range | None, tuple[Any, ...]]:
    """Type, range and choices of a setting; raises `TypeError` where a type makes no flag."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint) and len(parts) == 1:  # an optional one is a union of it and None
        hint = parts[0]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if {*map(type, choices)} in ({str}, {int}, {float}):
            return type(choices[0]), None, choices
    bare, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if bare not in ANY:
        raise TypeError(hint)
    return bare, next((extra for extra in extras if isinstance(extra, Range)), ANY[bare]), ()


def hints_of(function: Callable, named: set[str]) -> dict[str, Any]:
    """The types of some of a function's arguments. Only these need to be types that every Python from 3.9 on can read:
    `nn.Layer | Loss` is none before 3.10."""
    annotations = getattr(function, "__annotations__", {})  # a class without `__init__` has object's, which has none
    written = SimpleNamespace(__annotations__={name: hint for name, hint in annotations.items() if name in named})
    return get_type_hints(written, getattr(function, "__globals__", {}), include_extras=True)


def help_of(name: str, build: Callable) -> str:
    """What the `Args:` of a docstring say of an argument, on one line: of `build`, or of the nearest class that it is
    derived from and that names it."""
    for documented in inspect.getmro(build) if inspect.isclass(build) else (build,):
        entries = re.findall(r"^( +)([a-z_0-9, ]+): (.*(?:\n\1 +.*)*)", documented.__doc__ or "", re.MULTILINE)
        texts = {part.strip(): " ".join(text.split()) for _, names, text in entries for part in names.split(",")}
        if name in texts:
            return texts[name].rstrip(".")
    return ""
