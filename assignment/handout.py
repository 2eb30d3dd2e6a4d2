"""What a teacher gives to a class: `python assignment/handout.py handout` writes the notebook with blanks, and a zip of
this repository without the solution and the answers, in which the starter works, too."""

from __future__ import annotations

import os
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from assignment.notebook import write_notebook
from common.errors import DONE
from common.files.atomic import atomic
from common.run.commandline import Parser, command, user_path

NOTEBOOK, ARCHIVE = "homework.ipynb", "dcgan-lsgan.zip"
PACKED = (
    "common/**/*", "commands/*", "dcgan/*", "assignment/*.py",
    "assignment/questions*.md", "assignment/report*.md", "assignment/start.*", "docs/images/saturation.png",
    "docs/images/*dcgan.png", "docs/watch.html", "notebooks/requirements.txt", "requirements*.txt", "Makefile",
    "LICENSE",
)  # fmt: skip
# For the teacher alone: what makes this, what grades.
KEPT = {
    "handout.py", "notebook.py", "grade.py", "handed.py", "examine.py", "sandbox.py", "syntax.py", "unpack.py",
    "replay.py",
}  # fmt: skip


@command
def main(arguments: list[str] | None = None) -> int:
    """Write what a class gets: the assignment with blanks, a notebook for the browser, and a zip of this repository
    without the solution and the answers. Both are uploaded to AI Studio; on a laptop the zip is enough.
    """
    parser = Parser(prog="python assignment/handout.py", description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=user_path, help="where to write them, such as handout")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    write_notebook(folder / NOTEBOOK)
    paths = sorted({path for pattern in PACKED for path in ROOT.glob(pattern) if is_packed(path)})
    with (
        atomic(folder / ARCHIVE) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
    ):
        places = {path: path.name if path.name.startswith("start.") else path.relative_to(ROOT) for path in paths}
        there = {Path(place) for place in places.values()}
        for path, place in places.items():
            name = Path("dcgan-lsgan", place).as_posix()
            content = path.read_bytes()
            if path.suffix == ".md":
                content = with_links_to(there, Path(place).parent, content.decode()).encode()
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        archive.write(folder / NOTEBOOK, f"dcgan-lsgan/{NOTEBOOK}")
    print(f"{folder / NOTEBOOK}: the assignment with blanks, for the browser")
    print(f"{folder / ARCHIVE}: {len(paths) + 1} files, without lsgan/ and the answers")
    return DONE


def with_links_to(there: set[Path], folder: Path, text: str) -> str:
    """A page in `folder` whose links to files that are not `there` are plain words."""

    def kept(link: re.Match[str]) -> str:
        words, target = link.groups()
        leads = target.startswith(("http", "#")) or Path(os.path.normpath(folder / target.partition("#")[0])) in there
        return link[0] if leads else words

    return re.sub(r"(?<!!)\[([^][]*)\]\(([^)\s]+)\)", kept, text)


def is_packed(path: Path) -> bool:
    """Whether a file goes to the class."""
    return (
        path.is_file()
        and "__pycache__" not in path.parts
        and not (path.parent.name == "assignment" and path.name in KEPT)
    )


if __name__ == "__main__":
    sys.exit(main())
