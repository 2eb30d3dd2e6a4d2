"""What starter, submission and grading share: who a student is, what has to be run, what is handed in."""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.files.atomic import write_all

HERE = Path(__file__).resolve().parent
CARD = "student.json"  # beside the student's code
REPORT = "report.md"  # there, too
CODE = ("model.py", "train.py")
LANGUAGES = ("zh", "en")
RUNS = ("dcgan", "lsgan")  # folders in what is handed in; the second is of the student's own code
MANIFEST, PICTURE = "submission.json", "compare.png"
WANTED = (  # all files of a submission
    MANIFEST, REPORT, PICTURE, *(f"code/{name}" for name in CODE),
    *(f"{run}/{name}" for run in RUNS for name in ("config.json", "losses.csv")),
)  # fmt: skip
LARGEST = 8 * 2**20  # bytes of one file, unpacked
LARGEST_LOSSES = 4 * 2**20  # of a `losses.csv`: 5,625 steps have 0.8 MB, 20,000 have 2.8
LARGEST_CODE = 2**16
STEPS = 5_625  # of a required run, three epochs of MNIST: from there on LSGAN is no longer behind (docs/results.md)
RECIPE = {"--batch-size": 32, "--learning-rate": 2e-4, "--beta1": 0.5}  # the course's, and no other flag of the game
ASKED = 2  # questions of the pool for each student
QUESTIONS = 5  # of the report; the last one holds those of the pool
SHORTEST = 20  # characters of an answer that counts as one


class Student(NamedTuple):
    """Who hands in."""

    number: str
    name: str
    language: str = "zh"

    @property
    def seed(self) -> int:
        """The seed of the student's runs: the CRC-32 of the number. Two of a class share one by a chance of 1 in
        millions, so equal curves are copied ones."""
        return zlib.crc32(self.number.encode())

    def questions(self, count: int) -> tuple[int, ...]:
        """Which of `count` questions of the pool are this student's, from 1 on."""
        drawn = list(combinations(range(1, count + 1), ASKED))
        return drawn[self.seed % len(drawn)]


def largest(name: str) -> int:
    """The bytes that a file of a submission may have."""
    if name.endswith("/losses.csv"):
        return LARGEST_LOSSES
    return LARGEST_CODE if name.startswith("code/") else LARGEST


def student(number: str, name: str, language: str = "zh") -> Student:
    """A student as typed: full-width digits and letters, spaces and small letters make no difference.

    Raises:
        UserError: there is no number, or it could not be the name of a file.
    """
    number = unicodedata.normalize("NFKC", number).strip().upper()
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9_-]{0,31}", number):
        raise UserError(f"--number {number!r}: expected your student number, up to 32 letters and digits")
    name = " ".join("".join(letter for letter in name if letter.isprintable()).split())[:64]
    return Student(number, name, language if language in LANGUAGES else "zh")


def write_card(folder: Path, who: Student) -> None:
    """Keep in a student's folder whose it is."""
    write_all({folder / CARD: json.dumps(who._asdict(), ensure_ascii=False, indent=1).encode() + b"\n"})


def check_folder(folder: Path) -> None:
    """Raise `UserError` where it is no folder of the assignment's code."""
    for file in CODE:
        if not (folder / file).is_file():
            raise UserError(
                f"{folder}: no {file} in it; name the folder that assignment/starter.py made, such as my_lsgan"
            )


def read_card(folder: Path) -> Student:
    """Whose folder it is; raises `UserError` where it does not say."""
    path = folder / CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        return student(str(found["number"]), str(found["name"]), found.get("language", "zh"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: it does not say who you are ({type(error).__name__}); "
            f"python assignment/starter.py {folder} --number YOURS --name YOURS writes it anew"
        ) from error


def flags(who: Student, dataset: str = "auto") -> list[str]:
    """The flags of both required runs. On a CPU, where a seed gives the same first steps on every machine."""
    return ["--dataset", dataset, "--device", "cpu", "--seed", str(who.seed), "--max-steps", str(STEPS)]


def suffix(language: str) -> str:
    """What the name of a page in this language ends with."""
    return ".zh-CN.md" if language == "zh" else ".md"


def pool(language: str) -> list[str]:
    """The questions to draw from; their answers are in a file that no student's copy has."""
    text = (HERE / f"questions{suffix(language)}").read_text(encoding="utf-8")
    return [" ".join(found.split()) for found in re.findall(r"^\d+\. (.+(?:\n +\S.*)*)", text, re.M)]


def blank_report(who: Student) -> str:
    """The report to fill in, with this student's own questions."""
    questions = pool(who.language)
    mine = "\n>\n".join(f"> **{number}.** {questions[number - 1]}" for number in who.questions(len(questions)))
    template = (HERE / f"report{suffix(who.language)}").read_text(encoding="utf-8").partition("-->\n")[2].lstrip()
    for field, value in {"NUMBER": who.number, "NAME": who.name, "SEED": str(who.seed), "> DRAWN": mine}.items():
        template = template.replace(field, value)
    return template


def sections(report: str) -> list[str]:
    """A report cut before each of its headings `## 1.`, `## 2.` and so on; what comes first is its head."""
    return re.split(r"^(?=## \d)", report, flags=re.M)


def answers(report: str) -> dict[int, str]:
    """What stands under each question of a report, without the quoted question itself."""
    found = {}
    for section in sections(report)[1:]:
        found[int(section[3])] = "\n".join(parted(section)[1]).strip()
    return found


def parted(section: str) -> tuple[list[str], list[str]]:
    """The lines of a section's question, which is quoted, and those after it. An answer may quote, too."""
    lines = section.partition("\n")[2].strip().split("\n")
    length = next((place for place, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return lines[:length], lines[length:]


def filled(report: str, given: dict[int, str]) -> str:
    """A report with these answers in place of those that it has; a blank one takes the place of none."""
    head, *rest = sections(report)
    old = answers(report)
    for index, section in enumerate(rest):
        heading, quoted, number = section.partition("\n")[0], parted(section)[0], int(section[3])
        rest[index] = "\n".join([heading, "", *quoted, "", given.get(number, "").strip() or old[number], "", ""])
    return head + "".join(rest)


def is_answered(text: str) -> bool:
    """Whether there is an answer at all; whether it is right is for a teacher to say."""
    return len("".join(text.split())) >= SHORTEST


def troubles(config: dict, rows: int, family: str, who: Student, steps: int) -> list[str]:
    """What is not as required of a run: its `config.json`, and how many rows `losses.csv` has.

    Args:
        family: `dcgan`, or the name of the student's folder.
    """
    identity = config.get("identity")
    its = dict(identity) if isinstance(identity, dict) else {}
    its.pop("data set", None)
    wanted = {"family": family, "--seed": who.seed, **RECIPE}
    found = [
        f"{name} is {its.get(name, 'the default')}, required is {wanted.get(name, 'the default')}"
        for name in sorted({*its, *wanted})
        if its.get(name) != wanted.get(name)
    ]
    if not str(config.get("device", "")).startswith("cpu"):
        found.append(f"it ran on {config.get('device')}, required is the CPU")
    if rows < steps:
        found.append(f"{rows:,} steps, required are {steps:,}")
    return found
