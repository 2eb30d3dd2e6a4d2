"""Take a generator elsewhere: `python -m commands.export RUN_DIR --format onnx|paddle|html --out …`.

What is written is run at once, and its pictures are compared with the network's. Where they differ nothing is kept.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.export_page import PRECISIONS, described, judge_of, leaves, principal, replay
from common.data import CLASSES
from common.errors import DONE, UserError
from common.files.atomic import write_all
from common.game import Game
from common.run.commandline import Parser, command, user_path
from common.run.families import title
from common.run.runs import best_weights, labels, load_config, load_game

import numpy as np
import paddle
from paddle import Tensor, inference, nn

COUNT = 64  # latent vectors that what was written is tried on
# How far apart pictures in [-1, 1] may be: by the same numbers; by those in another order; by rounded ones.
EXACT, SAME, CLOSE = 1e-5, 1e-4, 1e-2
PATIENCE = 300  # seconds for a browser
MAX_BYTES = 6 * 2**20  # of a page
NEEDED = {"onnx": ("paddle2onnx", "onnxruntime")}  # packages
JUDGED = ("mnist", "digits")  # data sets whose judge goes into the page: both of grey digits
TEMPLATE = Path(__file__).with_name("export_page.html")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ANSWER = re.compile(r'<pre id="answer">([^<]*)</pre>')


class Trained(NamedTuple):
    """A trained generator and what it draws: `latent [64, D, 1, 1]` to `pictures [64, C, H, W]`."""

    game: Game
    run_dir: Path
    config: dict[str, Any]
    latent: np.ndarray
    pictures: np.ndarray

    @property
    def network(self) -> nn.Layer:
        """The generator."""
        return self.game.networks["generator"]


@command
def main(arguments: list[str] | None = None) -> int:
    """Write a trained generator for use without this repository. What is written is run at once on 64 latent vectors,
    and kept only if it draws the network's pictures.
    """
    parser = Parser(prog="python -m commands.export", description=main.__doc__)
    add = parser.add_argument
    add("run_dirs", metavar="RUN_DIR", type=user_path, nargs="+", help="what a training run wrote; several for html")
    add("--format", choices=FORMATS, required=True, help="onnx; paddle, for Paddle Inference; html, a page")
    add("--weights", help="which file of the run, as for commands.sample (default: the best there is)")
    add("--out", type=user_path, required=True, help="a name that ends in .onnx or .html; a folder for paddle")
    flags = parser.parse_args(arguments)
    if len(flags.run_dirs) > 1 and flags.format != "html":
        raise UserError(f"--format {flags.format} takes one RUN_DIR; only html shows several")
    if flags.format != "paddle" and flags.out.suffix != f".{flags.format}":
        raise UserError(f"--out {flags.out}: expected a name that ends in .{flags.format}")
    if not flags.out.absolute().parent.is_dir():
        raise UserError(f"{flags.out}: there is no folder {flags.out.parent}")
    expected = "folder" if flags.format == "paddle" else "file"
    if flags.out.exists() and flags.out.is_dir() != (expected == "folder"):
        raise UserError(f"--out {flags.out}: expected a {expected}; name another")
    missing = [name for name in NEEDED.get(flags.format, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"needs {' and '.join(missing)}: pip install -r requirements-export.txt (Python up to 3.12)")
    paddle.set_device("cpu")  # as what runs it here; a GPU may multiply with fewer digits than are compared
    trained = [load_trained(run_dir, flags.weights or best_weights(run_dir)) for run_dir in flags.run_dirs]
    with tempfile.TemporaryDirectory(prefix="export-") as scratch:
        said = FORMATS[flags.format](trained, Path(scratch))
        made = sorted(Path(scratch).glob("generator.*"))
        size = sum(path.stat().st_size for path in made)
        write_all({flags.out / path.name if expected == "folder" else flags.out: path.read_bytes() for path in made})
    print(f"{flags.out}: {size / 1e6:.1f} MB, {said}")
    return DONE


def load_trained(run_dir: Path, weights: str) -> Trained:
    """A run's generator and what it draws.

    Raises:
        UserError: what `load_game` raises, or the family draws from anything but a latent vector.
    """
    game, config = load_game(run_dir, weights), load_config(run_dir)
    if "generator" not in game.networks:
        raise UserError(f"{run_dir}: {config['family']} draws nothing from noise: there is nothing to export")
    latent = game.latent(np.random.default_rng(0), COUNT)
    if latent.ndim != 4 or latent.shape[2:] != (1, 1):
        raise UserError(f"{run_dir}: {config['family']} does not draw from a latent vector: there is nothing to export")
    game.networks["generator"].eval()
    return Trained(game, run_dir, config, latent, game.sample(latent))


def furthest(apart: np.ndarray) -> float:
    """The largest of the differences `[64, C, H, W]` of single pixels."""
    return np.abs(apart).max()


def furthest_picture(apart: np.ndarray) -> float:
    """The largest of the pictures' root mean squares."""
    return np.sqrt((apart**2).mean(axis=tuple(range(1, apart.ndim)))).max()


def compare(
    drawn: np.ndarray, trained: Trained, limit: float, what: str, measure: Callable[[np.ndarray], float] = furthest
) -> str:
    """How far apart the pictures `drawn [64, C, H, W]` and the network's are, in words; raises `UserError` where that
    is more than `limit`."""
    apart = measure(drawn - trained.pictures) if drawn.shape == trained.pictures.shape else np.inf
    if not apart <= limit:  # nor if it is not a number
        raise UserError(f"not kept: {what} and {trained.run_dir} draw pictures {apart:.1e} apart, more than {limit:g}")
    return f"{apart:.1e}"


def to_paddle(trained: list[Trained], folder: Path) -> str:
    """Write `generator.json` (Paddle 2: `.pdmodel`) and `.pdiparams` for Paddle Inference."""
    network, latent = trained[0].network, trained[0].latent
    apart = compare(infer(*save_graph(network, latent, folder), latent), trained[0], EXACT, "Paddle Inference")
    return f"at most {apart} from the network by Paddle Inference"


def save_graph(network: nn.Layer, latent: np.ndarray, folder: Path) -> tuple[Path, Path]:
    """`network` as a graph of Paddle for any number of such latent vectors: its program and its weights."""
    shape = [None, *latent.shape[1:]]
    paddle.jit.save(network, str(folder / "generator"), [paddle.static.InputSpec(shape, "float32", "latent")])
    program = next(path for path in map(folder.joinpath, ("generator.json", "generator.pdmodel")) if path.exists())
    return program, folder / "generator.pdiparams"


def infer(program: Path, weights: Path, latent: np.ndarray) -> np.ndarray:
    """What Paddle Inference draws of `latent [N, D, 1, 1]`: `[N, C, H, W]`."""
    config = inference.Config(str(program), str(weights))
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    given = predictor.get_input_handle(predictor.get_input_names()[0])
    given.reshape(latent.shape)
    given.copy_from_cpu(latent)
    predictor.run()
    return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()


class Steeper(nn.Layer):
    """LeakyReLU in operations that paddle2onnx 2.1 gets right: it writes the slope of a LeakyReLU
    as a number that has nothing to do with it, such as 2e-43."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """The larger one of `x` and `slope * x`, for slopes of at most 1."""
        return paddle.maximum(x, self.slope * x)


def to_onnx(trained: list[Trained], folder: Path) -> str:
    """Write `generator.onnx`."""
    import onnxruntime  # these two are needed here only, and `main` has seen that they are there
    import paddle2onnx

    network = copy.deepcopy(trained[0].network)
    for layer in network.sublayers(include_self=True):
        for name, child in layer.named_children():
            if isinstance(child, nn.LeakyReLU):
                layer.add_sublayer(name, Steeper(child._negative_slope))
    program, weights = save_graph(network, trained[0].latent, folder / "graph")
    content = paddle2onnx.export(str(program), str(weights), None, opset_version=13, verbose=False)
    if not content:
        raise UserError("not kept: paddle2onnx could not write it; what it said stands above")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: it would name what it can do without
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (drawn,) = session.run(None, {session.get_inputs()[0].name: trained[0].latent})
    apart = compare(drawn, trained[0], EXACT, "onnxruntime")
    (folder / "generator.onnx").write_bytes(content)
    return f"at most {apart} from the network by onnxruntime"


def to_html(trained: list[Trained], folder: Path) -> str:
    """Write `generator.html`: the page of `export_page.html` with the weights inside."""
    models, rounded, apart = zip(*map(model, trained))
    for made, label in zip(models, labels([each.run_dir for each in trained])):
        if sum(title(other.config["family"]) == made["name"] for other in trained) > 1:
            made["name"] += f" · {label}"
    sets = {each.config.get("dataset", "mnist") for each in trained}
    judged = len(sets) == 1 and sets <= {*JUDGED} and all(each.game.image == (1, 32, 32) for each in trained)
    judge = judge_of(*sets, np.concatenate([each.pictures for each in rounded])) if judged else None
    data = json.dumps({"models": models, "judge": judge}).replace("<", "\\u003c")  # a name could end the script
    page = TEMPLATE.read_text(encoding="utf-8")
    for mark, tag in (("@SCRIPT@", "script"), ("@STYLE@", "style")):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        page = page.replace(mark, f"sha256-{digest}", 1)
    content = page.replace("@DATA@", data, 1).encode()
    if len(content) > MAX_BYTES:
        raise UserError(
            f"not kept: a page of {len(content) / 2**20:.1f} MB, at most {MAX_BYTES >> 20}: name fewer or smaller runs"
        )
    (path := folder / "generator.html").write_bytes(content)
    if CHROMIUM is None:
        return f"{'; '.join(apart)}; there is no Chromium here to try the page itself in"
    drawn = zip(in_browser(path, trained), rounded)
    same = [compare(*each, SAME, "the page in Chromium") for each in drawn]
    return f"{'; '.join(apart)}; by these weights Chromium draws the same to {', '.join(same)}"


def model(trained: Trained) -> tuple[dict[str, Any], Trained, str]:
    """A generator as the page wants it, what it then draws, and how far that is from the network's, in words.

    Its weights get the fewest bits by which the pictures stay within 1e-2. With eight bits that is each picture's
    root mean square: single pixels at the edge of a stroke differ more than with 16, and nobody sees them.

    Raises:
        UserError: it is not one chain of layers that the page knows, or is fed something else than noise and a label.
    """
    game, run_dir = trained.game, trained.run_dir
    noise = np.random.default_rng(0).standard_normal((COUNT, game.latent_dim, 1, 1), dtype=np.float32)
    classes = CLASSES if game.condition == "digit" else 0  # numbers of a label; of one's own there may be fewer labels
    hot = np.eye(CLASSES, dtype=np.float32)[np.arange(COUNT) % game.classes][:, :classes, None, None]
    if not np.array_equal(trained.latent, np.concatenate([noise, hot], axis=1)):
        raise UserError(f"{run_dir}: the page feeds normal noise and a label only, not so {trained.config['family']}")
    for precision in PRECISIONS:
        layers = leaves(copy.deepcopy(trained.network))
        whole = [described(layer, precision) for layer in layers]
        drawn = replay(layers, trained.latent, precision)
        measure = furthest_picture if precision == "int8" else furthest
        try:
            apart = compare(drawn, trained, CLOSE, f"the page by {precision}", measure)
            break
        except UserError:
            if precision == "float32":
                raise
    first = next(layer for layer in layers if getattr(layer, "weight", None) is not None)
    made = {
        "name": title(trained.config["family"]),
        "image": game.image,
        "dim": game.latent_dim,
        "classes": classes,
        "labels": min(classes, game.classes),
        "precision": precision,
        "directions": principal(first.weight.numpy(), game.latent_dim),
        "layers": whole,
    }
    largest = f", a pixel at most {furthest(drawn - trained.pictures):.1e}" if precision == "int8" else ""
    said = f"{made['name']} by {precision}, a picture at most {apart} from the network's{largest}"
    return made, trained._replace(pictures=drawn), said


def in_browser(page: Path, trained: list[Trained]) -> list[np.ndarray]:
    """The pictures that the page draws in Chromium of the latent vectors of seed 0, `[64, C, H, W]` of each.

    Raises:
        UserError: the page draws nothing.
    """
    profile = tempfile.mkdtemp(prefix="export-")
    try:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it has none for root
        flags = ["--headless", *root, "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}", "--dump-dom"]
        call = [CHROMIUM, *flags, f"{page.as_uri()}#check=0"]
        done = subprocess.run(call, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"not kept: {CHROMIUM} did not show the page in {PATIENCE} seconds") from error
    finally:
        shutil.rmtree(profile, ignore_errors=True)  # Chromium's children may still write to it
    found = ANSWER.search(done.stdout.decode(errors="replace"))
    if not found:
        raise UserError(f"not kept: {CHROMIUM} ended with {done.returncode}, and the page drew nothing in it")
    drawn = []
    for line, each in zip(found.group(1).split("\n"), trained):
        channels, height, width = each.game.image
        pictures = np.frombuffer(b"".join(map(base64.b64decode, line.split())), np.float32)
        drawn.append(pictures.reshape(COUNT, height, width, channels).transpose(0, 3, 1, 2))
    return drawn


FORMATS = {"onnx": to_onnx, "paddle": to_paddle, "html": to_html}

if __name__ == "__main__":
    sys.exit(main())
