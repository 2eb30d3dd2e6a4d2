"""A server for the sandbox that imports no Paddle: one task returns what it is given, the other fills the disk."""

from __future__ import annotations

import time
from pathlib import Path

from assignment.sandbox import LARGEST_FILE, MOST_WRITTEN, serve


def fill(folder: str) -> dict:
    for number in range(MOST_WRITTEN // LARGEST_FILE + 1):
        Path(folder, str(number)).write_bytes(bytes(LARGEST_FILE))
    time.sleep(60)
    return {}


if __name__ == "__main__":
    serve({"echo": lambda **arguments: arguments, "fill": fill})
