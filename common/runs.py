"""Read back what a training run wrote."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import UserError

if TYPE_CHECKING:
    from common.gan import GAN

ROOT = Path(__file__).resolve().parents[1]


def families() -> list[str]:
    """The folders of this repository that hold a GAN: those with a `model.py` and a `train.py`."""
    return sorted(path.parent.name for path in ROOT.glob("*/train.py") if path.with_name("model.py").is_file())


def load_config(run_dir: Path) -> dict[str, Any]:
    """The `config.json` of a run or of a `pretrained` folder.

    Raises:
        UserError: it is not there, damaged, or names a family that this repository does not have.
    """
    path = run_dir / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a folder that a train.py wrote, such as work/dcgan") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); the folder's run must be repeated") from error
    family = config.get("family") if isinstance(config, dict) else None
    if family not in families():
        raise UserError(f"{path}: family is {family!r}, expected one of {', '.join(families())}")
    return config


def load_losses(run_dir: Path) -> dict[str, np.ndarray]:
    """The columns of a run's `losses.csv`, of as many steps as are there: the run may still be going.

    Raises:
        UserError: it is not there or is no table of losses.
    """
    path = run_dir / "losses.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        rows = [row for row in rows if len(row) == len(header)]  # the last line may be half written
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a folder that a train.py wrote, such as work/dcgan") from error
    except ValueError as error:
        raise UserError(f"{path}: not a table of losses ({error})") from error
    if not rows or not {"step", "loss_d", "loss_g"} <= set(header):
        raise UserError(f"{path}: no losses in it yet; wait for the run's first steps")
    return dict(zip(header, table.T))


def load_rows(run_dir: Path) -> list[dict[str, float]]:
    """The rows of a run's `losses.csv`, steps as whole numbers."""
    losses = load_losses(run_dir)
    steps = losses.pop("step").astype(int).tolist()
    return [{"step": step, **dict(zip(losses, values))} for step, *values in zip(steps, *losses.values())]


def load_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The judgements in a run's `metrics.jsonl`, oldest first; none where there is no such file."""
    return [line for line in _logged(run_dir) if "raw" in line]


def load_troubles(run_dir: Path) -> list[dict[str, Any]]:
    """What the health watch said in a run's `metrics.jsonl`: `step`, `trouble` and `advice`, oldest first."""
    return [line for line in _logged(run_dir) if "trouble" in line]


def _logged(run_dir: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    except ValueError as error:
        raise UserError(f"{run_dir / 'metrics.jsonl'}: damaged ({error})") from error


def best_distance(run_dir: Path) -> float:
    """The least Fréchet distance among a run's judgements, infinite where there are none."""
    judgements = load_metrics(run_dir)
    return min((found[name]["frechet"] for found in judgements for name in ("raw", "ema")), default=float("inf"))


def load_gan(run_dir: Path, weights: str = "generator.params") -> GAN:
    """The GAN of a run with its trained generator, ready to `sample`.

    Args:
        run_dir: what a training run wrote, or a `pretrained` folder.
        weights: which of its files to load into the generator.

    Raises:
        UserError: the folder is no run's, or its weights are missing, damaged, unsafe or another network's.
    """
    from common.weights import load_into

    family = load_config(run_dir)["family"]
    gan = importlib.import_module(f"{family}.train").build()
    load_into(gan.networks["generator"], run_dir / weights)
    return gan
