"""The judge: a small classifier whose features the metrics are computed on.

Inception, which FID and KID were defined on, was trained on photographs of objects and has little to say about digits.
A judge is trained on the very images by `python -m commands.train_judge`; the weights of some are in `judges/`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from common.data import IMAGE, as_float, to_size
from common.errors import UserError
from common.files.atomic import cache_folder
from common.files.weights import load_into
from common.language import _
from common.machine.activations import ReLU
from common.machine.convolutions import Conv2D

import numpy as np
import paddle
from paddle import Tensor, nn

FEATURES = 64
FOLDER = Path(__file__).with_name("judges")
AT_ONCE = 500  # images a forward pass


class Judge(nn.Layer):
    """Images `[N, in_channels, 32, 32]` in [-1, 1] to 64 features and 10 logits.

    225,194 trainable parameters for grey images, 409,962 for colour: what tells a cat from a dog lies in finer
    detail, hence a first layer that sees every pixel, and two layers more.
    """

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers = grey_layers() if in_channels == 1 else colour_layers(in_channels)
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(128 * 4 * 4, FEATURES),
            ReLU(),
        )
        self.head = nn.Linear(FEATURES, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x [N, in_channels, 32, 32]` to features `[N, 64]` and logits `[N, 10]`."""
        features = self.body(x)
        return features, self.head(features)


def block(in_channels: int, out_channels: int, size: int = 3, stride: int = 1) -> list[nn.Layer]:
    """A convolution that keeps the image's size, or halves it with a stride of 2; BatchNorm; ReLU."""
    return [
        Conv2D(in_channels, out_channels, size, stride=stride, padding=size // 2, bias_attr=False),
        nn.BatchNorm2D(out_channels),
        ReLU(),
    ]


def grey_layers() -> list[nn.Layer]:
    """`[N, 1, 32, 32]` to `[N, 128, 4, 4]`."""
    return [
        *block(1, 32, size=5, stride=2),  # 32x32 -> 16x16
        *block(32, 64),
        nn.MaxPool2D(2),  # 16x16 -> 8x8
        *block(64, 128),
        nn.MaxPool2D(2),  # 8x8 -> 4x4
    ]


def colour_layers(in_channels: int) -> list[nn.Layer]:
    """`[N, in_channels, 32, 32]` to `[N, 128, 4, 4]`."""
    return [
        *block(in_channels, 32),
        nn.MaxPool2D(2),  # 32x32 -> 16x16
        *block(32, 64),
        *block(64, 64),
        nn.MaxPool2D(2),  # 16x16 -> 8x8
        *block(64, 128),
        nn.MaxPool2D(2),  # 8x8 -> 4x4
        *block(128, 128),
    ]


class Judged:
    """What a judge sees in a set of images: `features` float32 `[N, 64]` and `probabilities` float32 `[N, 10]`."""

    def __init__(self, features: np.ndarray, probabilities: np.ndarray) -> None:
        self.features, self.probabilities = features, probabilities

    def __len__(self) -> int:
        """The number of images."""
        return len(self.features)

    def __getitem__(self, index: slice | np.ndarray) -> Judged:
        """Some of the images."""
        return Judged(self.features[index], self.probabilities[index])

    @property
    def classes(self) -> np.ndarray:
        """The most likely class of each image, `[N]`."""
        return self.probabilities.argmax(axis=1)


def load_judge(dataset: str) -> Judge:
    """The judge of a data set, ready to look.

    Raises:
        UserError: its weights are missing or not those its record names.
    """
    dataset = judged_by(dataset)
    path, record = place(dataset) / f"{dataset}.params", load_record(dataset)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != record["sha256"]:
        values = {"path": path, "way_out": how_to_train(dataset)}
        raise UserError(_("{path}: not the judge that record.json beside it names; {way_out}", **values))
    judge = Judge(record.get("in_channels", 1))
    load_into(judge, path)
    judge.eval()
    return judge


def load_record(dataset: str) -> dict:
    """How the judge of `dataset` was trained, what it reaches, its checksum and its data's."""
    dataset = judged_by(dataset)
    records = records_in(place(dataset))
    if dataset not in records:
        whose = _("a folder of one's own") if dataset == "folder" else dataset
        raise UserError(_("there is no judge for {whose}; {way_out}", whose=whose, way_out=how_to_train(dataset)))
    return records[dataset]


def records_in(folder: Path) -> dict[str, dict]:
    """The records of the judges in a folder, by data set; raises `UserError` where they are damaged."""
    path = folder / "record.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if all({"sha256", "data"} <= record.keys() for record in records.values()):
            return records
    except (ValueError, AttributeError):
        pass
    raise UserError(_("{path}: damaged; take the repository's, or of your own pictures' judges, remove it", path=path))


def place(dataset: str) -> Path:
    """The folder of a data set's judge: those of one's own pictures are kept in the cache, by no repository."""
    return cache_folder() / "judges" if is_own(dataset) else FOLDER


def is_own(dataset: str) -> bool:
    """Whether this is the name of one's own pictures: see `Dataset.judge`."""
    return dataset.startswith("folder-")


def judged_by(dataset: str) -> str:
    """The data set whose judge looks at this one: its own; CIFAR-10's at pictures of one's own that nobody trained a
    judge for. Its features tell pictures apart, its classes say nothing of them."""
    return "cifar10" if is_own(dataset) and dataset not in records_in(place(dataset)) else dataset


def how_to_train(dataset: str) -> str:
    """What to do where the judge is missing or does not fit."""
    if dataset == "folder":
        return _("judges are for named data sets: look at samples/")
    return _("python -m commands.train_judge --dataset {dataset} trains one (with your --data-dir)", dataset=dataset)


@paddle.no_grad()
def classify(judge: Judge, images: np.ndarray) -> Judged:
    """What `judge` sees in `images [N, C, H, W]`, float32 in [-1, 1] or uint8; other sizes than 32x32 are resized
    first.

    Raises:
        UserError: images in colour for a judge of grey ones. The other way round they are grey in three channels.
    """
    if images.shape[1] not in (1, judge.in_channels):
        values = {"wanted": judge.in_channels, "found": images.shape[1]}
        raise UserError(_("this judge sees {wanted} channels, the images have {found}", **values))
    features, probabilities = [], []
    for start in range(0, len(images), AT_ONCE):
        part = to_size(as_float(images[start : start + AT_ONCE]), IMAGE[1])
        seen, logits = judge(paddle.to_tensor(np.repeat(part, judge.in_channels // part.shape[1], axis=1)))
        features.append(seen.numpy())
        probabilities.append(nn.functional.softmax(logits).numpy())
    return Judged(np.concatenate(features), np.concatenate(probabilities))
