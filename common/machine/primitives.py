"""The three primitives of a convolution, another way to make the last of them, and the gradient of ReLU."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_float, c_void_p
from typing import Literal, NamedTuple

from common.machine.library import ALIGNMENT, RESULT, SOURCE, WEIGHTS, Dims, Library, Primitive

Operand = Literal["images", "weights", "maps"]
OPERANDS: tuple[Operand, ...] = ("images", "weights", "maps")

# For each result: DNNL_ARG_… of images, weights and maps, and dnnl_query_…_md, which asks for the layout of each.
ARGUMENTS = {"maps": (1, 33, 17), "images": (129, 33, 145), "weights": (1, 161, 145)}
QUERIES = {"maps": (129, 131, 133), "images": (130, 131, 134), "weights": (129, 132, 134)}
FORWARD_TRAINING, DIRECT, NO_BIAS = 64, 1, None
RELU = 0x20


class Shape(NamedTuple):
    """All that distinguishes one convolution from another."""

    images: tuple[int, int, int, int]  # N, channels, height, width
    weights: tuple[int, int, int, int]  # channels of the maps, of the images, height, width
    maps: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


def strides(sizes: Sequence[int], last: bool) -> tuple[int, int, int, int]:
    """How far apart neighbours in each dimension of `[N, channels, height, width]` are, channels last or first."""
    _, channels, height, width = sizes
    whole = channels * height * width
    return (whole, 1, width * channels, channels) if last else (whole, height * width, width, 1)


def few(shape: Shape) -> bool:
    """Whether the images have so few channels that they do not fill a vector of the processor."""
    return shape.images[1] <= 4


def layouts(result: Operand, shape: Shape) -> tuple[bool | None, bool | None]:
    """How a primitive is to see images and maps: channels last (True), channels first (False), or as it likes (None).

    Left to itself oneDNN is not always quickest. Milliseconds with the copies that follow from a choice, for images
    and maps channels last, batch 32, one thread of an AMD EPYC, by AVX-512 and (in brackets) by AVX2
    (`docs/onednn_ways.py`):

    | result, channels | channels last | as it likes | maps channels first |
    | --- | --- | --- | --- |
    | maps 64→128, 128→256 | 4.4, 4.4 (6.1, 6.5) | 4.5, 4.8 (6.2, 7.6) | 7.3, 7.9 |
    | images 64→128, 128→256 | 4.4, 4.3 (5.9, 6.3) | 4.7, 4.6 (5.9, 6.2) | 9, 9 |
    | weights 64→128, 128→256 | 4.9, 5.9 (6.5, 7.7) | 4.8, 5.4 (6.8, 7.4) | 7.3, 7.7 |
    | the judge's weights, stride 1: 32→64, 64→128 | 3.1, 3.0 | 3.6, 3.6 | 8.3, 4.3 |
    | maps 1→64 | 0.17 (0.26) | 0.21 (0.35) | 0.42 (0.61) |
    | images 1→64: the last is a matrix product | 2.3 (3.3) | 2.5 (3.3) | 0.49 (1.1) |
    | weights 1→64 | 0.17 (0.4) | 0.23 (2.0) | 0.52 (0.9) |

    Batch 128, two threads and oneDNN 3.2.1 have the same order.
    """
    if result == "images" and few(shape):
        return None, False
    # With a stride, few channels and kernels of one pixel, oneDNN's AVX2 kernel for channels last is wrong, or crashes.
    if result == "weights" and shape.stride != (1, 1) and (not few(shape) or shape.weights[2:] == (1, 1)):
        return None, None
    return True, True


class Convolution(Primitive):
    """One of the three primitives of a convolution. Its operands are images, weights, maps.

    Args:
        implementation: how the name of the one to take begins; oneDNN's first choice where it has none such.
        seen: how it is to see images and maps; None is what `layouts` says.
    """

    def __init__(
        self,
        library: Library,
        result: Operand,
        shape: Shape,
        implementation: str = "",
        seen: tuple[bool | None, bool | None] | None = None,
    ) -> None:
        super().__init__(library)
        self.implementation = implementation
        ours = self.operands(shape, images=False, maps=False, weights=False)
        description = self.described(result, shape, self.operands(shape, *(seen or layouts(result, shape))))
        wanted = [operand == result for operand in OPERANDS]
        self.build(description, list(zip(ARGUMENTS[result], QUERIES[result], ours, wanted)))

    def operands(
        self, shape: Shape, images: bool | None, maps: bool | None, weights: bool | None = None
    ) -> list[c_void_p]:
        """The layouts of the three operands, each channels last or first in memory, or as the primitive likes."""
        found = []
        for sizes, last in zip(shape[:3], (images, weights, maps)):
            found.append(self.layout(sizes, None if last is None else strides(sizes, last)))
        return found

    def described(self, result: Operand, shape: Shape, operands: list[c_void_p]) -> c_void_p:
        """The description of the primitive. oneDNN wants that of the forward one as a hint for the other two."""
        padding = Dims(*shape.padding)
        numbers = Dims(*shape.stride), Dims(), padding, padding  # the second is the dilation, counted from 0
        images, weights, maps = operands if result == "maps" else self.operands(shape, None, None)
        forward = "convolution_forward", FORWARD_TRAINING, DIRECT, images, weights, NO_BIAS, maps, *numbers
        if result == "maps":
            return self.prefer(self.implementation, *forward)
        hint = self.describe(*forward)
        images, weights, maps = operands
        if result == "images":
            return self.prefer(
                self.implementation, "convolution_backward_data", DIRECT, images, weights, maps, *numbers, hint
            )
        backward = DIRECT, images, weights, NO_BIAS, maps, *numbers, hint
        return self.prefer(self.implementation, "convolution_backward_weights", *backward)


class GatheredWeights(Primitive):
    """The weights as one matrix product: the maps, a row a channel, times the patches of the images that their pixels
    saw, a row a patch. Kernels must be a whole number of strides high and wide.

    The patches are gathered from images that are padded and lie channels last, in pieces as large as the stride: oneDNN
    does not copy from a layout in which pieces overlap.
    """

    def __init__(self, library: Library, shape: Shape) -> None:
        super().__init__(library)
        (count, channels, height, width), (outputs, _, rows, columns) = shape.images, shape.weights
        (down, right), (top, left), (_, _, high, wide) = shape.stride, shape.padding, shape.maps
        line = (width + 2 * left) * channels  # numbers in a line of a padded image, in such an image, in a patch
        whole, patch = (height + 2 * top) * line, rows * columns * channels
        patches = count * high * wide
        images, weights, maps = (self.layout(sizes, strides(sizes, last=False)) for sizes in shape[:3])
        self.ours = [self.memory(layout) for layout in (images, weights, maps)]

        self.padded = bytearray(4 * count * whole + ALIGNMENT)  # not in the workspace: the rim is 0 and stays so
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.padded))
        start += -start % ALIGNMENT
        inside = self.layout(shape.images, [whole, 1, line, channels])
        self.steps = [
            self.reorder(images, inside, self.ours[0], self.memory(inside, start + 4 * (top * line + left * channels)))
        ]

        gathered = self.layout([patches, patch], [patch, 1])
        place, right_side = self.needs, self.in_workspace(gathered)
        sizes = count, high, wide, down, right * channels
        source = self.layout(sizes, [whole, down * line, right * channels, line, 1])
        target = self.layout(sizes, [high * wide * patch, wide * patch, patch, columns * channels, 1])
        for y in range(0, rows, down):
            for x in range(0, columns, right):
                piece = self.memory(source, start + 4 * (y * line + x * channels))
                there = self.in_workspace(target, place + 4 * (y * columns + x) * channels)
                self.steps.append(self.reorder(source, target, piece, there))

        place, by_channel = self.needs, self.layout(shape.maps, [high * wide, patches, wide, 1])
        self.steps.append(self.reorder(maps, by_channel, self.ours[2], self.in_workspace(by_channel)))
        flat = self.layout([outputs, patches], [patches, 1])
        left_side = self.in_workspace(flat, place)

        place, product = self.needs, self.layout([outputs, patch], [patch, 1])
        arguments = (SOURCE, left_side), (WEIGHTS, right_side), (RESULT, self.in_workspace(product))
        self.steps.append(self.step(self.describe("matmul", flat, gathered, NO_BIAS, product), arguments))
        last = self.layout(shape.weights, strides(shape.weights, last=True))
        self.steps.append(self.reorder(last, weights, self.in_workspace(last, place), self.ours[1]))


class ReLUGradient(Primitive):
    """The gradient of ReLU, leaky with a slope. Its operands are what ReLU saw, the gradient of its result, and that of
    what it saw."""

    def __init__(self, library: Library, size: int, slope: float) -> None:
        super().__init__(library)
        flat = self.layout([size], [1])
        numbers = c_float(slope), c_float(0)
        forward = self.describe("eltwise_forward", FORWARD_TRAINING, RELU, flat, flat, *numbers)
        description = self.describe("eltwise_backward", RELU, flat, flat, flat, *numbers, forward)
        self.build(description, [(1, 129, flat, False), (145, 134, flat, False), (129, 130, flat, True)])
