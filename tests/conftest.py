"""Fixtures, and what many tests call."""

from __future__ import annotations

import fcntl
import gc
import gzip
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple

from common import data  # sets Paddle up as it would for a command
from common.game import Batch, Game
from common.judging.reference import Reference
from common.machine import cpu
from common.rng import LATENT, random_numbers
from common.run.families import builder
from common.train import run
from tests import USERS, board, toy
from tests.runs import JUDGED, STEPS, TOY, cheaper, result, steps_written

import numpy as np
import paddle
import pytest
from hypothesis import settings
from paddle.utils import unique_name

ROOT = Path(__file__).resolve().parents[1]
CRITERIA = {"dcgan": paddle.nn.BCELoss(), "lsgan": paddle.nn.MSELoss()}
FAMILIES = list(CRITERIA)
HAS_GPU = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    signal.signal(number, handler)  # ignored where a shell runs us with & or nohup, by our children too
os.environ["no_proxy"] = "127.0.0.1,localhost"  # the tests' servers, which no proxy of the user's finds
cheaper()  # in this process; a command in one of its own does all that it does for a user, but for the one run by
CHEAPER = """
import runpy, sys
from tests.runs import cheaper

cheaper()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

settings.register_profile("repository", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("repository")


def pytest_collection() -> None:
    gc.disable()  # what is imported and collected stays: to look for garbage there takes a second of each worker


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "driver" in item.fixturenames:
            item.add_marker("pages")
    items.sort(key=lambda item: item.path.stem != "test_grade")  # the longest: begun last, it would end alone


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory) -> Path:
    """What judges saw is kept in a folder of the tests, where a command in a process of its own finds it too."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("MPLCONFIGDIR", str(users / "matplotlib"))  # a new list of fonts would take seconds
    os.environ["XDG_CACHE_HOME"] = str(shared_folder(tmp_path_factory) / "cache")
    return Path(os.environ["XDG_CACHE_HOME"])


@pytest.fixture(params=["cpu", *["gpu:0"] * HAS_GPU])
def device(request):
    """Every device that is there in turn; all other tests compute on the CPU."""
    paddle.set_device(request.param)
    yield request.param
    paddle.set_device("cpu")


@pytest.fixture(autouse=True)
def threads_as_they_were(monkeypatch) -> None:
    monkeypatch.setattr(cpu, "threads", cpu.threads)


if HAS_GPU:
    paddle.set_device("cpu")


def shared_folder(tmp_path_factory) -> Path:
    """One folder for all of pytest-xdist's workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`made_once(name, make)`: the folder that `make(folder)` filled, for the worker that comes first and for all
    others; nobody may write to it afterwards."""

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared_folder(tmp_path_factory) / "made-once" / name
        folder.parent.mkdir(exist_ok=True)
        done = folder.with_name(f"{name}.done")
        with folder.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a `make` that failed left
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(autouse=True)
def students_anew(monkeypatch) -> None:
    """The code of each student's folder, which all are called `my_lsgan`, is imported as if it were the first."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    forget_students()


def forget_students() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lsgan"]:
        del sys.modules[name]


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def gan(family) -> Game:
    return make_gan(family)


def make_gan(family: str, seed: int = 0) -> Game:
    """A new game as a run of `family` builds it."""
    paddle.seed(seed)
    return builder(family)()


def noise(seed: int, count: int = 8) -> paddle.Tensor:
    rng = np.random.default_rng(seed)
    return paddle.to_tensor(rng.standard_normal((count, 100, 1, 1), dtype=np.float32))


def real(seed: int = 9, count: int = 8) -> paddle.Tensor:
    rng = np.random.default_rng(seed)
    return paddle.to_tensor(rng.uniform(-1, 1, (count, 1, 32, 32)).astype(np.float32))


def square(size: int = 2, count: int = 1) -> np.ndarray:
    """White squares in the middle of black pictures."""
    images = np.full((count, 1, 32, 32), -1, np.float32)
    images[:, :, 15 : 15 + size, 15 : 15 + size] = 1
    return images


def batch_of(step: int, count: int = 8) -> Batch:
    """A batch of noise in place of images, and digits in turn; the draws of a step of seed 0."""
    data = real(step, count), paddle.arange(count) % 10
    return Batch(data, np.arange(count), random_numbers(0, LATENT, step), step)


def batch_of_noise(game: Game, count: int, step: int) -> Batch:
    """The same for any family: `count` images for each of the batches that an update takes."""
    count *= game.batches
    images = np.random.default_rng(step).uniform(-1, 1, (count, *game.image)).astype(np.float32)
    data = paddle.to_tensor(images), paddle.arange(count) % 10
    return Batch(data, np.arange(count), random_numbers(0, LATENT, step), step)


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


@pytest.fixture(scope="session")
def real_cifar10() -> Path:
    """The folder of the real CIFAR-10; tests that need it are skipped by name without $CIFAR10_DIR."""
    folder = os.environ.get("CIFAR10_DIR")
    if not folder or not (Path(folder) / "cifar-10-batches-bin").is_dir():
        pytest.skip("needs the real CIFAR-10: set CIFAR10_DIR")
    return Path(folder)


def call(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run Python as a person would: without what setting up this process put into the environment."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**users_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def users_environment() -> dict[str, str]:
    untouched = {name: value for name, value in os.environ.items() if name not in USERS}
    return {**untouched, **{name: value for name, value in USERS.items() if value is not None}}


def here(main: Callable[[list[str]], int], *arguments: object) -> int:
    """The exit status of a command, called in this process: without the seconds that a new one takes to start.

    Paddle counts the layers made in a process, and what is saved has their names: here the count starts anew.
    """
    threads, device = cpu.threads, paddle.get_device()
    try:
        with unique_name.guard():
            return main([str(argument) for argument in arguments])
    except SystemExit as end:  # a bad flag, or --help
        return end.code
    finally:
        cpu.threads = threads
        paddle.set_device(device)


def train(family: str, *flags: object, device: str = "cpu") -> int:
    """The training of a family, or of the "toy", in this process; its exit status."""
    name, build = ("lsgan", toy.build) if family == "toy" else (family, builder(family))
    return here(lambda given: run(name, build, given), "--device", device, *flags)


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def say(capsys) -> Callable[..., Said]:
    """`say(command, *arguments)`: `command` called in this process, its exit status and what it said."""

    def called(command: Callable[..., int], *arguments: object) -> Said:
        capsys.readouterr()
        status = command(*arguments) if command is train else here(command, *arguments)
        return Said(status, *capsys.readouterr())

    return called


def check_refused(said: Said, words: str) -> None:
    """Status 2 and one line that has the `words`."""
    assert said.status == 2, said
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.fixture(scope="session")
def undisturbed(made_once) -> dict[str, str]:
    """The `result` of a run of the toy to which nothing happened."""

    def make(folder: Path) -> None:
        assert train("toy", *TOY, "--max-steps", STEPS, "--output-dir", folder) == 0
        assert steps_written(folder) == STEPS

    return result(made_once("undisturbed", make))


@pytest.fixture(scope="session")
def half_done(made_once) -> Path:
    """A run of the toy that was stopped after 120 steps and after 180, with a checkpoint of each."""

    def make(folder: Path) -> None:
        for steps in (120, 180):
            assert train("toy", *TOY, "--max-steps", steps, "--output-dir", folder, "--resume") == 0

    return made_once("half-done", make)


@pytest.fixture
def half(half_done, tmp_path) -> Path:
    """A copy of it to go on with or to damage."""
    return Path(shutil.copytree(half_done, tmp_path / "run"))


@pytest.fixture(scope="session")
def judged(made_once) -> Path:
    """A run of the toy of two epochs and a little, judged after each."""

    def make(folder: Path) -> None:
        assert train("toy", *JUDGED, "--output-dir", folder) == 0

    return made_once("judged", make)


@pytest.fixture(scope="session")
def reference() -> Reference:
    """scikit-learn's digits as their judge sees them."""
    images, _, checksum = data.load_labelled("digits", "train")
    return Reference("digits", images, checksum, data.load_labelled("digits", "test")[0])


@pytest.fixture(scope="session")
def run_dir(made_once) -> Path:
    """A short DCGAN run on digits, made once by the command itself."""

    def make(folder: Path) -> None:
        done = call(
            "-c", CHEAPER, ROOT / "dcgan/train.py", "--dataset", "digits", "--max-steps", "62", "--sample-every",
            "30", "--device", "cpu", "--output-dir", folder / "dcgan", cwd=folder, PYTHONPATH=str(ROOT),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (folder / "stdout.txt").write_text(done.stdout)
        (folder / "stderr.txt").write_text(done.stderr)

    return made_once("dcgan", make) / "dcgan"


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests that have no reason to start another."""
    if not (board.CHROMIUM and board.DRIVER):
        pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)")
    with board.browser() as started:
        yield started


@pytest.fixture
def driver(chromium):
    chromium.get_log("browser")  # what was there before
    yield chromium
    assert chromium.get_log("browser") == []  # no page may complain
