"""Loading weights: what Paddle writes loads, everything else is refused before anything of it runs."""

from __future__ import annotations

import copy
import functools
import importlib
import io
import operator
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from common.errors import UserError
from common.files import weights
from common.run import checkpoint
from common.run.artifacts import save_params
from tests.conftest import make_gan

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save


def saved(state: object, protocol: int = 4) -> bytes:
    buffer = io.BytesIO()
    paddle.save(state, buffer, protocol=protocol)
    return buffer.getvalue()


SMALL = paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 3, bias_attr=False), paddle.nn.BatchNorm2D(2))
SOUND = saved(SMALL.state_dict())


class Call:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


class Instance:
    """An object of a class, which a state dict never holds."""


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_paddle_saves_loads(tmp_path, protocol):
    (tmp_path / "a.params").write_bytes(saved(SMALL.state_dict(), protocol))
    loaded = weights.load_params(tmp_path / "a.params")
    for name, value in SMALL.state_dict().items():
        assert loaded[name].dtype == np.float32
        assert (loaded[name] == value.numpy()).all()
        assert loaded[name].shape == tuple(value.shape)


def test_what_we_save_is_what_paddle_saves(tmp_path):
    save_params(tmp_path / "ours.params", SMALL.state_dict())
    paddle.save(SMALL.state_dict(), str(tmp_path / "paddle.params"))
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "paddle.params").read_bytes()
    assert set(paddle.load(str(tmp_path / "ours.params"))) == set(SMALL.state_dict())


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_both_numpys_names(tmp_path, module):
    """NumPy 2 writes `numpy._core`, NumPy 1 (as with Paddle 2.6) `numpy.core`."""
    here = "numpy._core.multiarray" if np.__version__ >= "2" else "numpy.core.multiarray"
    old, new = (b"\x8c" + bytes([len(name)]) + name.encode() for name in (here, module))
    assert old in SOUND
    (tmp_path / "a.params").write_bytes(unframed(SOUND).replace(old, new))
    assert len(weights.load_params(tmp_path / "a.params")) == len(SMALL.state_dict()) + 1


def unframed(content: bytes) -> bytes:
    """Without the length of protocol 4's only frame, which an edit would make wrong; unpickling needs no frame."""
    assert content[2:3] == b"\x95"
    return content[:2] + content[11:]


def test_paddle_load_runs_code_and_ours_does_not(tmp_path):
    """Why this module exists: the same file, given to `paddle.load` and to `load_params`."""
    trap, proof = tmp_path / "generator.params", tmp_path / "proof"
    trap.write_bytes(pickle.dumps({"gen.0.weight": Call(Path.touch, proof)}))
    with pytest.raises(UserError, match="refused"):
        weights.load_params(trap)
    assert not proof.exists()
    paddle.load(str(trap))
    assert proof.exists()


def hostile() -> dict[str, bytes]:
    array = np.zeros(3, np.float32)
    text = b"\x80\x04" + b"\x8c\x01a"
    calls = {
        "os.system": Call(os.system, "touch proof"),
        "builtins.eval": Call(eval, "open('proof', 'w')"),
        "builtins.exec": Call(exec, "open('proof', 'w')"),
        "builtins.open": Call(open, "proof", "w"),
        "builtins.getattr": Call(getattr, array, "tofile"),
        "builtins.__import__": Call(__import__, "antigravity"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", "proof"]),
        "shutil.rmtree": Call(shutil.rmtree, "proof"),
        "importlib": Call(importlib.import_module, "this"),
        "operator.attrgetter": Call(operator.attrgetter, "__class__"),
        "functools.partial": Call(functools.partial, print),
        "numpy.load": Call(np.load, "proof"),
        "numpy.fromfile": Call(np.fromfile, "/dev/zero"),
        "paddle.load": Call(paddle.load, "proof"),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(eval, "1"))),
        "nested reduce": Call(Call, Call(eval, "open('proof', 'w')")),
        "in a list": [[Call(eval, "open('proof', 'w')")]],
        "as a key": {Call(str, "open('proof', 'w')"): 1},
        "class instance": Instance(),
        "set": {1, 2},
        "bytearray": bytearray(b"x"),
        "complex": 1j,
        "object array": np.array([Instance()], object),
        "structured array": np.zeros(2, [("a", "f4")]),
        "text array": np.array(["a"]),
        "date array": np.array(["2020"], "datetime64[Y]"),
        "big-endian array": np.zeros(2, ">f4"),
        "array subclass": np.ma.zeros(3),
        "not a dictionary": [1, 2],
        "key is no text": {1: array},
    }
    files = {name: pickle.dumps({"gen.0.weight": call}, 4) for name, call in calls.items()}
    files["not a dictionary"] = pickle.dumps([1, 2], 4)
    files["key is no text"] = pickle.dumps({1: 2}, 4)
    files["protocol 5 buffers"] = pickle.dumps({"a": array}, 5)
    files["protocol 0 text"] = pickle.dumps({"a": 1}, 0)
    files["persistent id"] = text + b"Q."
    files["persistent id as text"] = b"Pfoo\n."
    files["extension code"] = b"\x80\x04\x82\x01."
    files["extension code 4"] = b"\x80\x04\x84\x01\0\0\0."
    files["INST"] = b"(S'true'\nios\nsystem\n."
    files["NEWOBJ"] = b"\x80\x04cbuiltins\nobject\n)\x81."
    files["huge bytes"] = b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x."
    files["huge text"] = b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x."
    files["huge bytearray"] = b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x."
    files["huge frame"] = b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N."
    files["negative long"] = b"\x80\x04\x8b" + struct.pack("<i", -1) + b"."
    files["huge memo index"] = b"\x80\x04N" + b"r" + struct.pack("<I", 2**32 - 1) + b"."
    files["a million lists"] = b"\x80\x04" + b"]" * 1_000_000 + b"."
    files["deep nesting"] = b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b"."
    doubling = b"\x80\x04]q\0" + b"".join(b"]q" + bytes([i]) + (b"h" + bytes([i - 1]) + b"a") * 2 for i in range(1, 60))
    files["exponential nesting"] = doubling + b"."
    files["list in itself"] = b"\x80\x04]q\0h\0a."
    shape = pickle.dumps({"a": np.zeros(3, np.float32)}, 4)
    files["huge shape"] = unframed(shape).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    files["stack underflow"] = b"\x80\x04R."
    files["no end"] = SOUND[:-1]
    files["something after the end"] = SOUND + b"cos\nsystem\n."
    files["empty"] = b""
    files["zip"] = b"PK\x03\x04" + bytes(100)
    files["html"] = b"<!doctype html><html>Please log in</html>"
    files["attribute on a stand-in"] = (
        b"\x80\x04cnumpy\nndarray\nN}\x8c\x0c__setstate__cnumpy\ndtype\ns\x86b0}\x8c\x01acos\nsystem\ns."
    )
    return files


HOSTILE = hostile()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # where those that would run leave a file named `proof`
    path = tmp_path / "generator.params"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(UserError) as caught:
        weights.load_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_hostile_files_stay_within_a_gigabyte(tmp_path):
    """All of them in one process whose address space is bounded: a crash or a large allocation would end it."""
    for index, content in enumerate(HOSTILE.values()):
        (tmp_path / f"{index}.params").write_bytes(content)
    script = """
import resource, sys
from pathlib import Path
from common.files import weights
from common.errors import UserError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
refused = 0
for path in Path(sys.argv[1]).glob("*.params"):
    try:
        weights.load_params(path)
    except UserError as error:
        refused += "MemoryError" not in str(error)
print(refused)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(HOSTILE)), done.stderr


def test_truncated_at_every_64th_byte(tmp_path):
    path = tmp_path / "a.params"
    for length in range(0, len(SOUND), 64):
        path.write_bytes(SOUND[:length])
        with pytest.raises(UserError):
            weights.load_params(path)


@settings(max_examples=400)
@given(st.integers(0, 8 * len(SOUND) - 1))
def test_a_flipped_bit_is_refused_or_stays_plain_data(tmp_path_factory, bit):
    """Never anything but `UserError` or a dictionary of arrays and numbers; the network's check is a line further."""
    broken = bytearray(SOUND)
    broken[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.params"
    path.write_bytes(bytes(broken))
    try:
        loaded = weights.load_params(path)
    except UserError:
        return
    assert all(isinstance(value, (np.ndarray, dict)) or type(value) in (str, int, list) for value in loaded.values())


def test_too_large_a_file_is_not_read(tmp_path):
    path = tmp_path / "a.params"
    with path.open("wb") as file:
        file.truncate(weights.MAX_BYTES + 1)
    with pytest.raises(UserError, match="larger than 256 MB"):
        weights.load_params(path)


def test_how_large_a_file_may_be_the_networks_say(tmp_path, monkeypatch):
    """A family of 20 million numbers trained for a night, and its checkpoint was too large to be read."""
    game = make_gan("dcgan")
    checkpoint.save(tmp_path, game, {})
    monkeypatch.setattr(weights, "MAX_BYTES", 0)
    size = (tmp_path / checkpoint.NAME).stat().st_size
    assert size < weights.most_bytes(*checkpoint.all_networks(game).values()) < 10 * size
    save_params(tmp_path / "a.params", game.generator.state_dict())
    weights.load_into(game.generator, tmp_path / "a.params")


def test_what_may_have_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.params")
    (tmp_path / "zero.params").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match="no regular file"):
            weights.load_params(path)
    with pytest.raises(UserError, match="Is a directory"):
        weights.load_params(tmp_path)


def test_check_against_the_network_names_the_tensor(tmp_path):
    generator = make_gan("dcgan").networks["generator"]
    before = {name: value.numpy().copy() for name, value in generator.state_dict().items()}
    path = tmp_path / "generator.params"

    def refuse(match: str, **change: object) -> None:
        state = {name: value.numpy() for name, value in make_gan("dcgan", 5).networks["generator"].state_dict().items()}
        for name, value in change.items():
            name = name.replace("_dot_", ".")
            if value is None:
                del state[name]
            else:
                state[name] = value
        save_params(path, state)
        with pytest.raises(UserError, match=match):
            weights.load_into(generator, path)
        for name, value in generator.state_dict().items():
            assert (value.numpy() == before[name]).all()

    shape = generator.state_dict()["gen.9.weight"].shape
    refuse("no tensor gen.9.weight", gen_dot_9_dot_weight=None)
    refuse("tensor extra is not one of", extra=np.zeros(1, np.float32))
    refuse(r"gen.9.weight is float32 \[2\], expected float32 \[64, 1, 4, 4\]", gen_dot_9_dot_weight=np.zeros(2, "f4"))
    refuse("gen.9.weight is float64", gen_dot_9_dot_weight=np.zeros(shape, np.float64))
    refuse("gen.9.weight has values that are not finite", gen_dot_9_dot_weight=np.full(shape, np.nan, np.float32))
    refuse("gen.1._variance has values below 0", gen_dot_1_dot__variance=np.full(256, -1, np.float32))
    refuse("gen.9.weight is a str", gen_dot_9_dot_weight="x")
    save_params(path, make_gan("dcgan").networks["discriminator"].state_dict())
    with pytest.raises(UserError, match="not weights of this Generator"):
        weights.load_into(generator, path)


def test_loaded_weights_are_the_saved_ones(tmp_path, family):
    first, second = make_gan(family, 1), make_gan(family, 2)
    for name, net in first.networks.items():
        save_params(tmp_path / "a.params", net.state_dict())
        weights.load_into(second.networks[name], tmp_path / "a.params")
        for key, value in net.state_dict().items():
            assert (second.networks[name].state_dict()[key].numpy() == value.numpy()).all()


@pytest.mark.parametrize("version", ["2.6.2", "3.3.1"])
def test_files_of_both_paddles(version):
    """Written by `paddle.save` of that version, under NumPy 1 and 2: a convolution of 0, 1, … 17 and a BatchNorm."""
    loaded = weights.load_params(Path(__file__).parent / "data" / f"paddle-{version}.params")
    assert (loaded["0.weight"] == np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3)).all()
    weights.load_into(paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 3, bias_attr=False), paddle.nn.BatchNorm2D(2)),
                      Path(__file__).parent / "data" / f"paddle-{version}.params")  # fmt: skip


def test_safetensors_load_and_damaged_ones_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    state = {name: value.numpy() for name, value in SMALL.state_dict().items()}
    path.write_bytes(save(state, {"format": "np"}))
    whole, loaded = path.read_bytes(), weights.load_params(path)
    assert {*loaded} == {*state}
    assert all((loaded[name] == state[name]).all() for name in state)
    weights.load_into(copy.deepcopy(SMALL), path)
    longer = whole[:8] + whole[8:].replace(b'"F32"', b'"F99"', 1)
    for damaged in (b"", whole[:7], whole[:50], whole[:-1], whole + b"0", SOUND, b"\xff" * 100, longer):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged or not a file of safetensors") as caught:
            weights.load_params(path)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(UserError, match="pip install safetensors"):
        weights.load_params(path)
