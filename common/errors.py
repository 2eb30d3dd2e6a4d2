"""How a command ends: the exit statuses (docs/running.md), and what the user can mend."""

from __future__ import annotations

DONE, BAD_INPUT, BROKE_DOWN, INTERRUPTED = 0, 2, 3, 130


class UserError(Exception):
    """Something the user can mend. Its text names the file or flag and the way out; the command exits with 2."""
