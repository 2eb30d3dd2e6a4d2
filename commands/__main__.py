"""`python -m commands` lists the commands."""

from __future__ import annotations

import ast
import re
from pathlib import Path


def commands() -> dict[str, str]:
    """The commands here, each with what its file says first of it."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        if 'prog="python -m commands.' in text:
            found[path.stem] = re.split(r"[.:?]\s", ast.get_docstring(ast.parse(text)))[0].rstrip(".")
    return found


if __name__ == "__main__":
    for name, what in commands().items():
        print(f"python -m commands.{name:<12} {what}")
    print("\npython -m commands.NAME --help lists its flags; docs/running.md has examples.")
