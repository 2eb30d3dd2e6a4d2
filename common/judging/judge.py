"""The judge: a small classifier of digits whose features the metrics are computed on.

Inception, which FID and KID were defined on, was trained on photographs of objects and has little to say about digits.
These are trained on the digits themselves by `python -m common.train_judge`, and their weights are in `judges/`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from common.data import IMAGE, to_size
from common.errors import UserError
from common.machine.activations import ReLU
from common.machine.convolutions import Conv2D
from common.run.weights import load_into

import numpy as np
import paddle
from paddle import Tensor, nn

FEATURES = 64
FOLDER = Path(__file__).with_name("judges")
AT_ONCE = 500  # images a forward pass


class Judge(nn.Layer):
    """Images `[N, 1, 32, 32]` in [-1, 1] to 64 features and 10 logits. 225,194 trainable parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv2D(1, 32, 5, stride=2, padding=2, bias_attr=False),  # 32x32 -> 16x16
            nn.BatchNorm2D(32),
            ReLU(),
            Conv2D(32, 64, 3, padding=1, bias_attr=False),
            nn.BatchNorm2D(64),
            ReLU(),
            nn.MaxPool2D(2),  # 16x16 -> 8x8
            Conv2D(64, 128, 3, padding=1, bias_attr=False),
            nn.BatchNorm2D(128),
            ReLU(),
            nn.MaxPool2D(2),  # 8x8 -> 4x4
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(128 * 4 * 4, FEATURES),
            ReLU(),
        )
        self.head = nn.Linear(FEATURES, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x [N, 1, 32, 32]` to features `[N, 64]` and logits `[N, 10]`."""
        features = self.body(x)
        return features, self.head(features)


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
        """The most likely digit of each image, `[N]`."""
        return self.probabilities.argmax(axis=1)


def load_judge(dataset: str) -> Judge:
    """The judge of `mnist` or `digits`, ready to look.

    Raises:
        UserError: its weights are missing or not those its record names.
    """
    path, record = FOLDER / f"{dataset}.params", load_record(dataset)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != record["sha256"]:
        raise UserError(f"{path}: not the judge that {FOLDER.name}/record.json names; python -m common.train_judge")
    judge = Judge()
    load_into(judge, path)
    judge.eval()
    return judge


def load_record(dataset: str) -> dict:
    """How the judge of `dataset` was trained, what it reaches, its checksum and its data's."""
    records = json.loads((FOLDER / "record.json").read_text())
    if dataset not in records:
        raise UserError(f"there is no judge for {dataset}; python -m common.train_judge trains one")
    return records[dataset]


@paddle.no_grad()
def classify(judge: Judge, images: np.ndarray) -> Judged:
    """What `judge` sees in `images [N, 1, H, W]`, float32 in [-1, 1]; other sizes than 32x32 are resized first."""
    images = to_size(images, IMAGE[1])
    features, probabilities = [], []
    for start in range(0, len(images), AT_ONCE):
        seen, logits = judge(paddle.to_tensor(images[start : start + AT_ONCE]))
        features.append(seen.numpy())
        probabilities.append(nn.functional.softmax(logits).numpy())
    return Judged(np.concatenate(features), np.concatenate(probabilities))
