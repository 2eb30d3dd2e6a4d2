"""What a run only shows: pictures, judgements, VisualDL's log. The weights and the checkpoint are the work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from common.errors import UserError
from common.language import _

from tqdm import tqdm


class Shows:
    """Keeps what goes wrong with a show from ending what works: it is said once, and the training goes on."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @contextlib.contextmanager
    def only(self, what: str) -> Iterator[None]:
        """Inside, an error ends the block and nothing else. The first one of `what` is said.

        Any error: what a full disk, a library or a family's own `show` may raise has no list.
        """
        try:
            yield
        except Exception as error:
            kind = [] if isinstance(error, (OSError, UserError)) else [type(error).__name__]
            self.say(what, ": ".join([*kind, *filter(None, [" ".join(str(error).split())])]))

    def say(self, what: str, reason: str) -> None:
        """Say, the first time, what is wrong with `what`."""
        if what not in self._said:
            self._said.add(what)
            said = _("warning: {what}: {reason}; the training goes on", what=what, reason=reason)
            tqdm.write(said, file=sys.stderr)
