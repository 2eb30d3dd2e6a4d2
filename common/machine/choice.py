"""Which of several ways to compute the same is quickest here: measured at the first use, and kept for good.

A table of ours, or oneDNN's own order, fits the processors it was drawn up on. So where ways differ much between
processors, each machine measures: a tenth of a second for each convolution, once.

Another way rounds otherwise. So a choice is kept, in a file of its own in the cache, and the first to write it has made
it for all: a seed gives the same losses in every run on this machine, in each of several processes, in a run that was
stopped and goes on. What cannot be kept is not measured; the first way is taken.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from common.machine.library import Primitive  # imports Paddle, which whoever only asks for the cache may not need

ROUNDS, ENOUGH = 7, 0.1  # rounds of a measurement, and seconds after which three of them are enough
MARGIN = 0.85  # of the first way's time: what another has to fall below, or noise would choose

measures = True  # if not, the first way is taken, nothing is asked of the machine and nothing is written
chosen: dict[str, str] = {}  # in this process: the key of a choice to the name of a way


def cache_home() -> Path:
    """Where what took a while and can be made anew is kept, if it can be written to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paddle-dcgan-lsgan"


def quickest(key: str, ways: dict[str, Callable[[], Primitive]], addresses: Sequence[int]) -> Primitive:
    """The quickest of several primitives that compute the same.

    Args:
        key: all that the choice may depend on, as a path in the cache.
        ways: by name, what makes each. The first is taken where nothing can be kept.
        addresses: of memory to measure with. That of the result is written to.
    """
    first = next(iter(ways))
    if key not in chosen:
        chosen[key] = settled(cache_home() / "kernels" / key, [*ways], lambda: measured(ways, addresses))
    return ways.get(chosen.get(key, first), ways[first])()


def settled(path: Path, names: list[str], choose: Callable[[], str]) -> str:
    """The one of `names` that `path` holds, which is what `choose` says if nobody has chosen before; where nothing can
    be kept the first."""
    try:
        if path.exists() and path.read_text(errors="replace") not in names:  # damaged, or another version's
            path.unlink()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:
                other = Path(f"{file.name}.link")
                os.link(file.name, other)  # some file systems have no links: nothing can be kept
                other.unlink()
                file.write(choose())
                file.flush()
                with contextlib.suppress(FileExistsError):  # another process was first
                    os.link(file.name, path)
        return path.read_text()
    except OSError:
        return names[0]


def measured(ways: dict[str, Callable[[], Primitive]], addresses: Sequence[int]) -> str:
    """The name of the quickest way."""
    least = least_seconds({name: make() for name, make in ways.items()}, addresses)
    first, winner = next(iter(least)), min(least, key=least.get)
    return winner if least[winner] < MARGIN * least[first] else first


def least_seconds(
    made: dict[str, Primitive], addresses: Sequence[int], rounds: int = ROUNDS, enough: float = ENOUGH
) -> dict[str, float]:
    """What each primitive takes. They take turns, and the least of each one's seconds on the processor counts: other
    programs may be at work. No more than three rounds once they took `enough` seconds."""
    seconds = {name: [] for name in made}
    began = time.process_time()
    for number in range(1 + rounds):
        if number > 3 and time.process_time() - began > enough:
            break
        for name, primitive in made.items():
            started = time.process_time()
            primitive.run(addresses)
            seconds[name].append(time.process_time() - started)
    return {name: min(each[1:]) for name, each in seconds.items()}  # the first is a warm-up
