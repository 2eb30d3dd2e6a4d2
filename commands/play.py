"""Play with one's own runs in the browser: `python -m commands.play` says where its page is.

The page is gradio's; `commands.play_runs` is what it can see.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.compare import when
from commands.play_runs import CLOSE, COUNT, MOST, NEIGHBOURS, PAD, Runs, few
from commands.play_server import check_environment, serve, without_proxies
from commands.play_training import Training, tab
from common.errors import DONE, UserError
from common.run.commandline import Parser, command, user_path, whole_number
from common.run.families import ROOT
from common.run.flags import DATA_DIR_HELP
from common.run.grids import grid, read_grid

import numpy as np
from PIL import Image

FOLDERS = [ROOT / name for name in ("work", "dcgan/pretrained", "lsgan/pretrained", "zoo/pretrained")]
TRAINED = ROOT / "work/play"  # what is trained from the page
WATCH = ROOT / "docs/watch.html"
FIELD = f"""<div><canvas width="{PAD}" height="{PAD}" role="img" aria-label="Draw a digit · 手写一个数字"
style="width: 280px; height: 280px; background: black; touch-action: none; cursor: crosshair"></canvas><br>
<button>Clear · 清空</button></div>"""
DRAW = """  // with the mouse or a finger; each stroke asks for an answer
const canvas = element.querySelector("canvas"), brush = canvas.getContext("2d", { willReadFrequently: true });
const clear = () => { brush.fillStyle = "black"; brush.fillRect(0, 0, canvas.width, canvas.height); };
const place = event => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
};
let drawing = false;
clear();
element.querySelector("button").onclick = clear;
canvas.onpointerdown = event => {
    canvas.setPointerCapture(event.pointerId);
    drawing = true;
    Object.assign(brush, { strokeStyle: "white", lineWidth: 10, lineCap: "round", lineJoin: "round" });
    brush.beginPath();
    brush.moveTo(...place(event));
};
canvas.onpointermove = event => { if (drawing) { brush.lineTo(...place(event)); brush.stroke(); } };
canvas.onpointerup = canvas.onpointercancel = () => {
    if (!drawing) return;  // a button that was pressed elsewhere
    drawing = false;
    const bytes = brush.getImageData(0, 0, canvas.width, canvas.height).data;
    trigger("submit", { pixels: Array.from(bytes).filter((_, index) => index % 4 === 0) });
};
"""
EVERY = 10  # seconds between looks at runs that are going on


def as_item(error: UserError) -> str:
    """What went wrong, as an item of a Markdown list in which nothing is markup."""
    return f"- `{str(error).replace('`', chr(39))}`"


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture three times as large, its pixels still squares."""
    return picture.resize((3 * picture.width, 3 * picture.height), Image.NEAREST)


def live_page() -> str:
    """docs/watch.html as a frame: within the page, so that no file has to be served."""
    content = base64.b64encode(WATCH.read_bytes()).decode()
    look = "width: 100%; height: 60rem; border: 0"
    return f'<iframe src="data:text/html;base64,{content}" title="GAN" style="{look}"></iframe>'


def app(runs: Runs, gr: Any, training: Training | None = None) -> Any:
    """The page, as gradio's `Blocks`; `gr` is gradio. Without a `training` none can be started from it."""

    def told(answer: Callable) -> Callable:
        """`answer`, with what the user can mend shown on the page in place of a traceback."""

        @functools.wraps(answer)  # gradio reads there what it is to be given
        def called(*given: Any) -> Any:
            try:
                return answer(*given)
            except (UserError, OSError) as error:  # such as a grid that is damaged, or gone by now
                raise gr.Error(html.escape(str(error)), print_exception=False) from error

        return called

    def sample(names: list[str] | None, seed: float | None, digit: int) -> tuple[list, list, list, str]:
        shown, close, drawn, troubles = [], [], [], []
        for name in few(names):
            try:
                pictures, weights = runs.pictures(name, int(seed or 0), None if digit < 0 else digit, COUNT)
            except UserError as error:  # the others are shown all the same
                troubles.append(as_item(error))
                continue
            drawn.append((name, pictures[:CLOSE]))
            shown.append((grid(pictures), f"{name}, {weights}"))
            try:
                words = runs.verdicts(name, pictures[:CLOSE])
            except UserError:  # no judge for these pictures
                words = [""] * CLOSE
            close += [(enlarged(grid(one[None], 1)), word) for one, word in zip(pictures, words)]
        return shown, close, drawn, "\n".join(troubles)

    def neighbours(drawn: list[tuple[str, np.ndarray]], chosen: Any) -> Image.Image:
        name, pictures = drawn[chosen.index // CLOSE]
        picture = pictures[chosen.index % CLOSE]
        return enlarged(grid(np.concatenate([picture[None], runs.nearest(name, picture)]), NEIGHBOURS + 1))

    neighbours.__annotations__["chosen"] = gr.SelectData  # as a word it would be looked up among this module's names

    def history(names: list[str], part: float) -> list:
        grids = {name: runs.epochs(name) for name in still_there(names)}
        chosen = {name: paths[round(min(1, max(0, part)) * (len(paths) - 1))] for name, paths in grids.items() if paths}
        return [(read_grid(path), f"{name}, {when(path)}") for name, path in chosen.items()]

    def still_there(names: list[str] | None) -> list[str]:
        """For what is shown anew by itself: the message that a run is gone would come every time."""
        found = runs.found()
        return [name for name in few(names) if name in found]

    def look_again(names: list[str] | None) -> Any:
        return gr.update(choices=list(runs.found()), value=still_there(names))

    def translations(names: list[str], seed: float | None) -> tuple[list, str]:
        made, troubles = [], []
        for name in few(names):
            try:
                rows = runs.from_pictures(name, int(seed or 0))
            except UserError as error:
                troubles.append(as_item(error))
            else:
                made += [] if rows is None else [(grid(rows), name)]
        return made, "\n".join(troubles)

    def mimics(names: list[str], drawn: Any) -> tuple[list, str]:
        shown, troubles = [], []
        for name in few(names):
            try:
                given, found = runs.mimic(name, drawn.pixels)
            except UserError as error:
                troubles.append(as_item(error))
                continue
            pair = enlarged(grid(np.stack([given, found.image]), 2))
            shown.append((pair, f"{name}: error {found.error:.4f}, at random {found.error_at_random:.4f}"))
        return shown, "\n".join(troubles)

    mimics.__annotations__["drawn"] = gr.EventData

    names, plain = list(runs.found()), {"format": "png", "buttons": ["download", "fullscreen"]}  # none to share
    with gr.Blocks(title="GAN", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown("# Your runs · 你的训练\nAll use the same seed. · 所有模型使用同一个随机种子。")
        chosen = gr.Dropdown(names, value=names[:2], multiselect=True, max_choices=MOST, label="Runs · 训练")
        with gr.Row():
            seed = gr.Number(0, label="Seed · 随机种子", precision=0, minimum=0)
            digit = gr.Dropdown([("all · 全部", -1), *((str(d), d) for d in range(10))], value=-1, label="Digit · 数字")
            again = gr.Button("Look again · 刷新")
        with gr.Tab("Samples · 样本"):
            troubles = gr.Markdown()
            shown = gr.Gallery(label="64 each · 各 64 张", columns=2, **plain)
            close = gr.Gallery(
                allow_preview=False,
                label="Click one · 点一张: the judge's digit and confidence · 评判网络识别的数字和置信度",
                columns=8,
                **plain,
            )
            drawn = gr.State([])
            near = gr.Image(label="It, and the nearest training images · 这张图像和最接近的训练图像", **plain)
        with gr.Tab("From images · 图像到图像"):
            gr.Markdown(
                "Test images; below them the model's output, step by step. Only for models that take images as "
                "input, such as `zoo/bigan.py`. · "
                "第一行是测试集图像，下面依次是模型各步的输出。"
                "只适用于以图像为输入的模型，例如 `zoo/bigan.py`。"
            )
            unmade = gr.Markdown()
            made = gr.Gallery(
                label="Originals, steps, reconstruction · 原图、各步输出、重建",
                columns=2,
                object_fit="contain",
                **plain,
            )
        with gr.Tab("Draw one · 手写"):
            gr.Markdown(
                "Draw a digit. Beside it: the nearest image that the model can generate, and the mean squared error. "
                "What is no digit it cannot draw. · "
                "手写一个数字，旁边是模型能生成的最接近的图像和均方误差。不是数字的，它画不好。"
            )
            undrawn = gr.Markdown()
            with gr.Row():
                field = gr.HTML(html_template=FIELD, js_on_load=DRAW, min_width=320)
                mimicked = gr.Gallery(
                    label="Yours, and the nearest · 你写的，和最接近的",
                    columns=2,
                    height=430,
                    object_fit="contain",
                    scale=2,
                    **plain,
                )
        with gr.Tab("Curves · 曲线"):
            judged = gr.Markdown()
            curves = gr.Plot(label="Losses and scores · 损失与分数")
        with gr.Tab("Over time · 训练过程"):
            part = gr.Slider(0, 1, 1, step=0.01, label="From the first grid to the last · 从第一张到最后一张")
            past = gr.Gallery(label="Grids · 样本图", columns=2, **plain)
        if training is not None:
            tab(gr, training, runs, told)
        if WATCH.is_file():
            with gr.Tab("Watch a GAN learn · 看 GAN 如何学习"):
                gr.HTML(live_page())
        redraw = {"fn": told(sample), "inputs": [chosen, seed, digit], "outputs": [shown, close, drawn, troubles]}
        for happens in (page.load, chosen.change, seed.submit, digit.change):
            happens(**redraw)
        for happens in (page.load, chosen.change, seed.submit):
            happens(told(translations), [chosen, seed], [made, unmade])
        close.select(told(neighbours), drawn, near)
        field.submit(told(mimics), chosen, [mimicked, undrawn])
        for happens in (page.load, chosen.change, part.release, gr.Timer(EVERY).tick):
            happens(told(history), [chosen, part], past)
            happens(told(lambda names: runs.judgements(still_there(names))), chosen, judged)
        for happens in (page.load, chosen.change):
            happens(told(lambda names: runs.curves(few(names))), chosen, curves)
        again.click(told(lambda names: runs.curves(still_there(names))), chosen, curves)
        for happens in (page.load, again.click):  # a page that was open for long, or is opened again
            happens(look_again, chosen, chosen)
    return page


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM and a terminal that goes away end this as Ctrl-C does, so that the training saves."""
    for number in {getattr(signal, name, signal.SIGTERM) for name in ("SIGTERM", "SIGHUP")}:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, signal.default_int_handler)


@command
def main(arguments: list[str] | None = None) -> int:
    """Serve a page on 127.0.0.1 to play with runs: samples side by side, curves, the grids over time, the nearest
    training images. Nothing else than these folders is shown.
    """
    parser = Parser(prog="python -m commands.play", description=main.__doc__)
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        type=user_path,
        nargs="*",
        help="runs or folders of runs (default: work and all pretrained)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(1, 65_535),
        help="of the page; without it and without $GRADIO_SERVER_PORT the first free one from 7860 on",
    )
    parser.add_argument("--data-dir", type=user_path, help=DATA_DIR_HELP)
    parser.add_argument(
        "--read-only", action="store_true", help="start no training from the page, as where it is public"
    )
    flags = parser.parse_args(arguments)
    for folder in flags.folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
    runs = Runs(flags.folders or FOLDERS, flags.data_dir)
    if not runs.found():
        raise UserError(f"no runs in {', '.join(map(str, runs.folders))}; a training writes some: make train")
    check_environment()
    port = flags.port or int(os.environ.get("GRADIO_SERVER_PORT", 0)) or None
    if importlib.util.find_spec("gradio") is None:
        raise UserError("this needs gradio: pip install -r requirements-play.txt")
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    with without_proxies():
        import gradio  # only this command needs it, and it reads the environment once

    if flags.read_only:
        serve(app(runs, gradio), port, anyone=True)
        return DONE
    end_as_by_ctrl_c()
    with contextlib.closing(Training(TRAINED, flags.data_dir)) as training:
        runs.folders += [] if any(training.folder.is_relative_to(top) for top in runs.folders) else [training.folder]
        serve(app(runs, gradio, training), port)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
