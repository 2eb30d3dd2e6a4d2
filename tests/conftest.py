"""Fixtures. Paddle is set up as a command would set it up, before any test module imports it."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from common import cpu

# As the user has them; pytest-xdist's workers start after the first process has set itself up.
names = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE")
SET_UP = json.loads(os.environ.setdefault("TESTS_SET_UP", json.dumps({name: os.environ.get(name) for name in names})))
if "PYTEST_XDIST_WORKER" in os.environ:  # two at once: on two cores a second thread would only wait
    SET_UP["OMP_NUM_THREADS"] = SET_UP["OMP_NUM_THREADS"] or "1"
cpu.set_up()

import paddle  # noqa: E402

from common.gan import GAN  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ["dcgan", "lsgan"]

settings.register_profile("repository", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("repository")


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def gan(family) -> GAN:
    return make_gan(family)


def make_gan(family: str, seed: int = 0) -> GAN:
    """A new GAN as `family/train.py` builds it."""
    import importlib

    paddle.seed(seed)
    return importlib.import_module(f"{family}.train").build()


def noise(seed: int, count: int = 8) -> paddle.Tensor:
    rng = np.random.default_rng(seed)
    return paddle.to_tensor(rng.standard_normal((count, 100, 1, 1), dtype=np.float32))


def real(seed: int = 9, count: int = 8) -> paddle.Tensor:
    rng = np.random.default_rng(seed)
    return paddle.to_tensor(rng.uniform(-1, 1, (count, 1, 32, 32)).astype(np.float32))


def idx_images(count: int = 40, seed: int = 0) -> bytes:
    """The content of an IDX image file, not yet gzipped."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return struct.pack(">4I", 0x803, count, 28, 28) + pixels.tobytes()


@pytest.fixture
def mnist_dir(tmp_path: Path) -> Path:
    """A folder with a small file in MNIST's format."""
    folder = tmp_path / "idx"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_images()))
    return folder


@pytest.fixture(scope="session")
def real_mnist() -> Path:
    """The folder of the real MNIST; tests that need it are skipped by name where $MNIST_DIR does not lead to it."""
    folder = os.environ.get("MNIST_DIR")
    if not folder or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("needs the real MNIST: set MNIST_DIR")
    return Path(folder)


def call(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run Python as a person would: without what setting up this process put into the environment."""
    untouched = {name: value for name, value in os.environ.items() if name not in SET_UP}
    untouched.update({name: value for name, value in SET_UP.items() if value is not None})
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**untouched, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
