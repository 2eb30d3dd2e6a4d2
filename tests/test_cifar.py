"""CIFAR-10 in both layouts and as an archive, with files made on the spot: sound ones, and each kind of damage."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

from common import data
from common.errors import UserError
from common.files import cifar, finding
from tests.batches import COUNT, NAMES, archive, binary, pixels, python_2
from tests.test_weights import Call

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar, "PER_BATCH", COUNT)


def unpack(folder: Path, layout: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / (f"{name}.bin" if layout == "binary" else name)).write_bytes(
            binary(name) if layout == "binary" else python_2(name)
        )
    return folder


@pytest.fixture(params=["binary", "binary below", "python", "python below", "python archive", "binary archive", "file"])
def place(request, tmp_path) -> Path:
    layout, _, where = request.param.partition(" ")
    if where == "archive":
        make = python_2 if layout == "python" else binary
        ending = "" if layout == "python" else ".bin"
        shuffled = ["batches.meta", *NAMES[2:], *NAMES[:2]]  # the official ones are in no order either
        contents = {f"{name}{ending}": make(name) if name in NAMES else b"x" for name in shuffled}
        archive(tmp_path / f"cifar-10-{layout}.tar.gz", contents)
        return tmp_path
    if layout == "file":
        return archive(tmp_path / "mine.tgz", {name: python_2(name) for name in NAMES})
    below = f"cifar-10-batches-{'bin' if layout == 'binary' else 'py'}"
    unpack(tmp_path / below if where else tmp_path, layout)
    return tmp_path


def test_every_layout_gives_the_same_images(place, capsys):
    loaded = data.load("cifar10", str(place), (3, 32, 32), labelled=True)
    expected = [pixels(name) for name in cifar.BATCHES["train"]]
    assert loaded.images.dtype == np.uint8
    assert loaded.images.flags.c_contiguous
    assert (loaded.images == np.concatenate([images for images, _ in expected]).reshape(-1, 3, 32, 32)).all()
    assert (loaded.labels == np.concatenate([labels for _, labels in expected])).all()
    assert loaded.labels.dtype == np.int64
    assert loaded.checksum == data.array_md5(loaded.images)
    assert data.load("cifar10", str(place), (3, 32, 32)).labels is None
    unseen, answers, _ = data.load_labelled("cifar10", "test", str(place))
    assert (unseen.reshape(COUNT, -1) == pixels("test_batch")[0]).all()
    assert (answers == pixels("test_batch")[1]).all()
    said = capsys.readouterr().err  # of the layouts whose checksums are known
    assert said.count("not the original CIFAR-10") == (
        0 if "data_batch_1.bin" in " ".join(map(str, place.rglob("*"))) else 3
    )


def test_python_2s_pickles_are_what_python_reads():
    """The batches made here are read by Python's own unpickler as everyone's examples read the official ones."""
    batch = pickle.loads(python_2("data_batch_3"), encoding="bytes")
    assert (batch[b"data"] == pixels("data_batch_3")[0]).all()
    assert batch[b"labels"] == pixels("data_batch_3")[1].tolist()
    assert batch[b"batch_label"] == b"training batch 3 of 5"


def test_batches_written_anew_by_python_3_are_read(tmp_path):
    images, labels = pixels("test_batch")
    for protocol in (2, 4):
        (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": images, "labels": labels.tolist()}, protocol))
        assert (cifar.read_cifar10(tmp_path, "test")[0].reshape(COUNT, -1) == images).all()


def test_other_sizes_stay_uint8(tmp_path):
    loaded = data.load("cifar10", str(unpack(tmp_path, "binary")), (3, 64, 64))
    assert loaded.images.shape == (5 * COUNT, 3, 64, 64)
    assert loaded.images.dtype == np.uint8
    assert loaded.checksum == data.load("cifar10", str(tmp_path), (3, 32, 32)).checksum


def refused(place: Path, words: str, part: str = "train") -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError) as caught:
        cifar.read_cifar10(place, part)
    assert words in str(caught.value)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data_batch_2.bin", binary("data_batch_2")[:-1], "61,459 bytes, expected 61,460"),
        ("data_batch_2.bin", binary("data_batch_2") + b"x", "61,461 bytes"),
        ("data_batch_2.bin", b"", "0 bytes"),
        ("data_batch_2.bin", b"\x0a" + binary("data_batch_2")[1:], "a label of 10"),
        ("data_batch_2.bin", python_2("data_batch_2"), "expected 61,460"),
        ("data_batch_2", binary("data_batch_2"), "data_batch_2: "),
        ("data_batch_2", python_2("test_batch"), "calls itself 'testing batch 1 of 1'"),
        ("data_batch_2", python_2("data_batch_2", raw=b"\0" * 3071), "damaged"),
        ("data_batch_2", pickle.dumps({"data": pixels("data_batch_2")[0]}, 2), "its labels are not"),
        ("data_batch_2", pickle.dumps({"data": pixels("data_batch_2")[0], "labels": [True] * COUNT}, 2), "its labels"),
        ("data_batch_2", pickle.dumps({"data": pixels("data_batch_2")[0], "labels": [10] * COUNT}, 2), "its labels"),
        ("data_batch_2", pickle.dumps({"labels": [1] * COUNT}, 2), "its data are NoneType"),
        ("data_batch_2", pickle.dumps({"data": np.zeros((COUNT, 9), "u1")}, 2), "its data are uint8 [20, 9]"),
        ("data_batch_2", pickle.dumps({"data": np.zeros((COUNT, 3072), "f4")}, 2), "its data are float32"),
        ("data_batch_2", pickle.dumps([1, 2], 2), "a list where a dictionary belongs"),
        ("data_batch_2", b"<html>please log in</html>", "data_batch_2: "),
    ],
)  # fmt: skip
def test_each_damage_names_the_file(tmp_path, name, content, words):
    unpack(tmp_path, "binary" if name.endswith(".bin") else "python")
    (tmp_path / name).write_bytes(content)
    refused(tmp_path, words)


def test_what_is_not_there(tmp_path):
    refused(tmp_path, "no CIFAR-10 there; name by --data-dir the folder")
    unpack(tmp_path, "binary")
    (tmp_path / "data_batch_4.bin").unlink()
    refused(tmp_path, "data_batch_4.bin: No such file")
    with pytest.raises(UserError, match=r"--data-dir: no folder .*; name the folder that holds CIFAR-10's batches"):
        data.load("cifar10", str(tmp_path / "no"), (3, 32, 32))


HOSTILE = {  # one that `test_weights` has, and what only those of Python 2 can hold
    "os.system": pickle.dumps({"data": Call(os.system, "touch proof")}, 2),
    "Python 2's eval": b"\x80\x02}U\x04dataU\x12open('proof', 'w')c__builtin__\neval\n\x85Rs.",
    "huge string": b"\x80\x02T\xff\xff\xff\x7fx.",
    "negative string": b"\x80\x02T\xff\xff\xff\xffx.",
    "huge shape": python_2("data_batch_1").replace(b"M\0\x0c\x86", b"J\xff\xff\xff\x7f\x86"),
    "after the end": python_2("data_batch_1") + b"cos\nsystem\n.",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_do_not_run(tmp_path, monkeypatch, name, packed):
    monkeypatch.chdir(tmp_path)  # where those that would run leave a file named `proof`
    contents = {batch: python_2(batch) for batch in NAMES} | {"data_batch_1": HOSTILE[name]}
    if packed:
        refused(archive(tmp_path / "c.tar.gz", contents), "data_batch_1")
    else:
        for batch, content in contents.items():
            (tmp_path / batch).write_bytes(content)
        refused(tmp_path, "data_batch_1")
    assert not (tmp_path / "proof").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(python_2("test_batch")) - 1))
def test_truncated_anywhere_is_refused(tmp_path, length):
    (tmp_path / "test_batch").write_bytes(python_2("test_batch")[:length])
    refused(tmp_path, "test_batch", "test")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.integers(0, 8 * 1200 - 1), st.booleans())
def test_a_flipped_bit_is_refused_or_stays_pixels(tmp_path, bit, at_the_end):
    """In the parts that are no pixels, at the beginning and at the end; a pixel's is as sound as another."""
    broken = bytearray(python_2("test_batch"))
    bit = 8 * len(broken) - 1 - bit if at_the_end else bit % (8 * 400)
    broken[bit // 8] ^= 1 << bit % 8
    (tmp_path / "test_batch").write_bytes(bytes(broken))
    try:
        images, labels = cifar.read_cifar10(tmp_path, "test")
    except UserError:
        return
    assert images.shape == (COUNT, 3, 32, 32)
    assert images.dtype == np.uint8
    assert 0 <= labels.min() <= labels.max() <= 9


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_a_damaged_archive_is_refused_or_gives_pixels(tmp_path, where, flip):
    """Cut off there, or, with `flip`, with another byte there."""
    path = tmp_path / "c.tar.gz"
    if not (tmp_path / "sound").exists():
        archive(tmp_path / "sound", {name: python_2(name) for name in NAMES})
    content = bytearray((tmp_path / "sound").read_bytes())
    place = int(where * len(content))
    if flip:
        content[place] ^= flip
    path.write_bytes(bytes(content if flip else content[:place]))
    try:
        images, _ = cifar.read_cifar10(path, "train")
    except UserError:
        return
    assert images.shape == (5 * COUNT, 3, 32, 32)


def test_an_archive_writes_nothing_and_leads_nowhere(tmp_path):
    """Names that point elsewhere, links and devices in place of batches."""
    inside = tmp_path / "in"
    inside.mkdir()
    with tarfile.open(inside / "c.tar.gz", "w:gz") as file:
        for name in ("../../evil", f"{tmp_path}/evil-absolute"):
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"evil"))
        for name, kind in (("data_batch_1", tarfile.SYMTYPE), ("data_batch_2", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
    refused(inside / "c.tar.gz", "no data_batch_1, data_batch_2, data_batch_3, data_batch_4, data_batch_5 in it")
    assert list(tmp_path.iterdir()) == [inside]


def test_archives_that_unpack_to_gigabytes_stay_small(tmp_path):
    """In a process of bounded memory: a header of tarfile's own is read to whatever length it claims."""
    zeros = gzip.compress(bytes(2**26)) * 40
    headers = {"batch": b"0", "other": b"0", "pax": tarfile.XHDTYPE, "long name": tarfile.GNUTYPE_LONGNAME}
    for kind, code in headers.items():
        member = tarfile.TarInfo("data_batch_1" if kind == "batch" else "x")
        member.size, member.type = 2**31, code
        (tmp_path / f"{kind}.tar.gz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT)) + zeros)
    (tmp_path / "many.tar.gz").write_bytes(gzip.compress(tarfile.TarInfo("x").tobuf() * 200_000))
    script = """
import sys, resource
from pathlib import Path
from common.errors import UserError
from common.files import cifar
cifar.MAX_ARCHIVE //= 8  # of what is unpacked before it is refused; the headers claim more than the memory
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        cifar.read_cifar10(path, "train")
    except UserError as error:
        print(path.name, str(path) in str(error), "MemoryError" in str(error))
"""
    assert cifar.MAX_ARCHIVE <= 2**28  # which fits, as an eighth of it does
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    expected = [f"{path.name} True False" for path in sorted(tmp_path.iterdir())]
    assert done.stdout.splitlines() == expected, done.stderr


def test_too_large_a_batch_is_not_read(tmp_path):
    with (tmp_path / "test_batch").open("wb") as file:
        file.truncate(2**40)
    refused(tmp_path, "far more than CIFAR-10's", "test")


def test_the_official_archive_is_fetched_to_paddles_cache(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path))
    monkeypatch.setattr(finding, "fetch", lambda *given, **more: asked.append((given, more)))
    path = data.find_cifar10()
    assert path == tmp_path / "cifar" / "cifar-10-python.tar.gz"
    (url, to, md5), more = asked[0]
    assert (to, md5) == (path, "c58f30108f718f92721af3b95e74349a")
    assert url.startswith("https://")
    assert more["limit"] > 170_498_071  # its size; the default is for MNIST's
