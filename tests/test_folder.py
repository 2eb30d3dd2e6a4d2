"""A folder of one's own pictures: what is read, what is kept, what is refused."""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import data
from common.errors import UserError
from common.files import folder as folders
from common.files import pictures
from common.files.atomic import part_of
from common.files.folder import read_all, read_folder
from common.files.pictures import read_picture
from tests.conftest import check_refused, train
from tests.runs import TOY

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

RNG = np.random.default_rng(0)


def picture(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """A smooth picture, so that JPEG keeps it."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(255, 0, height))
    colour = np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)
    return Image.fromarray(colour).convert(mode)


def content(form: str = "PNG", **given: object) -> bytes:
    file = io.BytesIO()
    picture().save(file, form, **given)
    return file.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "paddle-dcgan-lsgan"


@pytest.fixture
def mine(tmp_path) -> Path:
    """Pictures of two classes, of several sizes, forms and modes."""
    place = tmp_path / "mine"
    for name, one in {
        "cats/1.png": picture(),
        "cats/2.jpg": picture(64, 64),
        "cats/deep/er/3.webp": picture(100, 33),
        "dogs/1.bmp": picture(8, 8),
        "dogs/2.gif": picture(20, 20, "L"),
        "dogs/3.PGM": picture(33, 50, "L"),
        "dogs/4.png": picture(mode="1"),
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        one.save(place / name, "PPM" if name.endswith("PGM") else None)
    (place / ".DS_Store").write_bytes(b"x")
    (place / "Thumbs.db").write_bytes(b"x")
    (place / "cats/Icon\r").write_bytes(b"")  # of a folder that has a picture of its own on macOS
    (place / "@eaDir/cats").mkdir(parents=True)  # Synology's thumbnails
    picture().save(place / "@eaDir/cats/SYNOPHOTO_THUMB_XL.jpg")
    return place


def test_sub_folders_are_classes(mine):
    loaded = data.load("folder", str(mine), (3, 32, 32), labelled=True)
    assert loaded.images.shape == (7, 3, 32, 32)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert loaded.checksum == data.array_md5(loaded.images)
    grey = data.load("folder", str(mine), (1, 28, 28))
    assert grey.images.shape == (7, 1, 28, 28)
    assert grey.labels is None
    assert grey.checksum != loaded.checksum


def test_the_middle_is_cut_out_and_resized(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (200, 100, 50)
    for name, pixels in (("wide", wide), ("tall", wide.transpose(1, 0, 2))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        got = read_picture(tmp_path / f"{name}.png", 3, 32)
        assert (got == np.array([200, 100, 50])[:, None, None]).all()
    grey = read_picture(tmp_path / "wide.png", 1, 32)
    assert grey.shape == (1, 32, 32)
    assert (grey == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


def test_what_fits_comes_without_resizing(tmp_path):
    pixels = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 1, 28)[0] == pixels).all()


def test_larger_ones_are_averaged_and_small_ones_as_mnist_is(tmp_path):
    pixels = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    as_mnist = (data.to_images(pixels[None])[0] + 1) * 127.5
    assert np.abs(read_picture(tmp_path / "a.png", 1, 32) - as_mnist).max() <= 1
    board = np.kron(np.indices((256, 256)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 255
    Image.fromarray(board).save(tmp_path / "b.png")
    assert np.abs(read_picture(tmp_path / "b.png", 1, 32).astype(int) - 128).max() < 20


def test_it_is_read_once(mine, cache, monkeypatch):
    first, names, _ = read_folder(mine, 3, 32)
    assert names == sorted(names)
    kept = list(cache.glob("folder-*-*"))
    assert sorted(path.suffix for path in kept) == [".md5", ".npy"]
    with monkeypatch.context() as patch:
        patch.setattr(folders, "read_all", None)  # would fail
        assert (read_folder(mine, 3, 32)[0] == first).all()
    picture(8, 8).rotate(90).save(mine / "dogs/1.bmp")  # of the same size: the time tells
    os.utime(mine / "dogs/1.bmp", (1, 1))
    assert not (read_folder(mine, 3, 32)[0] == first).all()
    assert len(list(cache.glob("folder-*-*"))) == 2
    assert not set(cache.iterdir()) & set(kept)
    read_folder(mine, 1, 32)
    assert len(list(cache.glob("folder-*-*"))) == 4


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other", "pickle"])
def test_a_damaged_cache_is_made_anew(mine, cache, damage, tmp_path):
    first, *_ = read_folder(mine, 3, 32)
    kept = next(cache.glob("*.npy"))
    whole = kept.read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    kept.write_bytes({"cut": whole[:-500], "bit": bytes(broken), "empty": b"", "other": b"", "pickle": b""}[damage])
    if damage == "other":
        np.save(kept, np.zeros(3))
    if damage == "pickle":
        np.save(kept, np.array([{}], object))
    assert (read_folder(mine, 3, 32)[0] == first).all()
    assert (read_folder(mine, 3, 32)[0] == first).all()


def test_a_home_that_cannot_be_written_only_costs_time(mine, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read_folder(mine, 3, 32)[0].shape == (7, 3, 32, 32)
    assert "takes its place" in capsys.readouterr().err


def test_many_are_read_in_order_by_several_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "ENOUGH", 10)
    monkeypatch.setattr(folders.cpu, "usable_cores", lambda: 3)
    pixels = RNG.integers(0, 256, (35, 8, 8, 3), dtype=np.uint8)
    for index, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{index:02d}.png")
    found = sorted(tmp_path.glob("*.png"))
    images, how = np.zeros((35, 3, 8, 8), np.uint8), (3, 8, "white", 0)
    folders.read_all(found, images, how)
    assert (images == pixels.transpose(0, 3, 1, 2)).all()
    (tmp_path / "17.png").write_bytes(b"no")
    with pytest.raises(UserError, match=r"17\.png: no picture"):
        folders.read_all(found, images, how)


def test_links_are_followed_and_loops_end(mine, tmp_path):
    (mine / "dogs" / "again").symlink_to(mine / "cats")
    (mine / "dogs" / "loop").symlink_to(mine / "dogs")
    (mine / "dogs" / "one.png").symlink_to(mine / "cats" / "1.png")
    names = read_folder(mine, 3, 32)[1]
    assert "dogs/one.png" in names
    assert len(names) == 8  # each folder once
    shutil.copy(mine / "cats/1.png", mine / "top.png")
    (mine / "all").symlink_to(mine)
    assert read_folder(mine, 3, 32)[1] == [*names, "top.png"]  # the one that it begins with, too


def test_pictures_that_were_replaced_by_ones_of_that_size_and_time_are_read(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for grey in (10, 200):
        Image.new("L", (8, 8), grey).save(tmp_path / "new.bmp")
        os.utime(tmp_path / "new.bmp", (1e9, 1e9))  # as `unzip` and `cp -p` do
        (tmp_path / "new.bmp").replace(folder / "a.bmp")
        assert (read_folder(folder, 1, 32)[0] == grey).all()


def test_what_is_too_large_for_the_memory_is_mapped(mine, cache, monkeypatch):
    whole, names, checksum = read_folder(mine, 3, 32)
    for path in cache.iterdir():
        path.unlink()
    monkeypatch.setattr(folders.memory, "free", lambda: whole.nbytes)
    for _ in range(2):  # while it is read, and from then on
        images, again, its = read_folder(mine, 3, 32)
        assert isinstance(images, np.memmap)
        assert not images.flags.writeable
        assert (images == whole).all()
        assert (again, its) == (names, checksum)
    kept = next(cache.glob("*.npy"))
    kept.write_bytes(kept.read_bytes()[:-1])
    assert (read_folder(mine, 3, 32)[0] == whole).all()  # cut short, and made anew
    kept.write_bytes(kept.read_bytes()[: -whole[0].nbytes] + bytes(whole[0].nbytes))
    assert (read_folder(mine, 3, 32)[0] == whole).all()  # a black picture, as where two wrote at once: the same
    for path in cache.iterdir():
        path.unlink()
    for name, full in (("ENOUGH_DISK", 2**60), ("allocate", lambda path: False)):  # a disk, or the user's part of it
        with monkeypatch.context() as patch:
            patch.setattr(folders, name, full)
            with pytest.raises(UserError, match="no room for them in"):
                read_folder(mine, 3, 32)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_two_at_once_read_once(mine, cache, monkeypatch):
    """The second waits, and takes what the first has kept; what a killed one left is removed."""
    read, calls = folders.read_all, []

    def slowly(*arguments) -> None:
        calls.append(arguments)
        time.sleep(0.3)
        read(*arguments)

    monkeypatch.setattr(folders, "read_all", slowly)
    monkeypatch.setattr(folders.memory, "free", lambda: 1000)  # written to the disk while it is read
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: read_folder(mine, 3, 32), range(2))
    assert len(calls) == 1
    assert (one[0] == other[0]).all()
    assert one[1:] == other[1:]
    (kept,) = cache.glob("folder-*-*.npy")
    for damaged in ("", "md5:", f"{one[2]} md5:00"):
        left, others = part_of(kept), part_of(cache / "judge.npz")
        for part in (left, others):
            part.write_bytes(b"half")
        kept.with_suffix(".md5").write_text(damaged)
        assert read_folder(mine, 3, 32)[2] == one[2]
        assert not left.exists()
        assert others.exists()


def test_two_at_once_without_locks_disturb_each_other_in_nothing(mine, cache, monkeypatch):
    """Both read; what the one has half written is not removed by the other, and does not become what is kept."""
    read = folders.read_all

    def interrupted(*arguments) -> None:
        monkeypatch.setattr(folders, "read_all", read)
        assert read_folder(mine, 3, 32)[0].any(axis=(1, 2, 3)).all()
        read(*arguments)

    monkeypatch.setattr(folders.locks, "has_locks", lambda folder: False)
    monkeypatch.setattr(folders.memory, "free", lambda: 1000)
    monkeypatch.setattr(folders, "read_all", interrupted)
    images = read_folder(mine, 3, 32)[0]
    assert images.any(axis=(1, 2, 3)).all()
    assert not list(cache.glob(".*.part"))


def test_what_is_large_is_mapped_from_the_second_time_on(mine, monkeypatch):
    """To read and to check gigabytes would take seconds."""
    whole, names, checksum = read_folder(mine, 3, 32)
    for loaded, mapped in ((whole.nbytes, False), (whole.nbytes - 1, True)):
        monkeypatch.setattr(folders, "LOADED", loaded)
        images, again, its = read_folder(mine, 3, 32)
        assert isinstance(images, np.memmap) == mapped
        assert (images == whole).all()
        assert (again, its) == (names, checksum)


@pytest.mark.parametrize("channels", [1, 3])
def test_another_background_and_padding(tmp_path, channels):
    wide = np.zeros((10, 30, 4), np.uint8)
    wide[:, 10:20] = (200, 200, 200, 255)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    padded = read_picture(tmp_path / "wide.png", channels, 30, "black", True)
    expected = np.zeros((channels, 30, 30), np.uint8)
    expected[:, 10:20, 10:20] = 200
    assert (padded == expected).all()
    assert (read_picture(tmp_path / "wide.png", channels, 10, "black") == 200).all()
    red = read_picture(tmp_path / "wide.png", 3, 30, "red", True)
    assert red[:, 0, 0].tolist() == red[:, 15, 0].tolist() == [255, 0, 0]


def test_a_panorama_is_not_padded_to_its_width_squared(tmp_path, monkeypatch):
    """8,000 pixels wide its square would take 192 MB; 20,000 wide, more than a gigabyte, in each process."""
    Image.new("RGB", (8000, 1), "red").save(tmp_path / "line.png")
    sides, pad = [], pictures.ImageOps.pad
    monkeypatch.setattr(pictures.ImageOps, "pad", lambda one, size, **how: sides.extend(size) or pad(one, size, **how))
    assert read_picture(tmp_path / "line.png", 3, 32, "blue", True)[:, 0, 0].tolist() == [0, 0, 255]
    assert 3 * max(sides) ** 2 <= pictures.MAX_UNPACKED


@pytest.mark.parametrize("kind", ["text", "profile"])
def test_long_tags_of_a_png_damage_no_pixels(tmp_path, kind):
    told, long = PngImagePlugin.PngInfo(), 3 * 2**20
    if kind == "text":
        told.add_text("workflow", "a" * long, zip=True)
    picture(32, 32).save(tmp_path / "a.png", pnginfo=told, icc_profile=bytes(long) if kind == "profile" else None)
    assert (read_picture(tmp_path / "a.png", 3, 32) == np.asarray(picture(32, 32)).transpose(2, 0, 1)).all()


def refused(place: Path, words: str) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError) as caught:
        data.load("folder", str(place), (3, 32, 32))
    assert words in str(caught.value)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(place.rglob("*")) == before
    assert not list((place.parent / "cache").rglob("*.np*"))


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it is 60,000 pixels wide and high."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("notes.txt", b"my cats", "notes.txt: no picture (PNG, JPEG, "),
        ("empty.png", b"", "empty.png: no picture"),
        ("cut.png", content()[:-60], "cut.png: truncated or damaged"),
        ("cut.jpg", content("JPEG")[:-200], "cut.jpg: truncated or damaged"),
        ("bomb.png", bomb(), "bomb.png: "),
        ("large.png", bomb().replace(struct.pack(">2I", 60_000, 60_000), struct.pack(">2I", 9000, 9000)), "large.png"),
        ("page.png", b"<html>please log in</html>", "page.png: no picture"),
        ("paper.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch proof) system\n", "no picture"),
        ("weights.png", b"\x80\x04cos\nsystem\n(S'touch proof'\ntR.", "no picture"),
        ("zip.png", b"PK\x03\x04" + bytes(100), "no picture"),
        ("我的狗.png", b"my dog", "我的狗.png: no picture"),
    ],
)
def test_each_bad_file_is_named(mine, monkeypatch, name, what, words):
    monkeypatch.chdir(mine)
    monkeypatch.setenv("PYTHONIOENCODING", "gbk")  # a Chinese Windows
    (mine / name).write_bytes(what)
    refused(mine, words)


def test_without_memory_no_picture_is_called_damaged(mine, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "upright", lambda picture: bytearray(2**62))
        with pytest.raises(UserError, match="not enough memory to open it"):
            read_picture(mine / "cats/1.png", 3, 32)
    reader = tmp_path / "reader.py"
    reader.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(pictures, "__file__", str(reader))
    refused(mine, "not enough memory to open it")


def test_what_python_prints_whenever_it_starts_is_no_pixels(mine, tmp_path, monkeypatch):
    """By a sitecustomize.py, or, of a library that is not there, by $LD_PRELOAD."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("import sys; print('hello'); print('ld.so', file=sys.stderr)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    images, names, _ = read_folder(mine, 3, 32)
    assert all(np.array_equal(image, read_picture(mine / name, 3, 32)) for image, name in zip(images, names))
    (mine / "a.png").write_bytes(b"my cats")
    with pytest.raises(UserError, match=f"^{re.escape(str(mine / 'a.png'))}: no picture"):
        read_folder(mine, 3, 32)


def test_a_reader_that_ends_at_once_is_said(tmp_path, monkeypatch):
    """Before it has read the paths, which are more than a pipe holds."""
    (tmp_path / "reader.py").touch()
    monkeypatch.setattr(pictures, "__file__", str(tmp_path / "reader.py"))
    with pytest.raises(UserError, match="x: cannot be decoded"):
        read_all(500 * [300 * "x"], np.empty((500, 1, 2, 2), np.uint8), (1, 2, "white", 0))


def test_sizes_are_said(tmp_path, mine):
    (mine / "a.png").write_bytes(bomb())
    refused(mine, "more than 128 MB unpacked; make it smaller or remove it")
    (mine / "a.png").unlink()
    Image.new("1", (9000, 9000)).save(mine / "b.png")  # 10 kB, and 243 MB in colour
    refused(mine, "b.png: 9000x9000 pixels, more than 128 MB")


def test_what_is_no_file(mine, tmp_path):
    os.mkfifo(mine / "pipe")  # opening it would wait for ever
    refused(mine, "pipe: no regular file")
    (mine / "pipe").unlink()
    (mine / "zero.png").symlink_to("/dev/zero")
    refused(mine, "zero.png: no regular file")
    (mine / "zero.png").unlink()
    (mine / "gone.png").symlink_to(mine / "nothing")
    refused(mine, "gone.png: No such file")
    (mine / "gone.png").unlink()
    with (mine / "huge.png").open("wb") as file:
        file.truncate(2**40)
    refused(mine, "huge.png: 1,099,511,627,776 bytes")


def test_folders_that_do_not_do(mine, tmp_path):
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "no pictures there")
    with pytest.raises(UserError, match=r"--data-dir: no folder .*nowhere"):
        data.load("folder", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="say which, --data-dir FOLDER"):
        data.load("folder")
    picture().save(mine / "loose.png")
    with pytest.raises(UserError, match=r"loose.png: in no sub-folder, hence of no class"):
        data.load("folder", str(mine), (3, 32, 32), labelled=True)
    (mine / "loose.png").unlink()
    for number in range(10):
        (mine / str(number)).mkdir()
        picture().save(mine / str(number) / "a.png")
    with pytest.raises(UserError, match="12 sub-folders of pictures; classes may be 2 to 10"):
        data.load("folder", str(mine), (3, 32, 32), labelled=True)


FORMS = {form: content(form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.sampled_from(sorted(FORMS)), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
@pytest.mark.filterwarnings("ignore")  # as the program that reads many has it
def test_a_damaged_picture_is_refused_in_one_line_or_read(tmp_path, form, where, flip):
    """Cut off there, or, with `flip`, with another byte there."""
    broken = bytearray(FORMS[form])
    place = int(where * len(broken))
    if flip:
        broken[place] ^= flip
    path = tmp_path / "a"
    path.write_bytes(bytes(broken if flip else broken[:place]))
    try:
        pixels = read_picture(path, 3, 32)
    except UserError as error:
        told = str(error)
    else:
        told = f"{path}: {pixels.dtype} {pixels.shape}"
        assert told == f"{path}: uint8 (3, 32, 32)"
    assert told.startswith(str(path))
    assert "\n" not in told


def test_a_run_among_the_pictures_is_no_picture(mine, say):
    """Its weights are none, and its grids are not to be trained on."""
    alone = read_folder(mine, 1, 32)[1]
    flags = [*TOY, "--dataset", "folder", "--data-dir", mine, "--batch-size", 4, "--max-steps", 1]
    for output in (mine / "run", mine / "work" / "a", mine / "run"):
        said = say(train, "toy", *flags, "--output-dir", output)
        assert (said.status, said.err) == (0, "")
    assert say(train, "toy", *flags, "--max-steps", 2, "--output-dir", mine / "run", "--resume").status == 0
    assert read_folder(mine, 1, 32)[1] == alone
    before = sorted(mine.rglob("*"))
    for output in (mine, mine / "cats" / "..", mine / "dogs", mine / "cats"):  # the last two hold a class
        check_refused(say(train, "toy", *flags, "--output-dir", output), "--output-dir: your pictures are there")
    assert sorted(mine.rglob("*")) == before


def test_pictures_where_a_run_puts_its_grids_are_not_set_aside_as_a_run(mine, say):
    """`samples` is a name that pictures of one's own may lie under, too: the next run would train on the grids."""
    (mine / "cats").rename(mine / "samples")
    flags = [*TOY, "--dataset", "folder", "--batch-size", 4, "--max-steps", 1, "--output-dir", mine]
    for inside in ("samples", "samples/deep"):
        said = say(train, "toy", *flags, "--data-dir", mine / inside)
        check_refused(said, "--output-dir: your pictures are there; name another folder")
    assert not (mine / "earlier-1").exists()


def test_other_edges_are_other_pictures(tmp_path):
    """One is not the other's in the cache."""
    mine = tmp_path / "mine"
    mine.mkdir()
    Image.new("RGB", (30, 10), "blue").save(mine / "a.png")
    ways = [("white", False), ("white", True), ("red", True)]
    found = [read_folder(mine, 3, 32, *way)[0].tobytes() for way in ways]
    assert len({*found}) == 3
