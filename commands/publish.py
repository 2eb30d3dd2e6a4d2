"""Make weights that others can use: `python -m commands.publish RUN_DIR FOLDER` writes its best generator with a card,
and the curves of its training in small."""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.evaluate import WEIGHTS, judge_runs, yardstick_table
from commands.results_summary import CURVE
from common.data import CLASSES
from common.errors import DONE, UserError
from common.files.atomic import write_all
from common.files.names import encoded
from common.files.weights import parse
from common.game import Game, Yardstick
from common.judging.tables import table
from common.language import _
from common.layers import Generator
from common.run.artifacts import as_json, as_params
from common.run.commandline import MOST_IMAGES, Parser, command, user_path, whole_number
from common.run.families import builder, script, title, usual_dataset
from common.run.flags import CARD, DATA_DIR_HELP, chosen_for, flag_of
from common.run.runs import how_made_square, load_config, load_game, load_losses, steps_of
from common.settings import settings_of

import numpy as np
from paddle import nn

SAFE = "generator.safetensors"
REAL = ("real, unseen", "real, a half")  # rows of the table, for the card
REAL_IMAGES = """The metrics, beside those of real test images; noise, too, gets 1.0 in "sure".
评估指标，以测试集真实图像为参照；噪声的高置信比例（sure）也是 1.0："""
# The files of the folder.
PUBLISHED = ("README.md", "config.json", "generator.params", SAFE, "losses.csv", "metrics.jsonl")


@command
def main(arguments: list[str] | None = None) -> int:
    """Write the generator of a run that the judge likes best to a folder of its own, with its settings, its curves in
    small and a card that says how it was made and how good it is. `python -m commands.sample FOLDER` draws with it.
    """
    parser = Parser(
        prog="python -m commands.publish",
        description=main.__doc__,
    )
    parser.add_argument(
        "run_dir", metavar="RUN_DIR", type=user_path, help="what a training run wrote, such as work/cgan"
    )
    parser.add_argument("folder", metavar="FOLDER", type=user_path, help="where to, such as zoo/pretrained/cgan")
    parser.add_argument("--note", default="", help='a line for the card: how these were chosen, "best of seeds 0 to 2"')
    parser.add_argument("--samples", type=whole_number(100, MOST_IMAGES), default=10_000, help="images that are judged")
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument("--overwrite", action="store_true", help="take the place of what was published there before")
    parser.add_argument(
        "--safetensors", action="store_true", help=f"write {SAFE} as well, which others can read without unpickling"
    )
    parser.add_argument(
        "--half", action="store_true", help="16 bits a weight: half the bytes, nearly the same pictures"
    )
    flags = parser.parse_args(arguments)
    if flags.safetensors and importlib.util.find_spec("safetensors") is None:
        raise UserError(_("--safetensors: this needs safetensors: pip install safetensors"))
    check_folder(flags.folder, flags.overwrite)

    run_dir, config = flags.run_dir, load_config(flags.run_dir)
    check_card(run_dir, config)
    losses = load_losses(run_dir)
    found = {file: (run_dir / file).read_bytes() for file in WEIGHTS if (run_dir / file).is_file()}
    if not found and "generator" in builder(config["family"])().networks:
        raise UserError(
            _("{run_dir}: no weights yet; wait for the first checkpoint, or stop the run, which saves", run_dir=run_dir)
        )
    if not found:
        values = {"run_dir": run_dir, "family": config["family"]}
        raise UserError(_("{run_dir}: {family} draws nothing from noise: there is no generator to publish", **values))
    by, rows, yardsticks = judge_runs([run_dir], flags.samples, data_dir=flags.data_dir)
    judged = {kind: rows[f"{run_dir} {kind}"] for kind in WEIGHTS.values() if f"{run_dir} {kind}" in rows}
    kind = min(judged, key=lambda name: judged[name]["frechet"])
    weights = run_dir / next(file for file, name in WEIGHTS.items() if name == kind)
    content = found[weights.name]
    if weights.read_bytes() != content:
        raise UserError(_("{path}: it changed while it was judged; wait for the run's end, or stop it", path=weights))
    state = parse(content, weights)
    if flags.half:
        state = halved(state)
        content = as_params(state)

    made = {**config, "steps": steps_of(losses), "sha256": hashlib.sha256(content).hexdigest()}
    figures = {f"its {kind} weights": judged[kind], **{name: rows[name] for name in REAL if name in rows}}
    file = SAFE if flags.safetensors else "generator.params"
    game = load_game(run_dir, weights.name)
    game.population(np.random.default_rng(0), 1)  # a family that finds the shares of its labels says them now
    program = plain_program(game, file, flags.half)
    own = yardsticks.get(f"{run_dir} {kind}", {})
    said = card(flags.folder, {**made, "chosen": flags.note, "judged": by}, figures, own, program)
    given = {**config["flags"], "data_dir": None, "output_dir": f"work/{config['family']}"}  # nobody's paths
    kept = {**config, "flags": given, "note": "", "label_shares": game.label_shares}
    files = {"config.json": as_json(kept), "generator.params": content}
    files |= {"README.md": encoded(said), "losses.csv": curves(losses)}
    if flags.safetensors:
        files[SAFE] = safetensors({**made, "chosen": flags.note, "frechet": judged[kind]["frechet"]}, state)
    if (run_dir / "metrics.jsonl").exists():
        files["metrics.jsonl"] = (run_dir / "metrics.jsonl").read_bytes()
    check_folder(flags.folder, flags.overwrite)  # again: to judge took a while
    write_all({flags.folder / name: written for name, written in files.items()})
    for name in {*PUBLISHED} - {*files}:  # this run has none
        (flags.folder / name).unlink(missing_ok=True)
    print(f"{flags.folder}: the {kind} weights, Fréchet distance {judged[kind]['frechet']:.2f}")
    return DONE


def check_card(run_dir: Path, config: dict[str, Any]) -> None:
    """Raise `UserError` where a `config.json` does not say what the card does."""
    versions = config.get("versions")
    parts = {
        ("dataset", "checksum", "device"): config,
        ("seed", "batch_size", "epochs"): config.get("flags", {}),
        ("paddle",): versions if isinstance(versions, dict) else {},
    }
    missing = [name for names, part in parts.items() for name in names if name not in part]
    if missing:
        values = {"path": run_dir / "config.json", "names": ", ".join(missing)}
        raise UserError(_("{path}: no {names}; publish a run as its training left it", **values))


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise `UserError` where something is there that would be lost, or stand beside what it has nothing to do with."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(_("{folder}: {there} is no folder; name a new one", folder=folder, there=there))
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in found if name not in PUBLISHED]
    if others:
        values = {"folder": folder, "name": others[0]}
        raise UserError(_("{folder}: it holds {name}, which was not published; name a new folder", **values))
    if found and not overwrite:
        raise UserError(
            _("{folder}: weights were published there before; name a new folder, or --overwrite them", folder=folder)
        )


def halved(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict with its float32 tensors as float16, which `load_into` makes float32 again."""
    single = {name for name, value in state.items() if isinstance(value, np.ndarray) and value.dtype == np.float32}
    return {name: value.astype(np.float16) if name in single else value for name, value in state.items()}


def curves(losses: dict[str, np.ndarray]) -> bytes:
    """A `losses.csv` with one row for each 100 steps: the means, and the last of these steps. Of a run that was
    published before, whose rows are such means, they stay."""
    rows, count = [], len(losses["step"])
    each = CURVE if count > -(-steps_of(losses) // CURVE) else 1
    for start in range(0, count, each):
        part = slice(start, start + each)
        counted = [f"{losses[name][part][-1]:.0f}" for name in ("step", "epoch", "batch")]
        rows.append(counted + [f"{values[part].mean():.5g}" for values in list(losses.values())[3:]])
    return "".join(",".join(row) + "\n" for row in [list(losses), *rows]).encode()


def recipe(config: dict) -> str:
    """The command of a run: its seed, its length, and what else was not left at its default."""
    family, flags = config["family"], config["flags"]
    words = [f"--seed {flags['seed']}", f"--batch-size {flags['batch_size']}", f"--epochs {flags['epochs']}"]
    words += [f"--max-steps {flags['max_steps']}"] if flags.get("max_steps") else []
    words += [f"--dataset {config['dataset']}"] if config["dataset"] != usual_dataset(builder(family)) else []
    if config["dataset"] == "folder":
        background, pad = how_made_square(config)
        words += ["--data-dir FOLDER"] + ["--pad"] * pad
        words += [f"--background {shlex.quote(background)}"] if background != "white" else []
    words += ["--linear-decay"] if flags.get("linear_decay") else []
    words += ["--sync-batchnorm"] if flags.get("sync_batchnorm") else []
    settings = settings_of(builder(family))
    chosen = chosen_for(config["dataset"], settings)
    for setting in settings:
        value = flags.get(setting.name, setting.default)  # earlier runs lack what came later
        if value is not None and (value != setting.default or chosen.get(setting.name, value) != value):
            words.append(flag_of(setting.name) if value is True else f"{flag_of(setting.name)} {value}")
    several = config.get("processes", 1)  # earlier runs do not say
    launcher = f" -m paddle.distributed.launch --nproc_per_node {several}" if several > 1 else ""
    launcher += " --backend gloo" if several > 1 and config["device"] == "cpu" else ""
    return f"python{launcher} {script(family).as_posix()} {' '.join(words)}"


def safetensors(made: dict, state: dict[str, Any]) -> bytes:
    """The tensors of a state dict in the format safetensors, with what the card says of them as its metadata."""
    from safetensors.numpy import save  # only this needs it

    tensors = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    facts = ("family", "dataset", "checksum", "steps", "frechet", "chosen", "sha256")
    said = {"format": "np", "licence": "Apache-2.0", "recipe": recipe(made), "paddle": made["versions"]["paddle"]}
    return save(tensors, {**said, **{name: str(made[name]) for name in facts if made[name] != ""}})


def plain_program(game: Game, file: str, half: bool = False) -> str:
    """A program for the card that draws with `file` and plain Paddle; "" for a generator that is not DCGAN's, or is
    drawn from something else than normal noise and a digit."""
    generator, labels = game.networks["generator"], CLASSES if game.condition == "digit" else 0
    if not isinstance(generator, Generator) or game.noise != "normal":
        return ""
    channels, height, width = generator.image
    shapes = [layer.weight.shape for layer in generator.gen if isinstance(layer, nn.Conv2DTranspose)]
    inputs, sizes = (
        shapes[0][0],
        [(*shape[:2], 4, 2, 1) if index else (*shape[:2], 4) for index, shape in enumerate(shapes)],
    )
    if inputs != game.latent_dim + labels:
        return ""
    load, read = "", f'paddle.load("{file}")'
    if file == SAFE:
        load, read = "from safetensors.numpy import load_file\n", f'load_file("{file}")'
    if half:
        read = f'{{name: value.astype("float32") for name, value in {read}.items()}}'
    asked = f"""digits = nn.functional.one_hot(paddle.arange(64) % {game.classes}, 10)
z = paddle.concat([z, digits.reshape([64, 10, 1, 1])], 1)
"""
    return f"""import paddle
from paddle import nn
{load}
layers, sizes = [], {sizes}
for size in sizes:
    layers += [nn.Conv2DTranspose(*size, bias_attr=False), nn.BatchNorm2D(size[1]), nn.ReLU()]
layers[-2:] = [nn.Tanh()]
generator = nn.Sequential(("gen", nn.Sequential(*layers)))
generator.set_state_dict({read})
generator.eval()
z = paddle.randn([64, {game.latent_dim}, 1, 1])
{asked if labels else ""}images = generator(z)  # [64, {channels}, {height}, {width}] in [-1, 1]
"""


def card(
    folder: Path, made: dict, figures: dict[str, dict], yardsticks: dict[str, Yardstick], program: str = ""
) -> str:
    """What a reader must know of published weights.

    Args:
        made: the run's `config.json`, its `steps`, the `sha256` of the weights, how they were `chosen`, or "", and what
            `judged`, in words.
        figures: rows of metrics, for `table`.
        yardsticks: the family's own.
        program: `plain_program`.
    """
    family, flags = made["family"], made["flags"]
    note = " ".join(made["chosen"].split()).replace("|", "\\|")  # it stands in a cell
    chosen = f"| chosen · 选择 | {note} |\n" if note else ""
    own = f"\n{yardstick_table({'these weights': yardsticks})}\n" if yardsticks else ""
    beside = REAL_IMAGES
    if made["dataset"] == "folder":
        beside = f"The metrics are of {made['judged']}.\n评估指标只能用来比较同一批图片上的训练："
    alone = f"\nWithout this repository, in this folder · 不依赖本仓库，在本文件夹里：\n\n```python\n{program}```\n"
    return f"""# {title(family)}, {CARD}

```bash
python -m commands.sample {shlex.quote(folder.as_posix())} --out grid.png
```
{alone if program else ""}
| | |
| --- | --- |
| network · 网络 | the generator of `{script(family).as_posix()}` |
| data · 数据 | {made["dataset"]}, training images ({made["checksum"]}) |
| settings · 超参数 | `{recipe(made)}`: {made["steps"]:,} updates of {flags["batch_size"]} images |
{chosen}| Paddle | {made["versions"]["paddle"]}, {made["device"]} |
| SHA-256 | `{made["sha256"]}` |
| licence · 许可证 | Apache-2.0 |

{beside}

{table(figures)}
{own}
It generates what is in its data set and nothing else; made for teaching. · 只能生成数据集里有的内容，供教学使用。
"""


if __name__ == "__main__":
    sys.exit(main())
