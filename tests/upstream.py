"""Runs scripts, each in a fork of one process that has imported Paddle and VisualDL already: `python -m tests.upstream
SCRIPT …` prints as JSON what each left on stderr, or the signal that ended it; "" where it ended well."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import tempfile
import traceback
import warnings

import common  # noqa: F401  sets Paddle up

import paddle  # noqa: F401
import visualdl  # noqa: F401


def ended(script: str) -> str:
    """How `script` ended."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
            status = 1
            with contextlib.suppress(BaseException):
                try:
                    runpy.run_path(script, run_name="__main__")
                    status = 0
                except BaseException:
                    traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else said.read() if status else ""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({script: ended(script) for script in sys.argv[1:]}))
