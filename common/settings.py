"""A family's settings are the arguments of its class or its `build`, with these types; they are its flags.

`critic_steps: Count = 5` in the signature and a line on `critic_steps` under `Args:` in the docstring give the flag
`--critic-steps`, its default, the numbers it takes and its help.
"""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Annotated, Any, Callable, Literal, NamedTuple, Optional, get_args, get_origin, get_type_hints


class Range(NamedTuple):
    """Numbers x with low <= x < high."""

    low: float
    high: float


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
    those of the class that it returns."""
    found = []
    parameters = inspect.signature(build).parameters.values()
    named = {"return", *(parameter.name for parameter in parameters if parameter.default is not parameter.empty)}
    hints = hints_of(build.__init__ if inspect.isclass(build) else build, named)
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD and inspect.isclass(hints.get("return")):
            found += settings_of(hints["return"])
        elif parameter.default is not parameter.empty:
            hint = hints.get(parameter.name, type(parameter.default))
            choices = get_args(hint) if get_origin(hint) is Literal else ()
            # An optional one is a union of it and None.
            part = next((p for p in get_args(hint) if get_origin(p) is Annotated), hint)
            bare, *extras = (
                get_args(part) if get_origin(part) is Annotated else (type(choices[0]) if choices else part,)
            )
            limits = next((extra for extra in extras if isinstance(extra, Range)), None)
            documented = help_of(parameter.name, build)
            found.append(Setting(parameter.name, bare, limits, choices, parameter.default, documented))
    return found


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
