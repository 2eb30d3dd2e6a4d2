"""Trainings that are started from the page of `commands.play`: one at a time, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

from commands.compare import when
from common.data import DATASETS
from common.errors import DONE, INTERRUPTED, UserError
from common.run.families import ROOT, families, script, title
from common.run.flags import flag_of
from common.run.grids import read_grid, sorted_grids

from PIL import Image

SOURCES = [name for name in DATASETS if name != "folder"]  # of a folder a page would have to name the place
NUMBERS = ("max_steps", "seed", "learning_rate", "penalty")  # the flags of the page beside --dataset
STEPS = 1500  # of `make train`
LINES = 12  # of what a training says that are shown
EVERY, LONG = 3, 10  # seconds between looks at a training, and at its curves
STOP = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)  # the first on Windows, whose SIGTERM ends at once
PATIENCE = 60  # seconds for a last step and for saving


class Training:
    """At most one training at a time. It is stopped, and saves, when this is closed.

    Args:
        folder: where the runs go: `folder/FAMILY`, `folder/FAMILY-2` and so on, each with a `.log` beside it.
        data_dir: the trainings' `--data-dir`.
    """

    def __init__(self, folder: Path, data_dir: Path | None = None) -> None:
        self.folder, self.data_dir = folder.resolve(), data_dir
        self.run: Path | None = None  # of the latest training
        self.command: list[str] = []
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()  # each click comes in a thread of its own

    def start(self, family: str, dataset: str, numbers: dict[str, float | None]) -> None:
        """Begin a training; a number that is None is left to the family's default.

        Raises:
            UserError: one is going on, or there is no such family, data set or number.
        """
        if family not in families() or dataset not in SOURCES:
            raise UserError("there is no such model or data set · 没有这个模型或数据集")
        command = [sys.executable, str(ROOT / script(family)), "--dataset", dataset]
        for name, value in numbers.items():
            if name not in NUMBERS or not isinstance(value, (int, float, type(None))):
                raise UserError(f"{name}: expected a number · 请填数字")
            whole = isinstance(value, float) and value.is_integer()  # as a browser has them
            command += [] if value is None else [f"{flag_of(name)}={int(value) if whole else value}"]
        command += [f"--data-dir={self.data_dir}"] if self.data_dir else []
        with self.lock:
            if self.going_on:
                raise UserError(
                    "one training is going on: stop it first, or wait · 已有一次训练在进行：请先停止，或等它结束"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [family, *(f"{family}-{number}" for number in range(2, 10_000))]
            run = next(self.folder / name for name in names if not (self.folder / name).exists())
            self.log_of(run).unlink(missing_ok=True)  # of a start that was refused, and so has no run
            command += ["--output-dir", str(run)]
            try:
                process = self.process_of(command, run)
            except OSError:  # no memory for one more, for example: as if it had not been asked for
                self.log_of(run).unlink(missing_ok=True)
                raise
            self.run, self.command, self.process = run, command, process

    def resume(self) -> None:
        """Go on with the latest training, where it was stopped.

        Raises:
            UserError: there is none, or it is going on.
        """
        with self.lock:
            if self.run is None or self.going_on:
                raise UserError(
                    "there is nothing to go on with: start one, or stop it first · "
                    "没有可以继续的训练：请先开始一次；正在进行的请先停止"
                )
            self.process = self.process_of([*self.command, "--resume"], self.run)

    def process_of(self, command: list[str], run: Path) -> subprocess.Popen:
        """Start `command`; what it says goes to the end of the log of `run`."""
        with self.log_of(run).open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,  # the terminal's Ctrl-C is ours; a second signal would end it unsaved
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )

    @staticmethod
    def log_of(run: Path) -> Path:
        """Where what a training says is kept."""
        return run.with_name(f"{run.name}.log")

    @property
    def going_on(self) -> bool:
        """Whether a training is running."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Ask the training, if there is one, to stop after its step and to save; it goes on for a moment."""
        with self.lock:
            if self.going_on:
                self.process.send_signal(STOP)

    def close(self) -> None:
        """Stop, and wait until all is saved."""
        self.stop()
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)

    def said(self) -> str:
        """The last lines of what the training says, and how it ended."""
        if self.run is None:
            return ""
        lines = []
        with contextlib.suppress(OSError):  # removed meanwhile
            lines = self.log_of(self.run).read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
        ends = {None: "training …", DONE: "done", INTERRUPTED: "stopped"}
        status = self.process.poll()
        return "\n".join([*lines, f"[{self.run.name}: {ends.get(status, f'ended with status {status}')}]"])

    def last_grid(self) -> tuple[Image.Image, str] | None:
        """The latest grid of samples with its name; None before the first one."""
        grids = sorted_grids(self.run / "samples") if self.run is not None else []
        return (read_grid(grids[-1]), f"{self.run.name}, {when(grids[-1])}") if grids else None


def number(text: str) -> float | None:
    """What was typed into a field; None where it is empty.

    Raises:
        UserError: it is no number.
    """
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise UserError(f"{text}: expected a number · 请填数字") from None


def tab(gr: Any, training: Training, runs: Any, told: Callable) -> None:
    """The part of the page that starts a training and shows how it goes; `runs` draws the curves, `told` shows what the
    user can mend."""

    def begin(family: str, dataset: str, steps: float, seed: float, *texts: str) -> str:
        training.start(family, dataset, dict(zip(NUMBERS, [steps, seed, *map(number, texts)])))
        return training.said()

    def look() -> tuple[str, list]:
        shown = training.last_grid()
        return training.said(), [shown] if shown else []

    def figure(seen: Any) -> tuple[Any, Any]:
        """Drawn anew where there is something new since `seen`."""
        name = next((name for name, folder in runs.found().items() if folder == training.run), None)
        losses = training.run / "losses.csv" if name else None
        now = (name, losses.stat().st_mtime_ns) if losses and losses.exists() else None
        return (gr.skip(), seen) if now in (None, seen) else (runs.curves([name]), now)

    def resume() -> str:
        training.resume()
        return training.said()

    def stop() -> str:
        training.stop()
        return training.said()

    with gr.Tab("Train · 训练"):
        gr.Markdown(
            "One training at a time, in a process of its own; its run can be chosen above after “Look again”. What "
            "you leave empty is the model's default. · "
            "一次训练一个模型，在单独的进程里运行；点“刷新”后可在上方选择。留空则用该模型的默认值。"
        )
        with gr.Row():
            family = gr.Dropdown([(title(name), name) for name in families()], value="lsgan", label="Model · 模型")
            dataset = gr.Dropdown(SOURCES, value="auto", label="Data · 数据集")
            steps = gr.Number(STEPS, label="Steps · 步数", precision=0, minimum=1)
            seed = gr.Number(42, label="Seed · 随机种子", precision=0, minimum=0)
            rate = gr.Textbox(label="Learning rate · 学习率")  # a Number that is left empty gives 0
            penalty = gr.Textbox(label="Gradient penalty · 梯度惩罚")
        with gr.Row():
            start = gr.Button("Start · 开始", variant="primary")
            end = gr.Button("Stop and save · 停止并保存")
            further = gr.Button("Resume · 继续训练")
        said = gr.Textbox(label="What it says · 输出", lines=LINES, interactive=False)
        grid = gr.Gallery(label="Samples · 样本", columns=1, format="png", buttons=["download", "fullscreen"])
        plot = gr.Plot(label="Losses and scores · 损失与打分")
        start.click(told(begin), [family, dataset, steps, seed, rate, penalty], said)
        end.click(told(stop), None, said)
        further.click(told(resume), None, said)
        gr.Timer(EVERY).tick(told(look), None, [said, grid])
        seen = gr.State(None)
        gr.Timer(LONG).tick(told(figure), seen, [plot, seen])
