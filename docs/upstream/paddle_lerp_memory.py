"""Paddle 3: `lerp_` with a number as its weight keeps some bytes of every call, the name of a tensor it makes."""

import resource

import paddle


def megabytes():
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


x, y = paddle.zeros([8]), paddle.ones([8])
for _ in range(1000):
    x.lerp_(y, 0.5)
before = megabytes()
for _ in range(20_000):
    x.lerp_(y, 0.5)
assert megabytes() - before < 1, f"{megabytes() - before:.1f} MB for 20,000 calls"
