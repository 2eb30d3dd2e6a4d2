"""One picture of any form, depth and orientation."""

from __future__ import annotations

import errno
import os
import struct

from common.errors import UserError
from common.files.pictures import TURNS, read_picture
from tests.test_folder import picture

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0)).convert(mode)
    clear.save(tmp_path / "a.png", **({"transparency": 0} if mode == "P" else {}))
    if mode == "P":
        Image.new("P", (8, 8), 0).save(tmp_path / "a.png", transparency=0)
    assert (read_picture(tmp_path / "a.png", 3, 8) == 255).all()


def test_16_bits_are_scaled_and_not_cut_off(tmp_path):
    Image.fromarray(np.full((8, 8), 0x8080, np.uint16)).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 1, 8) == 128).all()


def test_photographs_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    picture(32, 32).save(tmp_path / "a.jpg", exif=exif, quality=95)
    picture(32, 32).save(tmp_path / "b.jpg", quality=95)
    turned, plain = (read_picture(tmp_path / name, 3, 32).astype(int) for name in ("a.jpg", "b.jpg"))
    assert np.abs(turned - plain[:, ::-1, ::-1]).max() < 12


def pgm(pixels: np.ndarray, maxval: int) -> bytes:
    return b"P5 %d %d %d\n" % (*pixels.shape[::-1], maxval) + pixels.astype(">u2" if maxval > 255 else "u1").tobytes()


def pfm(pixels: np.ndarray, scale: float = -1) -> bytes:
    return b"Pf\n%d %d\n%s\n" % (*pixels.shape[::-1], str(scale).encode()) + pixels.astype("<f4")[::-1].tobytes()


RAMP = np.tile(np.linspace(0, 1, 8), (8, 1))  # black to white


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.pfm", pfm(RAMP)),
        ("a.pfm", pfm(RAMP * 255)),  # as PIL makes them of other pictures
        ("a.pgm", pgm((RAMP * 255).round(), 255)),
        ("a.pgm", pgm((RAMP * 1023).round(), 1023)),
        ("a.pgm", pgm((RAMP * 65535).round(), 65535)),
    ],
)
def test_white_is_white_in_every_depth(tmp_path, name, what):
    (tmp_path / name).write_bytes(what)
    for channels in (1, 3):
        got = read_picture(tmp_path / name, channels, 8).astype(int)
        assert np.abs(got - RAMP * 255).max() <= 1


def test_floats_that_are_none_or_too_bright(tmp_path):
    pixels = np.ones((20, 20))
    pixels[0, :2] = np.nan, 40  # a highlight
    (tmp_path / "a.pfm").write_bytes(pfm(pixels))
    got = read_picture(tmp_path / "a.pfm", 1, 20)[0]
    assert got[0, 0] == 0
    assert (got.reshape(-1)[1:] == 255).all()


@pytest.mark.parametrize(
    ("form", "modes"),
    [
        ("PNG", "1 L LA P RGB RGBA I;16"),
        ("JPEG", "1 L RGB CMYK"),
        ("WEBP", "L RGB RGBA"),
        ("BMP", "1 L P RGB"),
        ("GIF", "1 L P RGB"),
        ("PPM", "1 L RGB I;16"),
    ],
)
def test_every_mode_looks_as_it_did(tmp_path, form, modes):
    grey = Image.fromarray((np.kron(RAMP, np.ones((4, 4))) * 255).astype(np.uint8))
    for mode in modes.split():
        wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        (wide if mode == "I;16" else grey.convert(mode)).save(tmp_path / "a", form)
        wanted = np.asarray(grey.convert("1").convert("L") if mode == "1" else grey, int)
        for channels in (1, 3):
            assert np.abs(read_picture(tmp_path / "a", channels, 32) - wanted).mean() < 4, mode


def test_16_bits_may_be_transparent_too(tmp_path):
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(tmp_path / "a.png", transparency=300)
    assert (read_picture(tmp_path / "a.png", 1, 8) == 255).all()
    coloured = read_picture(tmp_path / "a.png", 3, 8, "red")
    assert coloured.reshape(3, -1).T.tolist() == [[255, 0, 0]] * 64


ODD_TAGS = {
    "a resolution in letters": (0x011A, 2, 4, b"1/2\0"),
    "a unit in letters": (0x0128, 2, 4, b"xyz\0"),
    "a width in letters": (0x0100, 2, 4, b"xyz\0"),
    "a maker in numbers": (0x010F, 11, 1, b"\1\0\2\0"),
    "more tags before the beginning": (0x8769, 9, 1, b"\xff\xff\xff\xff"),
    "a type that there is not": (0x010F, 99, 1, b"abcd"),
    "two gigabytes": (0x010F, 2, 2**31, b"\x08\0\0\0"),
}


@pytest.mark.filterwarnings("ignore")  # as the program that reads many has it
@pytest.mark.parametrize("odd", ODD_TAGS)
def test_a_photograph_with_odd_tags_stands_upright(tmp_path, odd):
    tags = sorted([(0x0112, 3, 1, b"\3\0\0\0"), ODD_TAGS[odd]])
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    picture(32, 32).save(tmp_path / "a.jpg", exif=exif, quality=95)
    picture(32, 32).save(tmp_path / "b.jpg", quality=95)
    turned, plain = (read_picture(tmp_path / name, 3, 32).astype(int) for name in ("a.jpg", "b.jpg"))
    assert np.abs(turned - plain[:, ::-1, ::-1]).max() < 12


def test_all_eight_orientations(tmp_path):
    """Whatever way the camera was held, what is shown is the same."""
    upright = picture(32, 32)
    for orientation, turn in TURNS.items():
        back = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
        back[Image.Transpose.ROTATE_270] = Image.Transpose.ROTATE_90
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(back.get(turn, turn)).save(tmp_path / "a.png", exif=exif)
        assert (read_picture(tmp_path / "a.png", 3, 32).transpose(1, 2, 0) == np.asarray(upright)).all()


@pytest.mark.parametrize(("number", "words"), [(errno.EACCES, "Permission denied"), (errno.EIO, "Input/output error")])
def test_what_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch, number, words):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "a.png")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(UserError, match=rf"a\.png: {words}; make it readable or remove it from the folder"):
        read_picture(tmp_path / "a.png", 3, 32)
