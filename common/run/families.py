"""Which families there are: the folders with a `model.py` and a `train.py`, and the files of `zoo`."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Callable, get_type_hints

from common.data import IMAGE

ROOT = Path(__file__).resolve().parents[2]


def assignment() -> list[str]:
    """The families of the assignment: the folders with a `model.py` and a `train.py`."""
    return sorted(path.parent.name for path in ROOT.glob("*/train.py") if path.with_name("model.py").is_file())


def families() -> list[str]:
    """The names of all families, those of the assignment first."""
    return assignment() + sorted(path.stem for path in (ROOT / "zoo").glob("*.py") if path.stem != "__init__")


def script(family: str) -> Path:
    """The file of this repository to run for the training of one of `families`, relative to the repository."""
    path = Path(family, "train.py")
    return path if (ROOT / path).is_file() else Path("zoo", f"{family}.py")


def builder(family: str) -> Callable:
    """A family's `build`."""
    return importlib.import_module(".".join(script(family).with_suffix("").parts)).build


def image_of(build: Callable) -> tuple[int, int, int]:
    """The shape of the images that the family of `build` draws, (channels, height, width), as its class says."""
    return getattr(build if inspect.isclass(build) else get_type_hints(build).get("return"), "image", IMAGE)


def usual_dataset(build: Callable) -> str:
    """What the family of `build` is trained on where no `--dataset` is given."""
    return "mnist" if image_of(build)[0] == 1 else "cifar10"


def title(family: str) -> str:
    """A family's name as its file's first line writes it (`stackgan` as StackGAN), else `mm_ns` as MM-NS."""
    path = ROOT / script(family)
    first = path.read_text(encoding="utf-8").partition("\n")[0] if path.is_file() else ""  # a student's is elsewhere
    written = re.search(rf"\b{family.replace('_', '[- ]')}\b", first, re.IGNORECASE)
    return written[0] if written else family.upper().replace("_", "-")
