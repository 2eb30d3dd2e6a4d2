"""Any data set with any family: what fits, what is refused, and that bytes train as floats do."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Callable

from commands import evaluate
from common import data, train
from common.data import as_float
from common.errors import BAD_INPUT, DONE, UserError
from common.files import finding, idx
from common.game import Batch
from common.gan import GAN
from common.init import weights_init
from common.layers import Generator, score_layers
from common.run import families, grids

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image, ImageSequence

RNG = np.random.default_rng(0)


class ColourGAN(GAN):
    """LSGAN's game, three channels."""

    image = (3, 32, 32)


def build_in_colour(**settings: float) -> ColourGAN:
    """A family that takes no other channels."""
    generator, discriminator = Generator(out_channels=3), nn.Sequential(*score_layers(in_channels=3))
    return ColourGAN(generator.apply(weights_init), discriminator.apply(weights_init), nn.MSELoss(), **settings)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_DIR", raising=False)


@pytest.fixture
def idx_dir(tmp_path) -> Path:
    """The four files that MNIST, Fashion-MNIST and KMNIST come in."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for prefix, count in (("train", 40), ("t10k", 20)):
        pixels = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        header = struct.pack(">4I", 0x803, count, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
        labels = bytes(index % 10 for index in range(count))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2I", 0x801, count) + labels)
        )
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Forty small pictures in colour, in two folders."""
    for index, pixels in enumerate(RNG.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)):
        path = tmp_path / "pictures" / f"class {index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((20 + index, 30)).save(path)
    return tmp_path / "pictures"


# Which data sets there are.


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
@pytest.mark.parametrize("labelled", [False, True])
def test_mnists_format_under_three_names(idx_dir, name, labelled, capsys):
    loaded = data.load(name, str(idx_dir), labelled=labelled)
    assert loaded.name == name
    assert loaded.images.shape == (40, 1, 32, 32)
    assert loaded.images.dtype == np.float32
    assert (loaded.labels is not None) == labelled
    assert f"is not the original {idx.SOURCES[name].title} file" in capsys.readouterr().err
    unresized = data.load(name, str(idx_dir), (1, 28, 28)).images
    with gzip.open(idx_dir / idx.FILES[0]) as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(40, 1, 28, 28)
    assert (unresized == pixels.astype(np.float32) / 127.5 - 1).all()
    assert len(data.load_labelled(name, "test", str(idx_dir))[1]) == 20


def test_labels_of_more_classes_are_refused_where_labels_are_wanted(idx_dir):
    """EMNIST's letters are 1 to 26."""
    path = idx_dir / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">2I", 0x801, 40) + bytes(range(40))))
    with pytest.raises(UserError, match=rf"{path.name}: a label of 39, expected 0 to 9; take a family without labels"):
        data.load("mnist", str(idx_dir), labelled=True)
    assert data.load("mnist", str(idx_dir)).images.shape == (40, 1, 32, 32)


def test_fashion_mnist_comes_from_paddles_server(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path))
    monkeypatch.setattr(finding, "fetch", lambda url, path, md5, **_: asked.append((url, path, md5)))
    assert data.find_idx("fashion-mnist", files=idx.FILES) == tmp_path / "fashion-mnist"
    assert asked[0][0].endswith("/fashion_mnist/train-images-idx3-ubyte.gz")
    assert [md5 for _, _, md5 in asked] == list(idx.SOURCES["fashion-mnist"].md5)
    with pytest.raises(UserError, match="Paddle's server does not have it; name by --data-dir a folder"):
        data.find_idx("kmnist")


def test_another_data_sets_file_is_named(idx_dir, monkeypatch, capsys):
    """As if the files made here were Fashion-MNIST's own."""
    md5s = [idx.hashlib.md5((idx_dir / name).read_bytes()).hexdigest() for name in idx.FILES]
    monkeypatch.setattr(idx, "OWNERS", {md5: ("fashion-mnist", name) for md5, name in zip(md5s, idx.FILES)})
    with pytest.raises(UserError, match=r"this is Fashion-MNIST's train-images.*say --dataset fashion-mnist"):
        data.load("kmnist", str(idx_dir))
    assert data.load("mnist", str(idx_dir)).name == "mnist"  # as it was done before they had names of their own
    assert "fine for Fashion-MNIST" in capsys.readouterr().err
    (idx_dir / idx.FILES[2]).rename(idx_dir / idx.FILES[0])
    with pytest.raises(UserError, match=r"this is Fashion-MNIST's t10k-images.*give each file its own name"):
        data.load("mnist", str(idx_dir))


def test_no_two_checksums_are_alike():
    assert len(idx.OWNERS) == 12


# Bytes and floats.


def test_bytes_are_the_floats_that_they_stand_for():
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert as_float(every).dtype == np.float32
    assert (as_float(every).min(), as_float(every).max()) == (-1, 1)
    assert np.abs((as_float(every) + 1) * 127.5 - every).max() < 1e-4
    floats = as_float(every)
    assert as_float(floats) is floats


def test_a_batch_of_bytes_is_the_batch_of_floats():
    images = RNG.integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)
    labels, chosen = paddle.arange(10), np.array([7, 1, 3, 3])
    half = lambda count: slice(0, count // 2)  # noqa: E731  as of two processes
    for share in (lambda count: slice(None), half):
        of_bytes = Batch((images, labels), chosen, RNG, share=share)
        of_floats = Batch((paddle.to_tensor(as_float(images)), labels), chosen, RNG, share=share)
        assert of_bytes.images.dtype == paddle.float32
        assert (of_bytes.images.numpy() == of_floats.images.numpy()).all()
        assert (of_bytes.labels.numpy() == of_floats.labels.numpy()).all()
        for part, other in zip(of_bytes.split(2), of_floats.split(2)):
            np.testing.assert_allclose(part.images.numpy(), other.images.numpy(), atol=1e-7)


def test_bytes_stay_one_array_of_bytes(pictures):
    dataset = data.load("folder", str(pictures), (3, 32, 32))
    images, labels = train.to_device(dataset)
    assert images is dataset.images
    assert labels is None


# What fits, and what is refused.


def arguments(out: Path, *more: object) -> list[str]:
    given = ["--output-dir", out, "--threads", 1, "--batch-size", 8, "--eval-every", 0, "--sample-every", 2, *more]
    return list(map(str, given))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset", "cifar10", "--channels", "1"], "--channels 1: the images of cifar10 have 3; leave the flag out"),
        (["--dataset", "digits", "--channels", "3"], "--channels 3: the images of digits have 1; leave the flag out"),
        (["--dataset", "folder"], "say which, --data-dir FOLDER"),
        (["--dataset", "kmnist"], "name by --data-dir a folder"),
        (["--dataset", "digits", "--batch-size", "1798"], "--batch-size 1798: an update takes 1,798 images"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, capsys, flags, words):
    build = families.builder("dcgan")
    assert train.run("dcgan", build, arguments(tmp_path / "run", *flags)) == BAD_INPUT
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_family_that_takes_it_is_named(tmp_path, capsys):
    given = arguments(tmp_path / "run", "--dataset", "digits")
    assert train.run("colour_toy", build_in_colour, given) == BAD_INPUT
    assert "its images have 1 channel, COLOUR-TOY draws images of 3; take python dcgan" in capsys.readouterr().err


def test_a_family_that_is_half_written_is_not(tmp_path, capsys, monkeypatch):
    def builder(family: str) -> Callable:
        if family == "dcgan":
            raise SyntaxError
        return families.builder(family)

    monkeypatch.setattr(train, "builder", builder)
    given = arguments(tmp_path / "run", "--dataset", "digits")
    assert train.run("colour_toy", build_in_colour, given) == BAD_INPUT
    assert "take python lsgan" in capsys.readouterr().err


# Training in colour.


def test_a_folder_in_colour_trains_resumes_and_draws_in_colour(tmp_path, pictures, monkeypatch, capsys):
    def run(out: Path, steps: int, *more: str) -> int:
        paddle.seed(0)
        flags = ["--dataset", "folder", "--data-dir", str(pictures), "--max-steps", str(steps), *more]
        with paddle.utils.unique_name.guard():
            return train.run("dcgan", build_in_colour, arguments(out, *flags))  # a name that commands look up

    assert run(tmp_path / "whole", 4) == DONE
    assert run(tmp_path / "parts", 2) == DONE
    assert run(tmp_path / "parts", 4, "--resume") == DONE
    for name in ("losses.csv", "generator.params", "samples/0000_0003.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()

    with Image.open(tmp_path / "whole" / "samples" / "0000_0003.png") as grid:
        assert grid.mode == "RGB"
        pixels = np.asarray(grid).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() > 3  # not three equal channels
    with Image.open(tmp_path / "whole" / "progress.gif") as gif:
        shades = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(gif)]
    assert len(shades) == 3
    assert max((frame.max(axis=2) - frame.min(axis=2)).max() for frame in shades) > 3

    from commands import sample  # the command

    monkeypatch.setattr("common.run.runs.builder", lambda family: build_in_colour)
    given = [
        str(tmp_path / "whole"),
        "--count",
        "5",
        "--out",
        str(tmp_path / "a.png"),
        "--npy",
        str(tmp_path / "a.npy"),
    ]
    assert sample.main(given) == DONE
    assert np.load(tmp_path / "a.npy").shape == (5, 3, 32, 32)
    with Image.open(tmp_path / "a.png") as grid:
        assert grid.mode == "RGB"

    capsys.readouterr()
    next(pictures.rglob("*.png")).unlink()
    assert run(tmp_path / "parts", 6, "--resume") == BAD_INPUT
    assert "it was trained on other pictures, or with another --background" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path / "whole")]) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_a_grid_keeps_its_colours_and_a_grey_one_stays_grey():
    images = RNG.uniform(-1, 1, (3, 3, 4, 4)).astype(np.float32)
    grid = np.asarray(grids.grid(images, columns=2))
    assert grid.shape == (14, 14, 3)
    expected = np.rint((images[1] + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    assert (grid[2:6, 8:12] == expected).all()
    assert np.asarray(grids.grid(images[:, :1])).ndim == 2
