"""Read back what a training run wrote."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from common.data import CLASSES, DATASETS, Dataset, load
from common.errors import UserError
from common.files.weights import load_into
from common.game import Game
from common.judging.tables import COLUMNS
from common.language import _
from common.run.families import ROOT, assignment, builder, families, script
from common.run.logs import PLACE, read_lines, read_losses
from common.run.words import typed
from common.settings import Setting, settings_of

import numpy as np
from paddle import nn
from PIL import ImageColor


def load_config(run_dir: Path) -> dict[str, Any]:
    """The `config.json` of a run or of a `pretrained` folder; a stranger may have written it.

    Raises:
        UserError: it is not there, damaged, or names a family that this repository does not have.
    """
    path = run_dir / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))  # Notepad's mark
    except OSError as error:
        values = {"path": path, "reason": error.strerror, "way_out": way_out(run_dir)}
        raise UserError(_("{path}: {reason}; {way_out}", **values)) from error
    except (ValueError, RecursionError) as error:
        values = {"path": path, "error": error}
        raise UserError(_("{path}: not JSON ({error}); the folder's run must be repeated", **values)) from error
    family = config.get("family") if isinstance(config, dict) else None
    if family not in families():
        values = {"path": path, "family": family, "known": ", ".join(families())}
        raise UserError(
            _("{path}: family is {family!r}, expected one of {known}; name a folder that a training wrote", **values)
        )
    scores = config.get("scores")
    right = {
        "flags": isinstance(config.get("flags", {}), dict),
        "dataset": config.get("dataset", "mnist") in DATASETS,
        "checksum": isinstance(config.get("checksum"), (str, type(None))),
        "scores": are_scores(scores),
        "classes": are_classes(config.get("classes", [])),
        "label_shares": are_shares(config.get("label_shares", [])),
        "processes": type(config.get("processes", 1)) is int,
    }
    for name in right:
        if not right[name]:
            values = {"path": path, "name": name, "value": config[name]}
            raise UserError(_("{path}: {name} is {value!r}, which cannot be", **values))
    return {**config, "scores": scores}


def are_scores(found: object) -> bool:
    """Whether this is what D is taught to answer for fake and for real images, or None."""
    numbers = isinstance(found, list) and len(found) == 2 and all(map(is_number, found))
    return found is None or (numbers and max(map(abs, found)) < 1e6)  # what can be drawn


def is_number(found: object) -> bool:
    """Whether this is a number that a float can hold, not NaN, and no Boolean."""
    return type(found) in (int, float) and abs(found) <= sys.float_info.max


def are_shares(found: object) -> bool:
    """Whether these are the shares of labels, or none."""
    numbers = isinstance(found, list) and all(is_number(share) and share >= 0 for share in found)
    return numbers and (not found or (2 <= len(found) <= CLASSES and abs(sum(found) - 1) < 1e-6))


def are_classes(found: object) -> bool:
    """Whether these are names of one's own classes, or none."""
    names = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return names and (not found or 2 <= len(found) <= CLASSES)


def way_out(run_dir: Path) -> str:
    """What to do where a run is not there: in `work/NAME`, to train that family, or take our weights of it."""
    family = run_dir.name
    if run_dir.parent.name != "work" or family not in families():
        return _("name a folder that a training wrote, such as work/dcgan")
    train = _("train it first: {command}", command=f"python {script(family).as_posix()}")
    train += "" if run_dir == Path("work", family) else f" --output-dir {typed(run_dir, Path.cwd())}"
    weights = script(family).parent / "pretrained" / ("" if family in assignment() else family)
    ours = _("; or take our weights, {folder}", folder=weights.as_posix())
    return train + ours if (ROOT / weights).is_dir() else train


MOST = 2**31 - 1  # steps, epochs and batches, as of the flags


def steps_of(losses: dict[str, np.ndarray]) -> int:
    """How many updates a run's losses are of; the rows of published ones are of many each."""
    return int(losses["step"][-1]) + 1


def load_losses(run_dir: Path) -> dict[str, np.ndarray]:
    """The columns of a run's `losses.csv`, of as many steps as are there: the run may still be going.

    Raises:
        UserError: it is not there or is no table of losses.
    """
    path = run_dir / "losses.csv"
    try:
        header, rows = read_losses(path)
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
        if not (np.abs(table[:, [name in PLACE for name in header]]) <= MOST).all():  # nor is NaN
            raise ValueError(_("a step, an epoch or a batch is no number of one"))
    except OSError as error:
        values = {"reason": error.strerror, "way_out": _("name a folder that a training wrote, such as work/dcgan")}
        raise UserError(_("{path}: {reason}; {way_out}", path=path, **values)) from error
    except ValueError as error:
        raise UserError(_("{path}: not a table of losses ({error})", path=path, error=error)) from error
    if not rows or not any(name.startswith("loss") for name in header):
        raise UserError(_("{path}: no losses in it yet; wait for the run's first steps", path=path))
    columns = dict(zip(header, table[table[:, header.index("step")].argsort(kind="stable")].T))  # somebody sorted it
    return {name: columns[name] for name in [*PLACE, *(name for name in header if name not in PLACE)]}


def load_rows(run_dir: Path) -> list[dict[str, float]]:
    """The rows of a run's `losses.csv`, steps as whole numbers; none where there is none of them."""
    try:
        losses = load_losses(run_dir)
    except UserError:
        return []
    steps = losses.pop("step").astype(int).tolist()
    return [{"step": step, **dict(zip(losses, values))} for step, *values in zip(steps, *losses.values())]


def load_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The whole judgements in a run's `metrics.jsonl`, oldest first; none where there is no such file."""
    kinds = ("raw", "ema")
    judged = [line for line in _logged(run_dir) if "raw" in line and type(line.get("epoch")) is int]
    return [line for line in judged if all(is_judged(line[kind]) for kind in kinds if kind in line)]


def is_judged(metrics: object) -> bool:
    """Whether these are metrics of some images: the distance, and all others that a run of this version or an earlier
    one has, are numbers."""
    if not isinstance(metrics, dict) or "frechet" not in metrics:
        return False
    values = [metrics[name] for name in COLUMNS if name in metrics]
    return all(map(is_number, values))


def load_troubles(run_dir: Path) -> list[dict[str, Any]]:
    """What the health watch said in a run's `metrics.jsonl`: `step`, `trouble` and `advice`, oldest first."""
    return [line for line in _logged(run_dir) if isinstance(line.get("trouble"), str)]


def _logged(run_dir: Path) -> list[dict[str, Any]]:
    try:
        return read_lines((run_dir / "metrics.jsonl").read_bytes())
    except OSError:
        return []


def best_distance(run_dir: Path, judge: str) -> float:
    """The least Fréchet distance among a run's judgements by `judge`, its checksum, infinite where there are none."""
    judgements = by_judge(load_metrics(run_dir), judge)
    return min(
        (line[kind]["frechet"] for line in judgements for kind in ("raw", "ema") if kind in line), default=np.inf
    )


def by_judge(judgements: list[dict[str, Any]], judge: str | None) -> list[dict[str, Any]]:
    """Those by `judge`, its checksum: another judge's distances are on another scale. Earlier versions did not say
    whose they are: they count."""
    return [line for line in judgements if line.get("judge", judge) == judge]


def best_weights(run_dir: Path) -> str:
    """The file with the best generator that is there: that of the epoch which the judge liked most, else the last."""
    return "generator_best.params" if (run_dir / "generator_best.params").is_file() else "generator.params"


class AbsentError(UserError):
    """Something was asked of a network whose weights are not there."""


def load_game(run_dir: str | Path, weights: str = "generator.params") -> Game:
    """The game of a run with its trained generator, ready to `sample`; its other networks are loaded where they are
    there, else whatever uses them raises `AbsentError`.

    Args:
        run_dir: what a training run wrote, or a `pretrained` folder.
        weights: which of its files to load into the generator.

    Raises:
        UserError: the folder is no run's, or its weights are missing, damaged, unsafe or another network's.
    """
    run_dir = Path(run_dir)
    config = load_config(run_dir)
    build = builder(config["family"])
    kept = dict(config.get("flags", {}))
    if kept.get("channels", 0) is None:  # earlier versions wrote it of every run
        del kept["channels"]
    settings = {s.name: checked(s, kept[s.name], run_dir) for s in settings_of(build) if s.name in kept}
    game = build(**settings)
    game.classes = len(config.get("classes", [])) or game.classes
    game.label_shares = tuple(config.get("label_shares", ()))
    for name, network in game.networks.items():
        path = run_dir / (weights if name == "generator" else f"{name}.params")
        if name == "generator" or "generator" not in game.networks or path.exists():
            load_into(network, path)
        else:
            refuse_use(network, path)
    return game


def refuse_use(network: nn.Layer, path: Path) -> None:
    """Let whatever uses a network, whose weights would be in `path`, raise `AbsentError`: untrained it would answer
    anything."""

    def absent(*_args: Any, **_kwargs: Any) -> None:
        raise AbsentError(
            _("{path}: not there, and this needs it; take the run itself, not what was published of it", path=path)
        )

    for layer in network.sublayers(include_self=True):
        layer.forward = layer.parameters = absent


def own_pictures(config: dict[str, Any], image: tuple[int, int, int], data_dir: str | Path | None = None) -> Dataset:
    """One's own pictures, those that the run of `config` was trained on or, in `data_dir`, others, read as it did.

    Raises:
        UserError: the `config` names no folder, or there is none (any more).
    """
    named, (background, pad) = data_dir or config.get("flags", {}).get("data_dir"), how_made_square(config)
    if not isinstance(named, (str, Path)):
        raise UserError(_("--data-dir: this run was trained on somebody's own pictures; name a folder of such ones"))
    return load("folder", named, image, background=background, pad=pad)


def how_made_square(config: dict[str, Any]) -> tuple[str, bool]:
    """The `--background` and `--pad` of a run, whose `config.json` a stranger may have written."""
    kept = config.get("flags", {})
    background, pad = kept.get("background", "white"), kept.get("pad", False)
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # of what is no colour, or no text
        ImageColor.getrgb(background)
        if isinstance(pad, bool):
            return background, pad
    values = {"background": background, "pad": pad}
    raise UserError(_("config.json: background is {background!r} and pad {pad!r}, which cannot be", **values))


def each_once(run_dirs: list[Path]) -> list[Path]:
    """The runs without those that stand there again."""
    return list({run_dir.resolve(): run_dir for run_dir in run_dirs}.values())


def labels(run_dirs: list[Path]) -> list[str]:
    """The ends of the paths of different runs, as short as they are told apart by."""
    parts = [run_dir.resolve().parts for run_dir in run_dirs]
    lengths = range(1, max(map(len, parts)) + 1)
    length = next(n for n in lengths if len({part[-n:] for part in parts}) == len(set(parts)))
    return ["/".join(part[-length:]) for part in parts]


def checked(setting: Setting, value: Any, run_dir: Path) -> Any:
    """A setting of a run's `config.json`, which a stranger may have written; raises `UserError` where it cannot be."""
    if setting.choices:
        right = type(value) is setting.type and value in setting.choices
    elif setting.type is bool:
        right = isinstance(value, bool)
    else:
        numbers = (int, float) if setting.type is float else int
        is_number = isinstance(value, numbers) and not isinstance(value, bool)
        right = is_number and setting.range.low <= value < setting.range.high
    if not right and not (value is None and setting.default is None):
        values = {"path": run_dir / "config.json", "name": setting.name, "value": value}
        raise UserError(_("{path}: {name} is {value!r}, which cannot be", **values))
    return value
