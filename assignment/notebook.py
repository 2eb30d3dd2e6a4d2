"""The assignment as a notebook with two blanks: for students who do all of it in the browser."""

from __future__ import annotations

import json
from pathlib import Path

from assignment.starter import ROOT, TASKS
from assignment.student import QUESTIONS, STEPS
from common.files.atomic import write_all

FIRST = ROOT / "notebooks" / "0_aistudio.ipynb"  # its cells that find the repository and install what is missing
MARKS = ("ON_AISTUDIO =", "import zipfile", "EXTERNAL =")  # what each of them has
# The line of LSGAN in question and what stands in the notebook: the task above it, the line with a blank.
BLANKS = {
    "model.py": ("            nn.Sigmoid(),\n", "            ____,  # DCGAN: nn.Sigmoid()\n"),
    "train.py": ("nn.BCELoss()\n", "____  # DCGAN: nn.BCELoss()\n"),
}

WHO = '''NUMBER = ""  # your student number · 学号
NAME = ""  # 姓名
MINE = "my_lsgan"

assert NUMBER and NAME, "Fill in NUMBER and NAME above. 请先填写学号和姓名。"


def run(*command):
    """A command of the repository: shows what it prints, returns its exit status."""
    started = [sys.executable, "-u", *map(str, command)]
    read = {"encoding": "utf-8", "errors": "replace"}  # what it prints, whatever this system writes in
    process = subprocess.Popen(started, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **read)
    try:
        for line in process.stdout:
            print(line, end="")
    except KeyboardInterrupt:  # the stop button: a training finishes its step and saves
        print(process.communicate()[0])
        raise
    return process.wait()


assert run("assignment/starter.py", MINE, "--number", NUMBER, "--name", NAME) == 0'''

TRAIN_DCGAN = """from assignment.student import flags, read_card

WORK = Path(os.environ.get("NOTEBOOK_WORK", root / "work" / "homework"))
WORK.mkdir(parents=True, exist_ok=True)
SAID = WORK / "dcgan.txt"


def training(script, name):
    steps = ["--max-steps", os.environ["NOTEBOOK_STEPS"]] if "NOTEBOOK_STEPS" in os.environ else []
    return [script, *flags(read_card(root / MINE)), *steps, "--resume", "--output-dir", WORK / name]


if "dcgan" not in globals() or dcgan.poll() is not None:
    started = [sys.executable, *map(str, training("dcgan/train.py", "dcgan"))]
    with SAID.open("w") as said:
        dcgan = subprocess.Popen(started, cwd=root, stdout=said, stderr=subprocess.STDOUT)
print(SAID)"""

TRAIN_MINE = """WRONG = "the last lines above say what is wrong. 上面最后几行说明了原因。"
assert run("assignment/check.py", MINE) == 0, "first sections 3 to 5. 请先完成第 3 到 5 节。"

if os.name != "nt":  # Windows would end it unsaved
    dcgan.terminate()  # it saves, and goes on here, where you see it
dcgan.wait()
assert run(*training("dcgan/train.py", "dcgan")) == 0, WRONG
assert run(*training(f"{MINE}/train.py", MINE)) == 0, WRONG"""

PICTURE = """from IPython.display import Image

run("-m", "commands.compare", WORK / "dcgan", WORK / MINE, "--out", WORK / "compare.png")
Image(filename=str(WORK / "compare.png"), width=900)"""

QUESTIONS_CELL = """from IPython.display import Markdown

Markdown((root / MINE / "report.md").read_text(encoding="utf-8"))"""

REPORT_CELL = (
    "ANSWERS = {\n"
    + "".join(f'    {n}: r"""\n\n""",\n' for n in range(1, QUESTIONS + 1))
    + """}

from assignment.student import filled

report = root / MINE / "report.md"
report.write_text(filled(report.read_text(encoding="utf-8"), ANSWERS), encoding="utf-8")
print(report)"""
)

SUBMIT = """run("assignment/submit.py", MINE, "--dcgan", WORK / "dcgan", "--lsgan", WORK / MINE)"""


def blanked(name: str) -> str:
    """A file of `dcgan/` for the student's folder, with its task and its blank."""
    line, task = TASKS[name]
    answer, blank = BLANKS[name]
    text = (ROOT / "dcgan" / name).read_text(encoding="utf-8").replace(line, task + line)
    return text.replace(answer, blank).replace("dcgan", "my_lsgan")


def cells() -> list[tuple[str, str]]:
    """The notebook's cells, each its kind and its source."""
    first = json.loads(FIRST.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in first if cell["cell_type"] == "code"]
    setup = [next(source for source in code if mark in source) for mark in MARKS]
    return [
        ("markdown", f"""# The assignment: DCGAN to LSGAN · 作业：把 DCGAN 改写成 LSGAN

Two lines, two trainings of {STEPS:,} steps, five answers. What you get at the end is one zip to hand in. The trainings
take some 20 minutes on 2 cores of an AMD EPYC, twice as long on a slower processor; they go on where you stopped them.

两行代码，两次训练（各 {STEPS:,} 步），五道题，最后得到一个 zip，交上去就行。两次训练在 2 核 AMD EPYC 上共约 20 分钟，
较慢的处理器约需两倍时间；中途停下，下次会接着训练。

Run the cells from top to bottom. After a restart, run the first five code cells again.

从上到下依次运行。重启之后，先重新运行前五个代码单元格。"""),
        *(("code", source) for source in setup),
        ("markdown", """## 1. Who you are · 填写学号和姓名

Your seed and two of the questions come from your number. · 随机种子和两道题由学号决定。"""),
        ("code", WHO),
        ("markdown", """## 2. DCGAN trains in the background · 在后台训练 DCGAN

The cell ends at once; the file that it names says how far the training is. It runs on the CPU, where your teacher can
make the first steps again. Go on with section 3 meanwhile.

这个单元格会立即结束，训练进度写在它打印的文件里。请用 CPU 训练，老师会在 CPU 上复现最初几步。
不用等，接着做第 3 节。"""),
        ("code", TRAIN_DCGAN),
        ("markdown", """## 3. The first line: the discriminator · 第一处：判别器

Fill in the blank `____`, or delete its line. Then run the cell: it writes `my_lsgan/model.py`.

把 `____` 换成你的答案，或者删掉这一行。运行单元格，会写入 `my_lsgan/model.py`。"""),
        ("code", '%%writefile "{root}/{MINE}/model.py"\n' + blanked("model.py")),
        ("markdown", """## 4. The second line: the loss · 第二处：损失函数"""),
        ("code", '%%writefile "{root}/{MINE}/train.py"\n' + blanked("train.py")),
        ("markdown", """## 5. The self-check · 自查

`ok` or `not yet`, and what to do next. Change the cells above and run them again until all are `ok`.

每项显示 `ok` 或 `not yet`（还没完成，后面是提示）。修改上面的单元格并重新运行，直到全部 `ok`。"""),
        ("code", 'run("assignment/check.py", MINE)'),
        ("markdown", """## 6. Train LSGAN · 训练 LSGAN

First what is left of DCGAN, then yours. The same seed and the same flags: only your two lines differ.

先训练完 DCGAN，再训练你的模型。种子和参数都相同，不同的只有你改的两行。"""),
        ("code", TRAIN_MINE),
        ("code", PICTURE),
        ("markdown", """## 7. The report · 实验报告

Read the questions, write your answers between the triple quotes of the second cell, run it.

先运行第一个单元格看题目，再在第二个单元格的三引号之间作答，然后运行。"""),
        ("code", QUESTIONS_CELL),
        ("code", REPORT_CELL),
        ("markdown", """## 8. Hand in · 打包提交

It says what is still missing, and the zip's name. Download that from the file list on the left and hand it in.

它会提示还缺什么，并给出 zip 的文件名。在左侧文件列表中下载这个 zip，交给老师。"""),
        ("code", SUBMIT),
    ]  # fmt: skip


def write_notebook(path: Path) -> None:
    """Write the notebook."""
    made = []
    for number, (kind, source) in enumerate(cells()):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number:02}",
            "metadata": {},
            "source": source.splitlines(keepends=True),
        }
        made.append({**cell, "execution_count": None, "outputs": []} if kind == "code" else cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    write_all({path: json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"})
