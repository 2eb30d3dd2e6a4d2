"""A run's log for VisualDL, and what of such a log is sound."""

from __future__ import annotations

import io
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files.atomic import append, synced
from common.files.names import readable
from common.run.shows import Shows

import numpy as np
from google.protobuf.message import DecodeError, Message
from PIL import Image

LENGTH = struct.Struct("<Q")  # of a record, which follows it
BINS, MOST_VALUES = 50, 100_000  # of a histogram


class Board:
    """Writes VisualDL's records, here and now and whole or not at all.

    VisualDL's `LogWriter` writes in a thread of its own, which goes on after a half record on a full disk; it brightens
    a picture whose largest value is 0 or 1. The log has no name for the run: of two runs with the same one VisualDL
    shows one, and it would stay when the folder is moved. Without, VisualDL calls a run by its folder.

    Args:
        path: the log; what is there is added to.
        shows: what is told of what goes wrong.
        length: cut it back to so many bytes first.
    """

    def __init__(self, path: Path, shows: Shows, length: int | None = None) -> None:
        self.path, self._shows = path, shows
        with self._guarded():
            if not cut_back(path, length):
                self._add("meta_data_tag", 0, meta_data={})

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A point of a curve."""
        self._add(tag, step, value=float(value))

    def image(self, tag: str, picture: Image.Image, step: int) -> None:
        """A picture."""
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        self._add(tag, step, image={"encoded_image_string": buffer.getvalue()})

    def text(self, tag: str, text: str, step: int) -> None:
        """A line of text."""
        self._add(tag, step, text={"encoded_text_string": text})

    def scalars(self, tag: str, values: dict[str, float], step: int) -> None:
        """A point of each of several curves in one chart, by their names."""
        for name, value in values.items():
            self._add(tag, step, tag_value={"tag": name, "value": float(value)})

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """How `values` are spread, those that are finite; of many, every so manyth."""
        with self._guarded():
            some = values[:: len(values) // MOST_VALUES + 1]
            counts, edges = np.histogram(some[np.isfinite(some)], BINS)
            self._add(tag, step, histogram={"hist": counts, "bin_edges": edges})

    def embeddings(self, tag: str, columns: list[str], labels: list[list[str]], vectors: np.ndarray, step: int) -> None:
        """Points `vectors [N, D]`, each with a label in each of `columns`."""
        with self._guarded():
            points = [{"label": label, "vectors": vector} for label, vector in zip(labels, vectors)]
            self._add(tag, step, embeddings={"embeddings": points, "label_meta": columns})

    def hyperparameters(self, flags: dict[str, Any], tags: list[str]) -> None:
        """The flags of the run, against the last points of the curves `tags`, those to come too. True and false are
        shown as 1 and 0; what was not set has no value."""
        with self._guarded():
            kept = {name: int(value) if isinstance(value, bool) else value for name, value in flags.items()}
            told = {
                name: value if isinstance(value, (int, float)) else readable(str(value))
                for name, value in kept.items()
                if value is not None
            }
            from visualdl.component.base_component import hparam

            self._write(hparam(readable(self.path.parent.name), told, tags, milliseconds()))

    def sync(self) -> dict[str, int]:
        """Bring the log to the disk; returns its length under its name, nothing after an error."""
        lengths = {}
        with self._guarded():
            lengths[self.path.name] = synced(self.path)
        return lengths

    def _add(self, tag: str, step: int, **content: Any) -> None:
        with self._guarded():
            record = record_type()
            self._write(record(values=[record.Value(id=step, tag=tag, timestamp=milliseconds(), **content)]))

    def _write(self, record: Message) -> None:
        content = record.SerializeToString()
        append(self.path, LENGTH.pack(len(content)) + content)

    def _guarded(self) -> Any:
        return self._shows.only("VisualDL's log")


def record_type() -> type[Message]:
    """VisualDL's record, imported where one is written or read: a training goes on without VisualDL."""
    from visualdl.proto.record_pb2 import Record

    return Record


def milliseconds() -> int:
    """The time, as VisualDL's records have it."""
    return round(time.time() * 1000)


def records(path: Path, start: int = 0) -> Iterator[tuple[bytes, int]]:
    """The records of a log from the byte `start` on, each with the byte at which it ends, up to the first that is cut
    short or damaged."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        while start + LENGTH.size <= size:
            (length,) = LENGTH.unpack(file.read(LENGTH.size))
            start += LENGTH.size + length
            if start > size or not is_record(content := file.read(length)):
                return
            yield content, start


def is_record(content: bytes) -> bool:
    """Whether VisualDL can read this as a record."""
    try:
        values = record_type().FromString(content).values
    except DecodeError:
        return False
    return len(values) == 1 and values[0].WhichOneof("one_value") is not None


def cut_back(path: Path, length: int | None = None) -> int:
    """Cut a log back to `length` bytes and to its last whole record; returns what is left, 0 where there is none."""
    if not path.exists():
        return 0
    whole = max((end for _, end in records(path) if length is None or end <= length), default=0)
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return whole
