"""Every command of every page, run as a reader would: `make docs-check`.

The pages are read in the order of the links from README.md, and their commands are run in a copy of the repository,
each distinct one once: what stands in `bash` blocks, and what begins with `python`, `make` or `cp` between backticks.
Then the same from README.zh-CN.md, where most of them have been run by then. A training is cut short by flags. The
lines "next …" that a command ends with are run, too; and from another folder what may be called from any. What is not
run stands in `NOT_RUN`, with the reason.

A command fails where its exit status is not the expected one, or where it changes a file of the repository without
naming it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from commands.results import known_recipe
from common.run.families import ROOT, builder, families, script
from common.run.flags import parse_flags

FLAGS = {"--dataset": "digits", "--max-steps": "5", "--eval-every": "0", "--batch-size": "8"}  # of a short training
IN_COLOUR = {"--dataset": "folder --data-dir docs/images"}
SHORT = " ".join(f"{flag} {value}" for flag, value in FLAGS.items())
PORT = 8765  # VisualDL ends where its own is taken
CUT = [  # pattern and what takes its place
    (r"MNIST_DIR=… ", ""),
    (r"--max-steps \d+", f"--max-steps {FLAGS['--max-steps']}"),
    (r"--batch-size \d+", f"--batch-size {FLAGS['--batch-size']}"),
    (r"^make (train|compare|best)(?=$| )(.*?)(?: ARGS=\"?(.*?)\"?)?(?= &&|$)", rf'make \1\2 ARGS="{SHORT} \3"'),
    (r"(commands\.sample .*--count) \d+", r"\1 16"),
    (r"(commands\.evaluate|commands\.publish) (?!--help)", r"\1 --samples 100 "),
    (r"commands\.results$", f"commands.results --samples 100 --recipes 'dcgan {SHORT}'"),
    (r"(commands\.results --add) --recipes (\"vae_gan --model \$m) .*?\"", rf'\1 --samples 100 --recipes \2 {SHORT}"'),
    (r"board_cost\.py", f"board_cost.py {SHORT}"),
    (r"onednn_ways\.py", "onednn_ways.py --batch-size 2 --rounds 1"),
    (r"time_to_quality\.py", "time_to_quality.py --dataset digits --steps 4 --every 2"),
    (r"cgan_variants\.py", "cgan_variants.py --seeds 0 --updates 50 --batch-size 8"),
    (r"^make board(?: ARGS=\"(.*)\")?$", rf'make board ARGS="--port {PORT} \1"'),
    (r"(commands\.board .*)", rf"\1 --port {PORT}"),
    (r"--dataset mnist", "--dataset digits"),
    (r"grade\.py FOLDER", "grade.py handed-in --steps 5 --replay 2"),
    (r"(make notebooks)$", r'\1 ARGS="--no-browser --allow-root"'),
]  # fmt: skip
NOT_RUN = {  # pattern: why
    r"^git clone|^cd ~|^unzip": "it fetches what is here already",
    r"-m venv|^source |^pip install|^conda ": "the environment is that which this check runs in; `make test` makes one",
    r"^pip config": "it would change the settings of the user's pip",
    r"--target /home/aistudio": "it is for AI Studio; tests/test_notebooks.py tries it",
    r"jupyterlab homework": "the handout has that notebook; tests/test_submit.py tries it",
    r"^export ": "it is for the commands that follow in the same terminal",
    r"^make test": "that is the tests",
    r"make results|results --add .*cifar_gan .*FOLDER": "hours, and CIFAR-10; commands.results is run below",
    r"launch dcgan|--nnodes": "it needs GPUs, or two machines",
    r"docs/zoo_plots\.py|cgan_variants\.py$": "four minutes, and no flag cuts it; 40, and it is run with --out",
    r"docs/strip\.py": "it shows runs of five epochs",
    r"^cp .*work/results|do cp ": "it copies pictures that trainings of hours have drawn",
    r"assignment/replay\.py": "it measures a bound, by dozens of trainings",
    r"NAME|YOURS|--data-dir FOLDER|学号": "a word stands for the reader's own",
}
NEEDS = {  # pattern: what must be here for it
    r"make play|play\.gradio": lambda: importlib.util.find_spec("gradio"),
    r"make notebooks": lambda: importlib.util.find_spec("jupyterlab"),
    r"--format onnx": lambda: importlib.util.find_spec("paddle2onnx"),
    r"tests\.board": lambda: importlib.util.find_spec("selenium") and shutil.which("chromedriver"),
    r"cgan_variants|docs/hero": lambda: os.environ.get("MNIST_DIR"),
}
SERVERS = r"^make (play|board|notebooks)|play\.gradio|commands\.board"  # they run until they are stopped
STATUS_1 = r"assignment/check|docs/upstream"  # there are TODOs left; the fault of another's library is still there
AFTERWARDS = {  # what the page tells the reader to do by hand
    "python assignment/submit.py my_lsgan": "mkdir handed-in && cp *.zip handed-in",
    "cp zoo/cgan.py zoo/mygan.py": """sed -i 's/run("cgan"/run("mygan"/' zoo/mygan.py""",
}
WRITES_REPORT = r"commands\.results"  # that is what it is for: docs/results.md and its pictures
ANYWHERE = [  # what may be called from any folder, as docs/running.md says
    "python {repo}/dcgan/train.py",
    "python {repo}/zoo/vae_gan.py",
    "python {repo}/assignment/starter.py outside_lsgan",
    "python outside_lsgan/train.py --dataset digits --max-steps 60",
    "python {repo}/assignment/check.py outside_lsgan",
]


class Command(NamedTuple):
    """A command, and where it stands."""

    text: str
    page: str
    line: int


def part(name: str, chinese: bool) -> str:
    """What a reader of one language reads of a page; the other half is blank."""
    text = (ROOT / name).read_text(encoding="utf-8")
    first, line, second = text.partition("\n---\n")
    if not line:
        return text
    return re.sub(r"[^\n]", "", first + line) + second if chinese else first


def pages(start: str, chinese: bool) -> dict[str, str]:
    """The pages by name, in the order in which one comes to them from `start`; last those that no link leads to."""
    tracked = [name for name in tracked_files() if name.endswith(".md")]
    others = [
        name for name in tracked if (name.replace(".md", ".zh-CN.md") in tracked if chinese else ".zh-CN" in name)
    ]
    names = [start]
    for name in names:  # which grows
        for link in re.findall(r"\]\(([^)#\s:]+\.md)", part(name, chinese)):
            path = os.path.normpath(Path(name).parent / link)
            names += [path] if path in tracked and path not in {*names, *others} else []
    names += [name for name in tracked if name not in {*names, *others}]
    return {name: part(name, chinese) for name in names}


def commands_of(name: str, text: str) -> list[Command]:
    """The commands of a page: the lines of its `bash` blocks, without comments, and those between backticks."""
    found, fence = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence == "```bash":
            found.append(Command(re.sub(r"(^| +)#.*", "", line).strip(), name, number))
        elif not fence:
            for typed in re.findall(r"(?<!`)`((?:\w+=\S+ )?(?:python|make|cp) [^`…|]+)`(?!`)", line):
                bare = re.fullmatch(r"python -m commands\.\w+", typed)  # it is named, not called
                found.append(Command(f"{typed} --help" if bare else typed, name, number))
    return [command for command in found if command.text]


def cut(text: str) -> str:
    """A command, its trainings and samples cut short."""
    for pattern, shorter in CUT:
        text = re.sub(pattern, shorter, text)
    flags = {**FLAGS, **IN_COLOUR} if "cifar_gan" in text else FLAGS
    added = " ".join(f"{flag} {value}" for flag, value in flags.items() if flag not in text)
    return re.sub(r"(python [^;&]*?(?:/train|zoo/\w+)\.py'?)", rf"\1 {added}", text)


@functools.lru_cache(maxsize=1)
def tracked_files() -> list[str]:
    """The files of the repository as they are now, also those that are not committed yet."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


class Reader:
    """Someone with a copy of the repository who types what the pages say.

    Args:
        folder: where the copy and another folder are made.
    """

    def __init__(self, folder: Path) -> None:
        self.repo, self.elsewhere = folder / "the repository", folder / "elsewhere"
        self.elsewhere.mkdir()
        for name in tracked_files():
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.repo / name)
        self.files = self.hashes()
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",  # a server's address is read from what it says
            "XDG_CACHE_HOME": str(folder / "cache"),
            "MNIST_DIR": str(folder / "no MNIST"),  # so that `auto` is digits, at once
        }
        if sys.prefix != sys.base_prefix:
            self.environment["VIRTUAL_ENV"] = sys.prefix
        self.seen: set[str] = set()
        self.left_out: dict[str, str] = {}
        self.failed: list[str] = []

    def hashes(self) -> dict[str, str]:
        """The files that were copied, as they are now."""
        paths = {name: self.repo / name for name in tracked_files()}
        return {name: hashlib.md5(path.read_bytes()).hexdigest() for name, path in paths.items() if path.exists()}

    def type(self, command: Command, folder: Path | None = None) -> None:
        """Run a command in `folder`, the repository where it is None, if it was not run before; then what it says is
        next."""
        key = f"VisualDL, {folder}" if "commands.board" in command.text else command.text  # one of its many is enough
        if key in self.seen:
            return
        self.seen.add(key)
        why = next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, command.text)), "")
        if any(re.search(pattern, command.text) and not there() for pattern, there in NEEDS.items()):
            why = "what it needs is not here"
        if not why and re.search(r"results --add --recipes '", command.text):
            why = self.read(command)
        if why:
            self.left_out[command.text] = why
            return
        for name in re.findall(r"\bwork/(\w+)(?![\w/]*\$)", command.text):  # "needs that model trained first"
            if name in families() and not (self.repo / "work" / name).exists() and "train.py" not in command.text:
                self.type(Command(f"python {script(name)}", command.page, command.line))
        for name in re.findall(r"\bwork/results/(\w+)-0\b", command.text):  # of hours: a short one stands for it
            self.type(Command(f"python {script(name)}", command.page, command.line))
            shutil.copytree(self.repo / "work" / name, self.repo / f"work/results/{name}-0", dirs_exist_ok=True)
        said = self.run(command, cut(command.text), folder or self.repo)
        if command.text in AFTERWARDS:
            subprocess.run(AFTERWARDS[command.text], shell=True, cwd=self.repo, check=True)
        for line in re.findall(r"^next +(.*)$", said, re.M):
            if "goes on from here" not in line:
                self.type(Command(line, command.page, command.line), folder)

    def read(self, command: Command) -> str:
        """Look whether the recipe of `commands.results` has flags that are there; returns why it is not run."""
        try:
            family, *flags = known_recipe(re.search(r"--recipes '(.*?)'", command.text)[1]).split()
            parse_flags(family, builder(family), flags)
        except (argparse.ArgumentTypeError, SystemExit) as error:
            self.failed.append(f"{command.page}:{command.line}: {command.text}\n  {error}")
        return "hours; docs/results.json has what it gave, and its flags are looked at"

    def run(self, command: Command, text: str, folder: Path) -> str:
        """Run `text` in `folder`; returns what it said, and notes what went wrong."""
        began = time.monotonic()
        environment = self.environment
        if "cgan_variants" in text:
            environment = {**environment, "MNIST_DIR": os.environ["MNIST_DIR"]}
        serves = re.search(SERVERS, text)
        with tempfile.TemporaryFile("w+") as output:
            running = subprocess.Popen(
                ["bash", "-c", text], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            trouble = served(running, output) if serves else ""
            try:
                status = running.wait(300)
            except subprocess.TimeoutExpired:
                status = "no end after 5 minutes"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            output.seek(0)
            said = output.read()
        if not serves and status != (1 if re.search(STATUS_1, text) else 0):
            trouble = f"status {status}"
        before, self.files = self.files, self.hashes()
        changed = [name for name in before if self.files.get(name) != before[name]]
        changed = [name for name in changed if not re.search(rf"(--out|png|gif) {Path(name).parent}(/|;| |$)", text)]
        if changed and not re.search(WRITES_REPORT, text):
            trouble = f"{trouble} it changed {', '.join(changed)}"
        if trouble:
            self.failed.append(f"{command.page}:{command.line}: {command.text}\n  {text}\n  {trouble}\n{said[-1500:]}")
        print(f"{'FAILED' if trouble else 'ok':6} {time.monotonic() - began:5.1f} s  {command.text}", flush=True)
        return said


def served(running: subprocess.Popen, output) -> str:
    """Wait until a server says where it is, and look there; then stop it. Returns what went wrong."""
    trouble, end = "no address", time.monotonic() + 90
    while trouble and time.monotonic() < end and running.poll() is None:
        time.sleep(0.2)
        output.seek(0)
        address = re.search(r"http://(?:127\.0\.0\.1|localhost):\d+[^\s;]*", output.read())
        if address:
            request = urllib.request.Request(address[0], headers={"Accept-Language": "en"})  # as a browser's
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
                trouble = "" if answer.status == 200 else f"status {answer.status}"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGTERM)
    return trouble


def main() -> int:
    """The exit status: 0 where every command does what its page says."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="docs-check-") as folder:
        reader = Reader(Path(folder).resolve())
        for start, chinese in (("README.md", False), ("README.zh-CN.md", True)):
            for name, text in pages(start, chinese).items():
                for command in commands_of(name, text):
                    reader.type(command)
        for text in ANYWHERE:
            called = text.format(repo=f"'{reader.repo}'")
            reader.type(Command(called, "docs/running.md", 0), reader.elsewhere)
    print("\nnot run:")
    for text, why in sorted(reader.left_out.items(), key=lambda item: item[1]):
        print(f"  {text}\n      {why}")
    for failure in reader.failed:
        print(f"\nFAILED {failure}")
    ran, seconds = len(reader.seen) - len(reader.left_out), time.monotonic() - began
    print(f"\n{ran} commands in {seconds:.0f} s, {len(reader.failed)} failed")
    return 1 if reader.failed else 0


if __name__ == "__main__":
    sys.exit(main())
