"""The oneDNN library that lies in Paddle's wheel, called by `ctypes`: opened, checked, and wrapped as far as needed.

Names, numbers and signatures are those of oneDNN's C API, `dnnl.h` and `dnnl_types.h`, the same in every version 3.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Callable

from common.machine import cpu

import paddle

OFF_SWITCH = "GAN_NO_ONEDNN"  # set to 1: Paddle's own kernels
MAJOR = 3  # of oneDNN's version: a new one may change every call below
KEPT = 256  # primitives kept at most; a training of DCGAN, with its samples and its judge, needs some 80

SUCCESS, CPU, IN_ORDER, FLOAT32, ANY, SCRATCHPAD_BY_USER = 0, 1, 1, 3, 1, 1
SOURCE, RESULT, WEIGHTS, SCRATCHPAD = 1, 17, 33, 80  # DNNL_ARG_…: which operand an argument is
QUERY_NAME, QUERY_SCRATCHPAD = 8, 136  # dnnl_query_…: of a primitive's description
ALIGNMENT = 64  # bytes of a cache line

Dims = c_int64 * 12


class OneDNNError(RuntimeError):
    """A call of the library did not succeed."""


class Version(ctypes.Structure):
    """`dnnl_version_t`."""

    _fields_ = [("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu", c_uint)]


class Argument(ctypes.Structure):
    """`dnnl_exec_arg_t`."""

    _fields_ = [("which", c_int), ("memory", c_void_p)]


def open_library() -> Library | None:
    """oneDNN as Paddle has it, if it is there, of version 3 and not turned off."""
    if os.environ.get(OFF_SWITCH, "") not in ("", "0"):
        return None
    folder = Path(paddle.__file__).parent / "libs"
    try:
        # Of the several OpenMP libraries of a system, the number of threads must be set in the one oneDNN calls.
        library, openmp = (ctypes.CDLL(str(folder / name)) for name in ("libdnnl.so.3", "libiomp5.so"))
        library.dnnl_version.restype = POINTER(Version)
        return Library(library, openmp) if library.dnnl_version().contents.major == MAJOR else None
    except (OSError, AttributeError):  # no such file, or not with these functions
        return None


class Library:
    """An engine and a stream of oneDNN, and the primitives made so far."""

    def __init__(self, library: ctypes.CDLL, openmp: ctypes.CDLL) -> None:
        self.library, self.set_threads_of_caller = library, openmp.omp_set_num_threads
        version = library.dnnl_version().contents
        self.version = f"{version.major}.{version.minor}.{version.patch}"
        self.instructions = library.dnnl_get_effective_cpu_isa()  # dnnl_cpu_isa_…
        self.query_layout = library.dnnl_primitive_desc_query_md
        self.query_layout.restype = c_void_p
        library.dnnl_memory_desc_get_size.restype = c_size_t
        self.set_address, self.execute = library.dnnl_memory_set_data_handle, library.dnnl_primitive_execute
        self.set_address.argtypes = [c_void_p, c_void_p]
        self.execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]

        self.engine = self.make("engine_create", CPU, c_size_t(0))
        self.stream = self.make("stream_create", self.engine, IN_ORDER)
        self.attributes = self.make("primitive_attr_create")
        self.call("primitive_attr_set_scratchpad_mode", self.attributes, SCRATCHPAD_BY_USER)
        if hasattr(library, "dnnl_primitive_attr_set_deterministic"):  # 3.6 does, 3.2 does not
            self.call("primitive_attr_set_deterministic", self.attributes, 1)

        self.threads = cpu.threads
        self.lock = threading.Lock()  # a primitive's arguments and the workspace are one call's at a time
        if hasattr(os, "register_at_fork"):  # not Windows; a thread that computes has no part in a forked process
            os.register_at_fork(after_in_child=lambda: setattr(self, "lock", threading.Lock()))
        self.kept: OrderedDict[Hashable, Primitive] = OrderedDict()
        self.workspace = bytearray()

    def call(self, name: str, *arguments) -> None:
        """Call `dnnl_NAME`.

        Raises:
            OneDNNError: it did not succeed.
        """
        self.check(getattr(self.library, f"dnnl_{name}")(*arguments), name)

    def check(self, status: int, name: str) -> None:
        """Raise OneDNNError if `status`, which `dnnl_NAME` returned, is none of success."""
        if status != SUCCESS:
            raise OneDNNError(f"oneDNN {self.version}: dnnl_{name} returned {status}")

    def make(self, name: str, *arguments) -> c_void_p:
        """What `dnnl_NAME` makes: it writes that where its first argument points."""
        made = c_void_p()
        self.call(name, byref(made), *arguments)
        return made

    def run(self, key: Hashable, make: Callable[[], Primitive], addresses: Sequence[int]) -> None:
        """Run the primitive of `key`, which `make` makes if it is not among those kept, on `addresses`."""
        with self.lock:
            if self.threads != cpu.threads:
                self.threads = cpu.threads
                self.kept.clear()  # a primitive shares its work out when it is made
            self.set_threads_of_caller(self.threads)  # OpenMP keeps a number for every thread that calls it
            primitive = self.kept.get(key)
            if primitive is None:
                primitive = self.kept[key] = make()
                if len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            primitive.run(addresses)


class Primitive:
    """A primitive with its arguments, and a reorder for each operand that it wants in a layout of its own.

    All it has made is given back with this object. Not for two threads at once: see `Library.run`.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.made: list[tuple[str, c_void_p]] = []  # with the name of the function that destroys it
        self.ours: list[c_void_p] = []  # memory objects of the operands, which `run` gives addresses
        self.own: list[tuple[c_void_p, int]] = []  # memory objects in the workspace, and where there
        self.needs = 0  # bytes of the workspace
        self.steps: list[tuple[c_void_p, ctypes.Array, int]] = []  # primitives to run, each with its arguments

    def make(self, kind: str, name: str, *arguments) -> c_void_p:
        """What `dnnl_NAME` makes, a `primitive`, `memory`, …."""
        made = self.library.make(name, *arguments)
        self.made.append((f"dnnl_{kind}_destroy", made))
        return made

    def layout(self, sizes: Sequence[int], strides: Sequence[int] | None) -> c_void_p:
        """The description of a float32 operand in memory; no strides: as the primitive likes."""
        count = len(sizes)
        if strides is None:
            return self.make("memory_desc", "memory_desc_create_with_tag", count, Dims(*sizes), FLOAT32, ANY)
        named = "memory_desc", "memory_desc_create_with_strides"
        return self.make(*named, count, Dims(*sizes), FLOAT32, Dims(*strides))

    def describe(self, name: str, *arguments) -> c_void_p:
        """The description that `dnnl_NAME_primitive_desc_create` makes of `arguments`."""
        arguments = self.library.engine, *arguments, self.library.attributes
        return self.make("primitive_desc", f"{name}_primitive_desc_create", *arguments)

    def prefer(self, implementation: str, name: str, *arguments) -> c_void_p:
        """As `describe`, but by the first implementation whose name begins so, where oneDNN has one among others."""
        description = self.describe(name, *arguments)
        for found in self.implementations(description):
            if found.startswith(implementation):
                return description
        return self.describe(name, *arguments)

    def implementations(self, description: c_void_p) -> Iterator[str]:
        """The names of oneDNN's implementations of a primitive; `description` becomes that of each in turn."""
        found = c_char_p()
        while True:
            self.library.call("primitive_desc_query", description, QUERY_NAME, 0, byref(found))
            yield found.value.decode()
            if self.library.library.dnnl_primitive_desc_next_impl(description) != SUCCESS:  # there are no more
                return

    def build(self, description: c_void_p, operands: Sequence[tuple[int, int, c_void_p, bool]]) -> None:
        """Make the primitive of `description`, ready to run.

        Args:
            description: of the primitive.
            operands: for each DNNL_ARG_…, the query for the layout it is wanted in, the layout it has, and whether it
                is the result.
        """
        before, after, arguments = [], [], []
        for which, query, ours, is_result in operands:
            theirs = c_void_p(self.library.query_layout(description, query, 0))
            memory = self.memory(ours)
            self.ours.append(memory)
            if not self.library.library.dnnl_memory_desc_equal(theirs, ours):
                inside = self.in_workspace(theirs)
                if is_result:
                    after.append(self.reorder(theirs, ours, inside, memory))
                else:
                    before.append(self.reorder(ours, theirs, memory, inside))
                memory = inside
            arguments.append((which, memory))
        self.steps = [*before, self.step(description, arguments), *after]

    def reorder(self, layout: c_void_p, other: c_void_p, source: c_void_p, target: c_void_p) -> tuple:
        """The step that copies `source` to `target`, which has another layout."""
        engine = self.library.engine
        described = layout, engine, other, engine, self.library.attributes
        description = self.make("primitive_desc", "reorder_primitive_desc_create", *described)
        return self.step(description, [(SOURCE, source), (RESULT, target)])

    def step(self, description: c_void_p, arguments: list[tuple[int, c_void_p]]) -> tuple:
        """A primitive, its arguments with a scratchpad for its intermediate results, and their number."""
        scratchpad = c_void_p(self.library.query_layout(description, QUERY_SCRATCHPAD, 0))
        arguments = [Argument(*pair) for pair in (*arguments, (SCRATCHPAD, self.in_workspace(scratchpad)))]
        primitive = self.make("primitive", "primitive_create", description)
        return primitive, (Argument * len(arguments))(*arguments), len(arguments)

    def memory(self, layout: c_void_p, address: int | None = None) -> c_void_p:
        """A memory object, at an address that stays or at one that `run` gives it."""
        return self.make("memory", "memory_create", layout, self.library.engine, c_void_p(address))

    def in_workspace(self, layout: c_void_p, place: int | None = None) -> c_void_p:
        """A memory object in the workspace, which all primitives share: in a place of its own, else at byte `place`."""
        memory = self.memory(layout)
        self.own.append((memory, self.needs if place is None else place))
        if place is None:
            size = self.library.library.dnnl_memory_desc_get_size(layout)
            self.needs += -(-size // ALIGNMENT) * ALIGNMENT
        return memory

    def run(self, addresses: Sequence[int]) -> None:
        """Compute the result from and to the memory at `addresses`, one for each operand."""
        library = self.library
        if len(library.workspace) < self.needs + ALIGNMENT:
            library.workspace = bytearray(self.needs + ALIGNMENT)
        start = ctypes.addressof(ctypes.c_char.from_buffer(library.workspace))
        start += -start % ALIGNMENT
        for memory, address in zip(self.ours, addresses):
            library.check(library.set_address(memory, address), "memory_set_data_handle")
        for memory, offset in self.own:
            library.check(library.set_address(memory, start + offset), "memory_set_data_handle")
        for primitive, arguments, count in self.steps:
            library.check(library.execute(primitive, library.stream, count, arguments), "primitive_execute")

    def __del__(self) -> None:
        """Give back what the library holds for it."""
        for name, made in reversed(self.made):
            getattr(self.library.library, name)(made)
