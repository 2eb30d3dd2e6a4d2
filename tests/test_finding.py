"""Where MNIST and its like are found: packed or not, in the folders of other libraries, on AI Studio."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from common import data
from common.errors import UserError
from common.files import finding
from tests.test_data import NAME, SOUND

import pytest


def test_where_mnist_is_looked_for(mnist_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DIR", str(mnist_dir))
    assert data.find_idx("mnist") == mnist_dir
    other = Path(shutil.copytree(mnist_dir, tmp_path / "other"))
    assert data.find_idx("mnist", str(other)) == other  # the flag wins
    with pytest.raises(UserError, match="--data-dir: no folder"):
        data.find_idx("mnist", str(tmp_path / "no"))
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "no"))
    with pytest.raises(UserError, match="MNIST_DIR: no folder"):
        data.find_idx("mnist")

    monkeypatch.delenv("MNIST_DIR")
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    shutil.copy(mnist_dir / NAME, tmp_path / "cache" / "mnist")
    assert data.find_idx("mnist") == tmp_path / "cache" / "mnist"


@pytest.mark.parametrize("below", [".", "raw", "MNIST/raw", "mnist"])
@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz", NAME]
)
def test_mnist_is_found_unpacked_and_where_others_put_it(tmp_path, mnist_dir, below, name):
    """As torchvision, Kaggle and AI Studio have it."""
    packed = (mnist_dir / NAME).read_bytes()
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    (tmp_path / below / name).write_bytes(packed if name.endswith(".gz") else gzip.decompress(packed))
    assert (data.load("mnist", str(tmp_path)).images == data.load("mnist", str(mnist_dir)).images).all()


def test_a_folder_of_torchvisions_is_that_data_sets(tmp_path, mnist_dir):
    """MNIST, Fashion-MNIST and KMNIST side by side have files of the same names."""
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        shutil.copytree(mnist_dir, tmp_path / name / "raw")
    for name, folder in (("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")):
        assert data.find_idx(name, tmp_path) == tmp_path / folder / "raw"


def test_where_there_is_no_mnist_the_line_says_what_is_there(tmp_path):
    for names, words in (((), "it is empty"), (("mnist.pkl.gz", "train.csv"), "it holds mnist.pkl.gz, train.csv")):
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(UserError, match=f"no {NAME} there, packed or unpacked; {words}$"):
            data.load("mnist", str(tmp_path))
    for number in range(10):
        (tmp_path / f"a{number}.png").touch()
    with pytest.raises(UserError, match=r"it holds a0\.png, a1\.png, a2\.png, a3\.png, a4\.png and 7 more$"):
        data.load_labelled("mnist", "test", str(tmp_path))


def test_the_digits_say_that_they_need_no_folder(tmp_path, capsys):
    for _ in range(2):
        data.load("digits", tmp_path)
        data.load_labelled("digits", "test", tmp_path)
    assert capsys.readouterr().err == f"note: --data-dir {tmp_path} is not used: scikit-learn's digits are part of it\n"


def test_real_mnist_is_known_however_it_is_packed(real_mnist, tmp_path, monkeypatch, capsys):
    """The judge and `--resume` know it by the checksum of the original file. AI Studio mounts it below the home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MNIST_DIR")
    monkeypatch.setattr(finding, "DATA_HOME", str(tmp_path / "cache"))
    mounted = tmp_path / "data" / "data65"
    mounted.mkdir(parents=True)
    for file in data.FILES:
        (mounted / file[:-3]).write_bytes(gzip.decompress((real_mnist / file).read_bytes()))
    shutil.copytree(mounted, tmp_path / "data" / "data1")  # something else under the same names comes first
    (tmp_path / "data" / "data1" / NAME[:-3]).write_bytes(SOUND)
    assert len(data.load_labelled("mnist", "test")[0]) == 10_000
    found = data.load("mnist", labelled=True)
    assert (len(found.images), found.checksum) == (60_000, "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873")
    assert capsys.readouterr().err == ""
    packed = gzip.compress((mounted / NAME[:-3]).read_bytes(), 1)  # by another program
    (tmp_path / NAME).write_bytes(packed)
    assert data.load("mnist", tmp_path).checksum == "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    (mounted / "t10k-labels-idx1-ubyte").write_bytes((mounted / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(UserError, match=r"this is MNIST's train-labels-idx1-ubyte\.gz, expected MNIST's t10k-labels"):
        data.load_labelled("mnist", "test", mounted)
