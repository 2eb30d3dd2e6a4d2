"""Read pickles of plain data without trusting them.

A pickle may name any function of any module and have it called: one from a stranger is a program. Here a file is read
in stages, each of which can only refuse: its opcodes are checked against those that plain data need, it is unpickled
with stand-ins in place of NumPy's classes and nothing else in reach, and what comes out is copied piece by piece.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.language import _

import numpy as np

MAX_OPCODES = 200_000  # a checkpoint has some thousands; each can cost far more memory than its byte in the file
MAX_DEPTH = 8

# All that a pickle of dictionaries, lists, numbers, strings and arrays needs, protocols 2 to 4. Left out, among others:
# persistent ids, extension codes, class instances (OBJ, INST, NEWOBJ), byte arrays, out-of-band buffers, decimal text.
OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
DTYPES = {code: np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")}
PYTHON_2 = {"SHORT_BINSTRING", "BINSTRING"}  # its strings, which are text and bytes alike


class _RefusedError(Exception):
    """The file holds something that plain data do not."""


class _Array:
    """An array while it is being unpickled; `value` comes with BUILD."""

    __slots__ = ("value",)


def parse_pickle(content: bytes, path: Path, kind: str, advice: str, python_2: bool = False) -> dict[str, Any]:
    """The dictionary in a pickle of plain data.

    Args:
        content: the file's, already read, hence of a size that somebody has bounded.
        path: for the messages, as are `kind`, what it should be, and `advice`.
        python_2: whether Python 2 may have written it, whose strings come out as text.

    Returns:
        The outermost dictionary, with read-only `numpy.ndarray` for arrays.

    Raises:
        UserError: the content is damaged or holds anything else. Nothing of it has run.
    """
    try:
        _check_opcodes(content, OPCODES | PYTHON_2 if python_2 else OPCODES)
        loaded = _plain(_unpickle(content))
        if not isinstance(loaded, dict):
            raise _RefusedError(_("a {kind} where a dictionary belongs", kind=type(loaded).__name__))
    except _RefusedError as error:
        values = {"path": path, "error": error, "advice": advice}
        raise UserError(_("{path}: refused, it holds {error}; {advice}", **values)) from error
    except Exception as error:  # a damaged pickle fails in many ways; whichever it was, nothing of it has run
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        values = {"path": path, "kind": kind, "reason": reason}
        raise UserError(
            _("{path}: damaged or not a {kind} ({reason}); replace it by an intact copy", **values)
        ) from error
    return loaded


def _check_opcodes(content: bytes, allowed: set[str]) -> None:
    """Look at every opcode before any is carried out."""
    for count, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if opcode.name not in allowed:
            values = {"name": opcode.name, "position": position}
            raise _RefusedError(_("the pickle opcode {name} at byte {position}", **values))
        if count > MAX_OPCODES:
            raise _RefusedError(_("more than {most:,} pickle opcodes", most=MAX_OPCODES))
        if opcode.name == "LONG_BINPUT" and argument > MAX_OPCODES:  # the memo is a table of this size
            raise _RefusedError(_("a memo index of {index:,}", index=argument))
    if position != len(content) - 1:
        raise _RefusedError(_("{count} bytes after its end", count=len(content) - 1 - position))


def _unpickle(content: bytes) -> Any:
    """Unpickle with stand-ins for the few names an array needs; any other name is refused.

    NumPy's own classes would allocate what a crafted shape asks for, and their `__setstate__` was not written for
    hostile input. The stand-ins are made anew for each file, since a pickle can set attributes on what it names.
    """

    class DType:
        __slots__ = ("code", "order")

        def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
            if code not in DTYPES:
                raise _RefusedError(_("an array of dtype {code!r}", code=code))
            self.code, self.order = code, "<"

        def __setstate__(self, state: tuple) -> None:
            self.order = state[1]

    class Array(_Array):
        __slots__ = ()

        def __setstate__(self, state: tuple) -> None:
            _version, shape, dtype, fortran_order, data = state
            data = data.encode("latin1") if isinstance(data, str) else data  # Python 2's
            if not isinstance(dtype, DType) or not isinstance(data, bytes) or dtype.order not in ("<", "|"):
                raise _RefusedError(_("an array of a make that is not expected"))
            flat = np.frombuffer(data, DTYPES[dtype.code])  # a view: many arrays on the same bytes cost nothing
            self.value = flat.reshape(shape, order="F" if fortran_order else "C")

    def reconstruct(kind: type, shape: tuple, typecode: bytes) -> Array:
        return Array()

    def encode(text: str, encoding: str) -> bytes:  # how protocol 2, which has no bytes, writes them
        return text.encode("latin1")

    names = {
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): DType,
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,  # written under NumPy 1
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,  # written under NumPy 2
        ("_codecs", "encode"): encode,
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in names:
                raise _RefusedError(_("the name {module}.{name}", module=module, name=name))
            return names[module, name]

    return Unpickler(io.BytesIO(content), encoding="latin1").load()


def _plain(loaded: Any) -> Any:
    """Copy plain containers with the arrays in place of their stand-ins; refuse whatever else is in them."""
    visited = 0

    def walk(found: Any, depth: int) -> Any:
        nonlocal visited
        visited += 1
        if depth > MAX_DEPTH or visited > MAX_OPCODES:  # containers can hold each other many times over
            raise _RefusedError(_("containers nested without end"))
        if isinstance(found, _Array):
            return found.value
        if found is None or type(found) in (bool, int, float, str):
            return found
        if type(found) in (list, tuple):
            return [walk(item, depth + 1) for item in found]
        if type(found) is dict and all(type(key) is str for key in found):
            return {key: walk(value, depth + 1) for key, value in found.items()}
        raise _RefusedError(_("a {kind}", kind=type(found).__name__))

    return walk(loaded, 0)
