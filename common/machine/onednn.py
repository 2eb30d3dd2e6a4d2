"""Convolutions by oneDNN, from the library that lies in Paddle's own wheel.

Paddle's wheel brings oneDNN along, with the kernels PyTorch is quick by, but trains without it: only static graphs
reach it. Its C API is exported, so `ctypes` can call it on the memory of Paddle's tensors, with nothing copied.

A convolution has three operands: the `images` it reads, its `weights`, the `maps` it writes. Each of oneDNN's three
primitives makes one of them from the other two: the maps (the convolution itself), the images (its gradient with
respect to them, which is what others call a transposed convolution) and the weights (its gradient there). Nothing
else is needed, for derivatives of any order.

Same bits each time: oneDNN promises that a primitive gives the same bits when run again in the same environment, on
the same processor with the same number of threads, and has an attribute that rules out the few implementations that
would not; it is set here where the library knows it (3.5, so Paddle 3.3's). See oneDNN's page "Primitive Attributes:
deterministic". Another number of threads adds up the gradient of the weights in another order.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Literal, NamedTuple

import paddle
from paddle import Tensor

Operand = Literal["images", "weights", "maps"]
OPERANDS: tuple[Operand, ...] = ("images", "weights", "maps")

OFF_SWITCH = "GAN_NO_ONEDNN"  # set to 1: Paddle's own convolutions
MAJOR = 3  # of oneDNN's version: a new one may change every call below
KEPT = 256  # primitives kept at most; a training of DCGAN, with its samples and its judge, needs some 60

# Constants of dnnl_types.h and dnnl_common_types.h, the same in every oneDNN 3
SUCCESS, CPU, IN_ORDER, FLOAT32, ANY, FORWARD_TRAINING, DIRECT, SCRATCHPAD_BY_USER = 0, 1, 1, 3, 1, 64, 1, 1
SOURCE, RESULT, SCRATCHPAD = 1, 17, 80  # DNNL_ARG_…: which operand an argument is; the first two are a reorder's
# For each result: DNNL_ARG_… of images, weights and maps, and dnnl_query_…_md, which asks for the layout of each.
ARGUMENTS = {"maps": (1, 33, 17), "images": (129, 33, 145), "weights": (1, 161, 145)}
QUERIES = {"maps": (129, 131, 133), "images": (130, 131, 134), "weights": (129, 132, 134)}
QUERY_SCRATCHPAD = 136

Dims = c_int64 * 12


class Shape(NamedTuple):
    """All that distinguishes one convolution from another."""

    images: tuple[int, int, int, int]  # N, channels, height, width
    weights: tuple[int, int, int, int]  # channels of the maps, of the images, height, width
    maps: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    channels_last: bool  # whether images and maps lie in memory as [N, height, width, channels]


class OneDNNError(RuntimeError):
    """A call of the library did not succeed."""


class Version(ctypes.Structure):
    """`dnnl_version_t`."""

    _fields_ = [("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu", c_uint)]


class Argument(ctypes.Structure):
    """`dnnl_exec_arg_t`."""

    _fields_ = [("which", c_int), ("memory", c_void_p)]


def open_library() -> tuple[ctypes.CDLL, ctypes.CDLL] | None:
    """oneDNN and the OpenMP it runs its threads by, both as Paddle has loaded them; None if it is not to be had."""
    if os.environ.get(OFF_SWITCH, "") not in ("", "0"):
        return None
    folder = Path(paddle.__file__).parent / "libs"
    try:
        # Of the several OpenMP libraries of a system, the number of threads must be set in the one oneDNN calls.
        library, openmp = (ctypes.CDLL(str(folder / name)) for name in ("libdnnl.so.3", "libiomp5.so"))
        library.dnnl_version.restype = POINTER(Version)
        openmp.omp_set_num_threads  # noqa: B018  (AttributeError where there is none)
        return (library, openmp) if library.dnnl_version().contents.major == MAJOR else None
    except (OSError, AttributeError):
        return None


class OneDNN:
    """An engine and a stream of oneDNN, and the primitives made so far."""

    def __init__(self, library: ctypes.CDLL, openmp: ctypes.CDLL) -> None:
        self.library, self.openmp = library, openmp
        version = library.dnnl_version().contents
        self.version = f"{version.major}.{version.minor}.{version.patch}"
        library.dnnl_primitive_desc_query_md.restype = c_void_p
        library.dnnl_memory_desc_get_size.restype = c_size_t
        library.dnnl_memory_desc_get_size.argtypes = [c_void_p]
        library.dnnl_memory_desc_equal.argtypes = [c_void_p, c_void_p]
        library.dnnl_memory_set_data_handle.argtypes = [c_void_p, c_void_p]
        library.dnnl_primitive_execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]

        self.engine = self.make("engine_create", CPU, c_size_t(0))
        self.stream = self.make("stream_create", self.engine, IN_ORDER)
        self.attributes = self.make("primitive_attr_create")
        self.call("primitive_attr_set_scratchpad_mode", self.attributes, SCRATCHPAD_BY_USER)
        if hasattr(library, "dnnl_primitive_attr_set_deterministic"):
            self.call("primitive_attr_set_deterministic", self.attributes, 1)

        self.threads = 1
        self.lock = threading.Lock()  # a primitive's arguments and the workspace are one call's at a time
        self.kept: OrderedDict[tuple[Operand, Shape], Convolution] = OrderedDict()
        self.workspace = bytearray()

    def call(self, name: str, *arguments) -> None:
        """Call `dnnl_NAME`.

        Raises:
            OneDNNError: it did not succeed.
        """
        status = getattr(self.library, f"dnnl_{name}")(*arguments)
        if status != SUCCESS:
            raise OneDNNError(f"oneDNN {self.version}: dnnl_{name} returned {status}")

    def make(self, name: str, *arguments) -> c_void_p:
        """What `dnnl_NAME` makes: it writes that where its first argument points."""
        made = c_void_p()
        self.call(name, byref(made), *arguments)
        return made

    def set_threads(self, count: int) -> None:
        """Use `count` threads from here on. A primitive shares its work out when it is made, so all are made anew."""
        with self.lock:
            self.threads = count
            self.openmp.omp_set_num_threads(count)
            self.kept.clear()

    def convolve(self, result: Operand, shape: Shape, **operands: Tensor) -> None:
        """Compute the operand `result` from the other two, into the memory it has.

        Args:
            result: what to compute.
            shape: of the convolution. The three tensors must be contiguous, float32 and of these sizes.
            operands: `images`, `weights` and `maps`.
        """
        with self.lock:
            self.openmp.omp_set_num_threads(self.threads)  # OpenMP keeps a number for every thread that calls it
            key = result, shape
            convolution = self.kept.get(key)
            if convolution is None:
                convolution = self.kept[key] = Convolution(self, result, shape)
                if len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            convolution.run([operands[name].data_ptr() for name in OPERANDS])


def layouts(result: Operand, shape: Shape) -> tuple[bool | None, bool | None]:
    """How a primitive is to see images and maps: channels last (True), channels first (False), or as it likes (None).

    Left to itself oneDNN is not always quickest. Measured on an AMD EPYC with AVX-512 and with `ONEDNN_MAX_CPU_ISA=
    AVX2`, oneDNN 3.6.2 and 3.2.1, batch 32 and 128, one thread and two, milliseconds at 32 on one thread of AVX-512:

    - Many channels, `64→128` and `128→256`: forward 4.1 and 3.7 channels last, 4.1 and 4.0 as it likes, 6.7 and 7.5
      channels first; with AVX2 4.5 and 4.0 against 4.6 and 5.3. For the images' gradient it takes channels last
      itself. For the weights' 4.3 and 5.5 against 4.4 and 4.7 as it likes; with AVX2 6.1 and 7.7 against 5.5 and 6.7.
    - One channel, `1→64`: the images' gradient takes 2.7 in every layout but channels-first maps, which lead it to a
      matrix product: 0.3. The weights' takes 0.16 channels last, and as it likes 0.14 with AVX-512 but 1.4 with AVX2.
    """
    few = shape.images[1] <= 4
    if result == "maps":
        return (None, None) if few else (True, True)
    if result == "images":
        return (None, False) if few else (True, True)
    return (True, True) if few else (None, None)


class Convolution:
    """One primitive with everything it needs: its arguments, and a reorder for each operand it wants in a layout of
    its own. Destroyed with this object."""

    def __init__(self, dnn: OneDNN, result: Operand, shape: Shape) -> None:
        self.dnn = dnn
        self.made: list[tuple[str, c_void_p]] = []  # and to be destroyed by that name
        wishes = dict(zip(("images", "maps"), layouts(result, shape)))
        ours = {name: self.layout(getattr(shape, name), shape.channels_last and name != "weights") for name in OPERANDS}
        theirs = {name: self.layout(getattr(shape, name), wishes.get(name)) for name in OPERANDS}
        description = self.describe(result, shape, theirs)

        self.ours: list[c_void_p] = []  # of images, weights, maps: what their tensors' addresses are put into
        self.own: list[tuple[c_void_p, int]] = []  # what lies in the workspace, and where there
        before, after, arguments = [], [], []
        self.needs = 0  # bytes of the workspace
        for name, which, query in zip(OPERANDS, ARGUMENTS[result], QUERIES[result]):
            layout = c_void_p(dnn.library.dnnl_primitive_desc_query_md(description, query, 0))
            memory = self.memory(ours[name])
            self.ours.append(memory)
            if not dnn.library.dnnl_memory_desc_equal(layout, ours[name]):
                inside = self.memory_of_our_own(layout)
                if name == result:
                    after.append(self.reorder(layout, ours[name], inside, memory))
                else:
                    before.append(self.reorder(ours[name], layout, memory, inside))
                memory = inside
            arguments.append(Argument(which, memory))
        arguments.append(Argument(SCRATCHPAD, self.scratchpad(description)))
        primitive = self.make("primitive", "primitive_create", description)
        self.steps = [*before, (primitive, (Argument * 4)(*arguments), 4), *after]

    def make(self, kind: str, name: str, *arguments) -> c_void_p:
        """What `dnnl_NAME` makes, a `primitive`, `memory`, …: destroyed with this object."""
        made = self.dnn.make(name, *arguments)
        self.made.append((f"{kind}_destroy", made))
        return made

    def layout(self, sizes: tuple[int, int, int, int], channels_last: bool | None) -> c_void_p:
        """The description of an operand in memory; None: as the primitive likes."""
        if channels_last is None:
            return self.make("memory_desc", "memory_desc_create_with_tag", 4, Dims(*sizes), FLOAT32, ANY)
        _, channels, height, width = sizes
        whole = channels * height * width
        strides = (whole, 1, width * channels, channels) if channels_last else (whole, height * width, width, 1)
        return self.make("memory_desc", "memory_desc_create_with_strides", 4, Dims(*sizes), FLOAT32, Dims(*strides))

    def describe(self, result: Operand, shape: Shape, layouts: dict[str, c_void_p]) -> c_void_p:
        """The description of the primitive. oneDNN wants that of the forward one as a hint for the other two."""
        operands = [layouts[name] for name in OPERANDS]
        padding = Dims(*shape.padding)
        numbers = Dims(*shape.stride), Dims(), padding, padding  # the second is the dilation, counted from 0
        hint = operands if result == "maps" else [self.layout(getattr(shape, name), None) for name in OPERANDS]
        engine, attributes = self.dnn.engine, self.dnn.attributes

        def description(kind: str, *arguments) -> c_void_p:
            name = f"convolution_{kind}_primitive_desc_create"
            return self.make("primitive_desc", name, engine, *arguments, attributes)

        no_bias = None
        forward = description("forward", FORWARD_TRAINING, DIRECT, *hint[:2], no_bias, hint[2], *numbers)
        if result == "maps":
            return forward
        if result == "images":
            return description("backward_data", DIRECT, *operands, *numbers, forward)
        return description("backward_weights", DIRECT, *operands[:2], no_bias, operands[2], *numbers, forward)

    def memory(self, layout: c_void_p) -> c_void_p:
        """A memory object that has no address yet."""
        return self.make("memory", "memory_create", layout, self.dnn.engine, None)

    def memory_of_our_own(self, layout: c_void_p) -> c_void_p:
        """A memory object with a place in the workspace."""
        memory = self.memory(layout)
        self.own.append((memory, self.needs))
        self.needs += -(-self.dnn.library.dnnl_memory_desc_get_size(layout) // 64) * 64  # cache lines
        return memory

    def scratchpad(self, description: c_void_p) -> c_void_p:
        """What a primitive writes its intermediate results to."""
        query = self.dnn.library.dnnl_primitive_desc_query_md
        return self.memory_of_our_own(c_void_p(query(description, QUERY_SCRATCHPAD, 0)))

    def reorder(self, layout: c_void_p, other: c_void_p, source: c_void_p, target: c_void_p) -> tuple:
        """The step that copies `source` to `target`, which has another layout."""
        engine = self.dnn.engine
        described = layout, engine, other, engine, self.dnn.attributes
        description = self.make("primitive_desc", "reorder_primitive_desc_create", *described)
        arguments = (SOURCE, source), (RESULT, target), (SCRATCHPAD, self.scratchpad(description))
        primitive = self.make("primitive", "primitive_create", description)
        return primitive, (Argument * 3)(*(Argument(*pair) for pair in arguments)), 3

    def run(self, addresses: list[int]) -> None:
        """Compute the result from and to the memory at `addresses`, of images, weights and maps."""
        dnn = self.dnn
        if len(dnn.workspace) < self.needs + 64:
            dnn.workspace = bytearray(self.needs + 64)
        start = ctypes.addressof(ctypes.c_char.from_buffer(dnn.workspace))
        start += -start % 64
        for memory, address in zip(self.ours, addresses):
            dnn.call("memory_set_data_handle", memory, address)
        for memory, offset in self.own:
            dnn.call("memory_set_data_handle", memory, start + offset)
        for primitive, arguments, count in self.steps:
            dnn.call("primitive_execute", primitive, dnn.stream, count, arguments)

    def __del__(self) -> None:
        """Give back what the library holds for it."""
        for name, made in reversed(self.made):
            getattr(self.dnn.library, f"dnnl_{name}")(made)


found = open_library()
dnn = OneDNN(*found) if found else None
