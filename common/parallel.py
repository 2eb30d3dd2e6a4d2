"""One run in several processes, by Paddle's own launcher:

    python -m paddle.distributed.launch --nproc_per_node 2 --backend gloo dcgan/train.py      (CPU: `gloo`)
    python -m paddle.distributed.launch dcgan/train.py                                        (one process a GPU)

Every process holds all weights, takes its part of each batch, and `paddle.DataParallel` averages the gradients, so
that all make the same update. The first process alone writes, draws and judges; the others keep step with it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import paddle
from paddle import Tensor

from common.cpu import processes
from common.errors import UserError

VOTE_EVERY = 4  # steps between questions whether to stop; the launcher kills what has not ended 4 s after its signal


def start() -> tuple[int, int]:
    """Join the other processes, if any; returns this one's rank and how many there are."""
    if processes() == 1:
        return 0, 1
    paddle.distributed.init_parallel_env()
    return paddle.distributed.get_rank(), paddle.distributed.get_world_size()


def part(count: int) -> slice:
    """What of a batch of `count` images this process takes: all parts are even, give or take one."""
    if processes() == 1:
        return slice(None)
    rank, world = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    return slice(count * rank // world, count * (rank + 1) // world)


def averaged(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean over all processes of each 0-D tensor in `values`."""
    if processes() == 1:
        return values
    together = paddle.stack(list(values.values()))
    paddle.distributed.all_reduce(together)
    return dict(zip(values, together / paddle.distributed.get_world_size()))


def agreed(asked: bool, step: int) -> bool:
    """Whether to stop after `step`: as soon as one process was asked to, all of them at the same step."""
    if processes() == 1:
        return asked
    if step % VOTE_EVERY:
        return False
    votes = paddle.full([1], float(asked))
    paddle.distributed.all_reduce(votes)
    return bool(votes.item() > 0)


@contextlib.contextmanager
def last_words(text: str) -> Iterator[None]:
    """Have `text` on stderr if this process ends while the block runs, by whatever but a `UserError`.

    Where a process is lost, Paddle either raises one of several errors in the others or ends them by `abort` and a C++
    trace, past every `except`. A child that holds the other end of a pipe outlives that, and, in a session of its own,
    the launcher's signals too.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(writer)
        if os.read(reader, 1) == b"":  # the pipe broke: nobody said that the end was a proper one
            os.write(sys.stderr.fileno(), f"\n{text}\n".encode())
        os._exit(0)
    os.close(reader)
    proper = False
    try:
        yield
        proper = True
    except UserError:  # says itself what is wrong
        proper = True
        raise
    finally:
        if proper:  # else the pipe breaks at this process's end: after Python's own traceback
            os.write(writer, b".")
            os.close(writer)
