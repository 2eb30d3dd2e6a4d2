"""One run in several processes, by Paddle's own launcher:

    python -m paddle.distributed.launch --nproc_per_node 2 --backend gloo dcgan/train.py      (CPU: `gloo`)
    python -m paddle.distributed.launch dcgan/train.py                                        (one process a GPU)

Every process holds all weights and takes its share of each batch; the gradients are averaged at the end of each turn,
so that all make the same update. The first process alone writes, draws and judges; the others keep step with it.
"""

from __future__ import annotations

from common.machine.cpu import launched_processes

import paddle
from paddle import Tensor

VOTE_EVERY = 4  # steps between questions whether to stop; the launcher kills what has not ended 4 s after its signal


def start(device: str = "auto") -> tuple[int, int]:
    """Join the other processes, if any, on the device that the launcher gives to this one; returns its rank and how
    many there are.

    Args:
        device: the one asked for; `auto` if none was.

    Raises:
        ValueError: the environment says that there are some, and not how to reach them; or it is another device.
    """
    if launched_processes() == 1:
        return 0, 1
    try:
        paddle.distributed.init_parallel_env()
    except ValueError as error:
        raise ValueError(
            f"$PADDLE_TRAINERS_NUM is {launched_processes()}, but {' '.join(str(error).split())} "
            "For one process: unset PADDLE_TRAINERS_NUM; for several: python -m paddle.distributed.launch"
        ) from error
    given = paddle.get_device()
    if device != "auto" and not given.startswith(device):
        raise ValueError(f"--device {device}: the launcher gives this process {given}; leave the flag out")
    return paddle.distributed.get_rank(), paddle.distributed.get_world_size()


def share(count: int) -> slice:
    """What of a batch of `count` images this process takes: all shares are even, give or take one."""
    if launched_processes() == 1:
        return slice(None)
    rank, world = paddle.distributed.get_rank(), paddle.distributed.get_world_size()
    return slice(count * rank // world, count * (rank + 1) // world)


def mean_over_processes(tensor: Tensor) -> Tensor:
    """The mean of `tensor` over all processes."""
    if launched_processes() == 1:
        return tensor
    together = tensor.clone()
    paddle.distributed.all_reduce(together)
    return together / paddle.distributed.get_world_size()


def average_gradients(parameters: list[Tensor]) -> None:
    """Replace the gradients of `parameters` by their means over all processes, all of them in one message."""
    if launched_processes() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    means = mean_over_processes(paddle.concat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(gradients, means.split([gradient.size for gradient in gradients])):
        paddle.assign(mean.reshape(gradient.shape), output=gradient)


def averaged(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean over all processes of each 0-D tensor in `values`."""
    if launched_processes() == 1:
        return values
    return dict(zip(values, mean_over_processes(paddle.stack(list(values.values())))))


def all_equal(number: int) -> bool:
    """Whether `number` is the same in all processes."""
    if launched_processes() == 1:
        return True
    numbers: list[Tensor] = []
    paddle.distributed.all_gather(numbers, paddle.full([1], number, "int64"))
    return len({one.item() for one in numbers}) == 1


def any_asked(asked: bool, step: int) -> bool:
    """Whether to stop after `step`: as soon as one process was asked to, all of them at the same step."""
    if launched_processes() == 1:
        return asked
    if step % VOTE_EVERY:
        return False
    return bool(mean_over_processes(paddle.full([1], float(asked))).item() > 0)
