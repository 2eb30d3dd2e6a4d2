"""Standard output and standard error of a command, which show what works and must not end it."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys

# `| head -1` has what it wants (EINVAL: so Windows calls it), or a terminal is gone.
NOBODY_READS = (errno.EPIPE, errno.EINVAL, errno.EIO, errno.EBADF, errno.ENXIO)


class Sink(io.FileIO):
    """Where a stream leads. From the first error on, what is written goes nowhere; `lost` is that error."""

    lost: OSError | None = None

    def write(self, content: memoryview) -> int:
        """Write, or drop, and return how many bytes were taken."""
        try:
            while not self.lost:
                written = super().write(content)
                if written is not None:
                    return written
                select.select([], [self], [])  # another program made this terminal one that does not wait
        except OSError as error:
            self.lost = error
        return memoryview(content).nbytes


def prepare() -> None:
    """Let nothing that is printed raise: neither a stream that leads nowhere nor a letter that its encoding lacks.

    A terminal keeps its encoding, and what it lacks becomes a question mark. Files and pipes get UTF-8. A stream that
    is not the process's own, such as a notebook's, stays as it is.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue
        terminal, errors = stream.isatty(), "replace" if name == "stdout" else "backslashreplace"
        if terminal and os.name == "nt":  # a console of Windows is no file
            stream.reconfigure(errors=errors)
            continue
        with contextlib.suppress(OSError):
            stream.flush()
        sink, encoding = Sink(stream.fileno(), "w", closefd=False), stream.encoding if terminal else "utf-8"
        if codecs.lookup(encoding).name == "utf-8":  # all that it lacks is what is no letter: bytes of a GBK name
            errors = "backslashreplace"
        new = io.TextIOWrapper(
            sink if stream.write_through else io.BufferedWriter(sink),
            encoding=encoding,
            errors=errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, new)


def lost_output() -> str:
    """Why standard output is not complete, though somebody waits for it, such as a file on a full disk; else ""."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    lost = getattr(getattr(buffer, "raw", buffer), "lost", None)
    return lost.strerror if lost and lost.errno not in NOBODY_READS else ""
