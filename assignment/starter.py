"""Make the starter of the assignment: `python assignment/starter.py my_lsgan --number 20231234 --name 王小明`."""

from __future__ import annotations

import contextlib
import importlib.util
import keyword
import sys
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from assignment.student import LANGUAGES, REPORT, Student, blank_report, read_card, student, write_card
from assignment.student import flags as command_flags
from common.errors import DONE, UserError
from common.files.atomic import write_all
from common.run.commandline import Parser, command, user_path
from common.run.words import in_the_repository, typed

# What a line of `dcgan/` becomes: the line itself, with the task above it.
TASKS = {
    "model.py": (
        "            *score_layers(channels, size),\n",
        "            # TODO 1: D must return an unbounded score. What stands in its way here?\n",
    ),
    "train.py": (
        "    criterion = nn.BCELoss()\n",
        "    # TODO 2: take the mean squared error of score and target. Which loss of Paddle is that?\n",
    ),
}
PATH = "sys.path[0] = str(Path(__file__).resolve().parents[1])  # `common` is found with nothing installed"


@command
def main(arguments: list[str] | None = None) -> int:
    """Make the starter of the assignment: DCGAN as a folder of its own, with two TODOs that make LSGAN of it, and the
    report to fill in. It trains as DCGAN does until they are done.
    """
    parser = Parser(
        prog="python assignment/starter.py",
        description=main.__doc__,
    )
    parser.add_argument("folder", metavar="FOLDER", type=user_path, help="the new folder, such as my_lsgan")
    parser.add_argument("--number", help="your student number; your seed and your questions come from it")
    parser.add_argument("--name", default="", help="your name")
    parser.add_argument("--language", choices=LANGUAGES, default="zh", help="of the report")
    flags = parser.parse_args(arguments)
    folder = flags.folder
    who = None if flags.number is None else student(flags.number, flags.name, flags.language)
    if folder.resolve() in [ROOT / name for name in ("dcgan", "lsgan")]:
        raise UserError(f"{folder}: this is ours; name a folder of your own, such as my_lsgan")
    if who and all((folder / name).is_file() for name in TASKS):
        print(f"{folder}: it is there already; only what is missing is added, for {who.number}")
    else:
        check_name(folder)
        files = {name: starter_of(name, folder) for name in TASKS}
        write_all({folder / name: text.encode() for name, text in {"__init__.py": "", **files}.items()})
        print(f"{folder}: {' and '.join(files)}, with a TODO each")
    if who:
        add_papers(folder, who)
    for script in ("dcgan/train.py", typed(folder / "train.py", ROOT)) if who else ():
        arguments = " ".join([script, *command_flags(who)])
        print(f"next     {in_the_repository(arguments)}")
    print(f"next     {in_the_repository(f'assignment/check.py {typed(folder, ROOT)}')}")
    return DONE


def add_papers(folder: Path, who: Student) -> None:
    """Write whose folder it is, and the report to fill in where there is none yet."""
    before = None
    with contextlib.suppress(UserError):  # there is none yet, or a damaged one
        before = read_card(folder)
    write_card(folder, who)
    report = folder / REPORT
    if report.exists() and before and before.number != who.number:
        earlier = next(path for path in (report.with_name(f"report-{n}.md") for n in count(1)) if not path.exists())
        report.rename(earlier)
        print(f"{earlier}: your report so far, of another number, with other questions; copy from it what fits")
    if not report.exists():
        write_all({report: blank_report(who).encode()})
    print(f"{report}: your report, with your two questions; your seed is {who.seed}")


def check_name(folder: Path) -> None:
    """Raise `UserError` where the folder is there, or where Python could not import it by its name."""
    name = folder.resolve().name
    if folder.exists():
        raise UserError(f"{folder}: it is there already, and nothing is overwritten; name a new folder")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(f"{folder}: Python cannot import a folder of this name; take letters, digits and _: my_lsgan")
    if importlib.util.find_spec(name) or (ROOT / "zoo" / f"{name}.py").exists():
        raise UserError(f"{folder}: something else is imported as {name}; take another name, such as my_lsgan")


def starter_of(file: str, folder: Path) -> str:
    """A file of `dcgan/` as the starter has it: its TODO put in, the folder's name in place of `dcgan`."""
    text = (ROOT / "dcgan" / file).read_text(encoding="utf-8")
    line, task = TASKS[file]
    text = text.replace(line, task + line)
    if folder.resolve().parent != ROOT:  # then `common` is in another place than the folder
        both = f"[{str(ROOT)!r}, str(Path(__file__).resolve().parents[1])]"
        text = text.replace(PATH, f"sys.path[:1] = {both}  # where `common` is, and where this folder is")
    return text.replace("dcgan", folder.resolve().name)


if __name__ == "__main__":
    sys.exit(main())
