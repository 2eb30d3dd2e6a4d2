"""Make weights that others can use: `python -m common.publish RUN_DIR FOLDER` writes its best generator with a card."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from common.errors import DONE, Parser, UserError, command, whole_number
from common.evaluate import WEIGHTS, judge_runs
from common.game import Yardstick
from common.judging.tables import table, yardstick_table
from common.run.artifacts import atomic, save_json
from common.run.families import script, title
from common.run.flags import DATA_DIR_HELP
from common.run.runs import load_config, load_rows


@command
def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        prog="python -m common.publish",
        description="Write the generator of a run that the judge likes best to a folder of its own, with its settings "
        "and a card that says how it was made and how good it is. `python -m common.sample FOLDER` draws with it.",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="what a training run wrote, such as work/cgan")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to, such as zoo/pretrained/cgan")
    parser.add_argument("--samples", type=whole_number(100), default=10_000, help="images that are judged")
    parser.add_argument("--data-dir", help=DATA_DIR_HELP)
    flags = parser.parse_args(arguments)

    run_dir, config = flags.run_dir, load_config(flags.run_dir)
    _, rows, yardsticks = judge_runs([run_dir], flags.samples, data_dir=flags.data_dir)
    judged = {kind: rows[f"{run_dir} {kind}"] for kind in WEIGHTS.values() if f"{run_dir} {kind}" in rows}
    if not judged:
        raise UserError(f"{run_dir}: {config['family']} draws nothing from noise: there is no generator to publish")
    kind = min(judged, key=lambda name: judged[name]["frechet"])
    content = (run_dir / next(file for file, name in WEIGHTS.items() if name == kind)).read_bytes()

    made = {**config, "steps": len(load_rows(run_dir)), "sha256": hashlib.sha256(content).hexdigest()}
    figures = {f"its {kind} weights": judged[kind], "real, unseen": rows["real, unseen"]}
    said = card(flags.folder, made, figures, yardsticks.get(f"{run_dir} {kind}", {}))
    write_folder(flags.folder, config, content, said)
    print(f"{flags.folder}: the {kind} weights, Fréchet distance {judged[kind]['frechet']:.2f}")
    return DONE


def write_folder(folder: Path, config: dict, weights: bytes, readme: str) -> None:
    """Write what `common.sample` draws from: a run's `config.json`, without anybody's paths, its weights and a card."""
    given = {**config["flags"], "data_dir": None, "output_dir": f"work/{config['family']}"}
    save_json(folder / "config.json", {**config, "flags": given})
    for name, content in (("generator.params", weights), ("README.md", readme.encode())):
        with atomic(folder / name) as file:
            file.write(content)


def card(folder: Path, made: dict, figures: dict[str, dict], yardsticks: dict[str, Yardstick]) -> str:
    """What a reader must know of published weights.

    Args:
        made: the run's `config.json`, its `steps` and the `sha256` of the weights.
        figures: rows of metrics, for `table`.
    """
    family, flags = made["family"], made["flags"]
    own = f"\n{yardstick_table({'these weights': yardsticks})}\n" if yardsticks else ""
    return f"""# {title(family)}, pretrained · 预训练权重

```bash
python -m common.sample {folder.as_posix()} --out grid.png
```

| | |
| --- | --- |
| network · 网络 | the generator of `{script(family).as_posix()}` |
| data · 数据 | {made["dataset"]}, training images ({made["checksum"]}) |
| recipe · 配方 | a run of {made["steps"]:,} updates of {flags["batch_size"]} images, seed {flags["seed"]} |
| Paddle | {made["versions"]["paddle"]}, {made["device"]} |
| SHA-256 | `{made["sha256"]}` |
| licence · 许可证 | Apache-2.0 |

Judged beside real images that no training saw · 由评判网络给出，与未见过的真图对照：

{table(figures)}
{own}
It draws what its data set shows and nothing else; made for teaching. · 只会画数据集里有的内容，供教学使用。
"""


if __name__ == "__main__":
    sys.exit(main())
