"""Ctrl-C during a training: stop after this step and save.

Before, while the program still imports, `common/__init__.py` ends it with a line; between, `commandline.ctrl_c` lets it
raise `KeyboardInterrupt`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

from common.language import _
from common.machine.cpu import launched_processes


class Interrupt:
    """While it is entered, Ctrl-C, SIGTERM and a terminal that goes away ask the loop to stop after the step it is in.

    A second Ctrl-C or SIGTERM ends the program at once, except under Paddle's launcher, which sends each twice within a
    second. Of a terminal's end the kernel and the shell may both tell. What is ignored from the start stays so: `nohup`
    lets no terminal's end count, and a script that begins this with `&` no Ctrl-C. Python lets the main thread alone
    take signals: in another one, as in a web application, they stay as they are.
    """

    def __enter__(self) -> Interrupt:
        """Take over the signals."""
        self.asked = self.again = False
        names = "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"  # the last one is Windows', which has no SIGHUP
        known = [getattr(signal, name) for name in names if hasattr(signal, name)]
        here = threading.current_thread() is threading.main_thread()
        wanted = [number for number in known if here and signal.getsignal(number) != signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._ask) for number in wanted}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Restore the handlers that were there before.

        Raises:
            KeyboardInterrupt: after the second signal, also where Paddle made another error of it: in `backward`.
        """
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.again and error and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error

    def _stop(self, number: int, frame: object) -> None:
        self.again = True
        raise KeyboardInterrupt

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        launched = launched_processes() > 1
        for again in self.before:
            once = launched or again not in (signal.SIGINT, signal.SIGTERM)
            signal.signal(again, signal.SIG_IGN if once else self._stop)
        more = "" if launched else _("; once more stops at once")
        with contextlib.suppress(RuntimeError):  # it came while a line was being written to the same stream
            print("\n" + _("stopping after this step and saving") + more, file=sys.stderr, flush=True)
