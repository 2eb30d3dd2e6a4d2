"""CIFAR-10's batches made on the spot, in both layouts and as an archive, with a few images each."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

from common.files import cifar

import numpy as np

COUNT = 20  # in place of 10,000 images a batch
NAMES = [*cifar.BATCHES["train"], *cifar.BATCHES["test"]]


def pixels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `[COUNT, 3072]` and labels of one batch."""
    rng = np.random.default_rng(NAMES.index(name))
    return rng.integers(0, 256, (COUNT, 3072), dtype=np.uint8), rng.integers(0, 10, COUNT, dtype=np.uint8)


def binary(name: str) -> bytes:
    images, labels = pixels(name)
    return np.concatenate([labels[:, None], images], axis=1).tobytes()


def python_2(name: str, **change: bytes) -> bytes:
    """A batch as Python 2's cPickle wrote the official ones, opcode by opcode."""
    images, labels = pixels(name)
    memo = (b"q" + bytes([number]) for number in range(1, 256))

    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    called = change.get("called", cifar.LABELS[name].encode())
    raw = change.get("raw", images.tobytes())
    out = [b"\x80\x02}", next(memo), b"(", text(b"batch_label"), next(memo), text(called), next(memo)]
    out += [text(b"labels"), next(memo), b"]", next(memo), b"("]
    out += [b"K" + bytes([label]) for label in labels] + [b"e"]
    out += [text(b"data"), next(memo), b"cnumpy.core.multiarray\n_reconstruct\n", next(memo), b"cnumpy\nndarray\n"]
    out += [next(memo), b"K\0\x85", text(b"b"), b"\x87R", next(memo), b"(K\x01K", bytes([COUNT]), b"M\0\x0c\x86"]
    out += [b"cnumpy\ndtype\n", next(memo), text(b"u1"), b"K\0K\x01\x87R", next(memo), b"(K\x03", text(b"|")]
    out += [b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T", struct.pack("<i", len(raw)), raw, b"tb"]
    out += [text(b"filenames"), next(memo), b"]", next(memo), b"("]
    out += [text(b"frog_s_%06d.png" % number) + next(memo) for number in range(COUNT)] + [b"eu."]
    return b"".join(out)


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path
