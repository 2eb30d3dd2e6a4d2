"""Paddle: `index_select` takes no uint8, which images are."""

import paddle

images = paddle.zeros([4, 3], "uint8")
assert paddle.index_select(images, paddle.to_tensor([0, 2])).shape == [2, 3]
