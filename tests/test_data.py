"""The loader, with files made on the spot: sound ones, and each kind of damage in turn."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import http.server
import ssl
import struct
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import data
from common.errors import UserError
from common.files import finding, locks
from common.files.atomic import cache_folder
from common.files.download import fetch
from tests.conftest import idx_images

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

NAME = "train-images-idx3-ubyte.gz"
SOUND = idx_images(6)


@functools.cache
def scratch() -> tempfile.TemporaryDirectory:
    """Removed when the tests end; no fixture, since Hypothesis wants none that is made once for many examples."""
    return tempfile.TemporaryDirectory(prefix="idx")


def read(content: bytes, kind: str = "images") -> np.ndarray:
    path = Path(scratch().name, NAME)
    path.write_bytes(content)
    return data.read_idx(path, kind)


def test_images_and_labels_come_back():
    pixels = np.frombuffer(SOUND[16:], np.uint8).reshape(6, 28, 28)
    assert (read(gzip.compress(SOUND)) == pixels).all()
    labels = bytes(range(10))
    assert (read(gzip.compress(struct.pack(">2I", 0x801, 10) + labels), "labels") == np.arange(10)).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"\x1f\x8b<html>please log in</html>", "not a sound gzip"),
        (b"<html>please log in</html>", "magic number 0x3c68746d, expected 0x00000803"),
        (SOUND[:-1], "4,703 bytes of images, expected 4,704 for a count of 6"),
        (gzip.compress(SOUND)[:-9], "truncated"),
        (gzip.compress(SOUND[:-1]), "4,703 bytes of images, expected 4,704 for a count of 6"),
        (gzip.compress(SOUND + b"x"), "more than 4,704"),
        (gzip.compress(SOUND[:10]), "only 10 bytes"),
        (gzip.compress(b"\0\0\x08\x01" + SOUND[4:]), "magic number 0x00000801, expected 0x00000803"),
        (gzip.compress(struct.pack(">4I", 0x803, 0, 28, 28)), "a count of 0"),
        (gzip.compress(struct.pack(">4I", 0x803, 2**32 - 1, 28, 28)), "a count of 4,294,967,295"),
        (gzip.compress(struct.pack(">4I", 0x803, 6, 32, 32) + SOUND[16:]), "images of 32x32, expected 28x28"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip puts the time into the content
)
def test_each_damage_names_the_file_and_what_was_expected(content, words):
    with pytest.raises(UserError, match="replace the file") as caught:
        read(content)
    assert str(Path(scratch().name, NAME)) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file():
    with pytest.raises(UserError, match=r"nowhere.*No such file.*--data-dir"):
        data.read_idx(Path("nowhere") / NAME, "images")


@given(st.integers(0, len(gzip.compress(SOUND)) - 1))
def test_truncated_anywhere_is_refused(length):
    with pytest.raises(UserError):
        read(gzip.compress(SOUND)[:length])


@given(st.integers(0, 15), st.integers(1, 255))
def test_any_wrong_header_byte_is_refused(position, flip):
    broken = bytearray(SOUND)
    broken[position] ^= flip
    with pytest.raises(UserError):
        read(gzip.compress(bytes(broken)))


@given(st.integers(0, 2**32), st.integers(1, 255))
def test_any_flipped_byte_is_refused_or_harmless(position, flip):
    """Gzip's own header has bytes that carry nothing (time, system); every other one is covered by its checksum."""
    sound = gzip.compress(SOUND)
    broken = bytearray(sound)
    broken[position % len(sound)] ^= flip
    try:
        images = read(bytes(broken))
    except UserError:
        return
    assert (images == read(sound)).all()


def test_bilinear_as_paddle_interpolates():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    tensor = paddle.to_tensor(pixels[:, None].astype(np.float32))
    expected = paddle.nn.functional.interpolate(tensor, size=[32, 32], mode="bilinear", align_corners=False)
    np.testing.assert_allclose(data.to_images(pixels), expected.numpy() / 127.5 - 1, atol=1e-6)


@given(st.integers(0, 255), st.sampled_from([8, 28]))
def test_flat_images_keep_their_grey(grey, size):
    images = data.to_images(np.full((1, size, size), grey, np.uint8))
    np.testing.assert_allclose(images, grey / 127.5 - 1, atol=1e-6)
    assert images.dtype == np.float32
    assert images.shape == (1, 1, 32, 32)


def test_digits():
    digits = data.load("digits")
    assert digits.images.shape == (1797, 1, 32, 32)
    assert (digits.images.min(), digits.images.max()) == (-1, 1)
    assert digits.checksum == data.load("digits").checksum
    assert data.load_digits(size=28).checksum == digits.checksum  # of their own pixels it is each processor's


def test_other_data_in_the_same_format_only_warn(mnist_dir, capsys):
    loaded = data.load("mnist", str(mnist_dir))
    assert loaded.images.shape == (40, 1, 32, 32)
    warning = capsys.readouterr().err
    assert "is not the original MNIST" in warning
    assert warning.count("\n") == 1
    assert loaded.checksum == "md5:" + hashlib.md5((mnist_dir / NAME).read_bytes()).hexdigest()


def test_a_damaged_file_is_not_also_called_fine(mnist_dir, capsys):
    (mnist_dir / NAME).write_bytes((mnist_dir / NAME).read_bytes()[:-9])
    with pytest.raises(UserError, match="truncated"):
        data.load("mnist", mnist_dir)
    assert capsys.readouterr().err == ""


def test_auto_falls_back_loudly_but_not_past_a_damaged_file(mnist_dir, monkeypatch):
    monkeypatch.setenv("MNIST_DIR", str(mnist_dir / "no"))
    loaded = data.load("auto")
    assert loaded.name == "digits"
    assert "NOT MNIST" in loaded.note
    monkeypatch.setenv("MNIST_DIR", str(mnist_dir))
    assert data.load("auto").name == "mnist"
    (mnist_dir / NAME).write_bytes(b"broken")
    with pytest.raises(UserError):
        data.load("auto")


def test_real_mnist(real_mnist):
    mnist = data.load("mnist", str(real_mnist))
    assert mnist.images.shape == (60_000, 1, 32, 32)
    assert mnist.checksum == "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    assert mnist.images.min() == -1
    assert mnist.images.max() <= 1
    assert mnist.images.mean() == pytest.approx(-0.738, abs=0.001)


# Downloads: a server on loopback plays the good mirror and the bad ones.


class Mirror(http.server.BaseHTTPRequestHandler):
    content = gzip.compress(SOUND) * 50
    mode = "good"
    requests: list[str]  # the Range header of every request

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.requests.append(asked)
        if self.mode == "404":
            self.send_error(404)
            return
        body = {"html": b"<html>log in</html>", "lie": self.content[::-1]}.get(self.mode, self.content)
        start = int(asked[6:-1]) if asked and self.mode != "no ranges" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if self.mode == "always cut":
            self.wfile.write(body[start : len(body) // 2])
        elif self.mode == "cut" and not start:
            self.wfile.write(body[: len(body) // 2])
        elif self.mode == "slow":
            self.wfile.write(body[:100])
            self.wfile.flush()
            time.sleep(0.3)
            self.wfile.write(body[100:])
        elif self.mode == "stall":
            self.wfile.write(body[:10])
            self.wfile.flush()
            time.sleep(2)
        elif self.mode == "drip":
            for byte in body[:100]:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(body[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror():
    handler = type("Handler", (Mirror,), {"requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}/{NAME}"
    handler.handle_error = lambda *_: None
    server.handle_error = lambda *_: None  # a client that gave up is what some tests are about
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("mode", ["good", "cut", "no ranges"])
def test_download(mirror, tmp_path, mode):
    mirror.mode = mode
    if mode == "no ranges":  # a part is there but the server starts over
        (tmp_path / f"{NAME}.part").write_bytes(b"old")
    fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5)
    assert (tmp_path / NAME).read_bytes() == Mirror.content
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download.lock", NAME]
    if mode == "cut":  # the second request went on where the first was cut off
        assert mirror.requests == [None, f"bytes={len(Mirror.content) // 2}-"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("html", "an HTML page"),
        ("lie", "another file"),
        ("404", "the server answered 404"),
        ("stall", "nothing came for 0.5 seconds"),
        ("drip", "bytes came in"),
    ],
)
def test_bad_mirror_is_one_line_and_leaves_the_name_free(mirror, tmp_path, mode, words):
    mirror.mode = mode
    with pytest.raises(UserError, match="after 3 tries") as caught:
        fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=0.5)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("has_locks", [True, False])
def test_two_at_once_both_get_the_file(mirror, tmp_path, monkeypatch, has_locks):
    """The first brings it and the second waits; without locks, each writes to a part of its own."""
    mirror.mode = "slow"
    if not has_locks:
        monkeypatch.setattr(locks, "has_locks", lambda folder: False)
    md5 = hashlib.md5(Mirror.content).hexdigest()
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(fetch, mirror.url, tmp_path / NAME, md5, 5) for _ in range(2)]:
            done.result()
    assert (tmp_path / NAME).read_bytes() == Mirror.content
    assert mirror.requests == [None] * (1 if has_locks else 2)
    assert not list(tmp_path.glob("*.part"))


def test_what_killed_downloads_left_is_gone_on_with(mirror, tmp_path):
    """Each had a part of its own; the longest counts, and none stays."""
    for name, size in (("0a", 9), ("1b", 500), ("2c", 40)):
        (tmp_path / f"{NAME}.{name}.part").write_bytes(Mirror.content[:size])
    fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5)
    assert mirror.requests == ["bytes=500-"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download.lock", NAME]


def test_what_a_failed_download_left_is_gone_on_with(mirror, tmp_path):
    mirror.mode = "always cut"
    with pytest.raises(UserError, match="cut off after"):
        fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5)
    begun = (tmp_path / f"{NAME}.part").stat().st_size
    assert begun == len(Mirror.content) // 2
    mirror.mode = "good"
    fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5)
    assert mirror.requests[-1] == f"bytes={begun}-"


@pytest.mark.parametrize("proxy", ["http:/127.0.0.1:7890", "http://127.0.0.1:x", "://", " ", "http://127.0.0.1:9"])
def test_a_misspelt_proxy_is_one_line_and_auto_falls_back(monkeypatch, tmp_path, proxy):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("MNIST_DIR", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"download failed .*, by the proxy in \$https_proxy; put ") as caught:
        data.load("mnist")
    assert "\n" not in str(caught.value)
    assert data.load("auto").name == "digits"


@pytest.mark.parametrize("error", [ssl.SSLEOFError(8, "EOF occurred"), OSError(113, "No route to host")])
def test_a_connection_that_fails_within_the_file_is_tried_again(mirror, tmp_path, monkeypatch, error):
    """TLS's errors and the system's are no `ConnectionError`: they ended `make train`, which can take digits."""
    read, failed = http.client.HTTPResponse.read1, []

    def fails_once(answer: http.client.HTTPResponse, *count: int) -> bytes:
        if not failed:
            failed.append(True)
            raise error
        return read(answer, *count)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", fails_once)
    mirror.mode = "good"
    fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5)
    assert (tmp_path / NAME).read_bytes() == Mirror.content


def test_a_cache_that_cannot_be_written_is_read_and_not_written(mirror, monkeypatch, tmp_path):
    """What is there is taken; what is not comes into the cache of ours."""
    (tmp_path / "mnist").mkdir()
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path))
    monkeypatch.setattr(finding.home, "writable", lambda folder: tmp_path not in folder.parents)
    assert finding.downloads("mnist", (NAME,)) == cache_folder() / "mnist"
    (tmp_path / "mnist" / NAME).touch()
    assert finding.downloads("mnist", (NAME,)) == tmp_path / "mnist"


def test_no_server(tmp_path):
    with pytest.raises(UserError, match="no connection"):
        fetch("http://127.0.0.1:9/x.gz", tmp_path / "x.gz", "0" * 32, timeout=1)


def test_pictures_in_colour_of_another_size_are_paddles():
    """More than are resized at once."""
    pixels = np.random.default_rng(0).integers(0, 256, (4100, 3, 4, 4), dtype=np.uint8)
    resize = paddle.nn.functional.interpolate
    expected = resize(paddle.to_tensor(pixels.astype(np.float32)), size=[6, 6], mode="bilinear", align_corners=False)
    assert np.abs(data.to_size(pixels, 6) - expected.numpy()).max() < 0.51  # they are rounded


def test_a_server_that_never_ends_is_left(mirror, tmp_path):
    with pytest.raises(UserError, match="MB came"):
        fetch(mirror.url, tmp_path / NAME, hashlib.md5(Mirror.content).hexdigest(), timeout=5, limit=100)
