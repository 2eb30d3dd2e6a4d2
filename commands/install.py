"""Install what is missing, for make: `python commands/install.py [FILE ...]`. With `--target FOLDER` first, for AI
Studio, into a folder that stays after a session.

It is run by its path and imports nothing of ours: there may be no package yet. pip, which a virtual environment of
uv's does not have, is asked for what is missing and for nothing else. A Paddle that is there stays: a build for CPUs
over it would cost the user the GPU.

Every Python from 3.6 on must be able to read this file, and to run it up to its imports: it says which one is needed.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 9), (3, 13)  # Pythons that Paddle has builds for
NEWEST_GPU = (3, 12)  # that the package index has one for GPUs for, which ends at Paddle 2.6.2


def unfit(newest: tuple, built: str = "") -> str:
    """What to say in a Python that Paddle has no build for, `built` "" or "GPUs and "."""
    first = "deactivate; " if os.environ.get("VIRTUAL_ENV") else ""
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():  # or make takes it again, whatever BASE_PYTHON says
        first += "rm -r .venv; "
    python, newest = ("{}.{}".format(*found) for found in (sys.version_info, newest))
    return (
        f"Paddle has no build for {built}Python {python}; name one from 3.9 to {newest}: "
        f"{first}make train BASE_PYTHON=python3.12"
    )


if __name__ == "__main__" and sys.version_info < OLDEST:
    print(f"error: {unfit(NEWEST)}", file=sys.stderr)
    sys.exit(2)

import importlib.util
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, distributions, version


def main(arguments: list[str]) -> str:
    """Install what this repository needs, and what is in the files that are named; or with `--check` alone, look at the
    Python only.

    Returns:
        What is wrong, in one line that ends with the way out; "" for nothing.
    """
    python = sys.version_info[:2]
    for_gpu = python == NEWEST and not paddle_version() and has_gpu()
    newest = NEWEST_GPU if for_gpu else NEWEST
    if not OLDEST <= python <= newest:
        return unfit(newest, "GPUs and " if for_gpu else "")
    files, target = arguments, None
    if arguments[:1] == ["--target"] and len(arguments) > 1:
        files, target = arguments[2:], str(Path(arguments[1]).absolute())
        sys.path.insert(0, target)  # what is there counts, and comes first, as $PYTHONPATH will have it
    looks_only = files == ["--check"]
    if not looks_only and not all((ROOT / name).is_file() for name in files):
        return f"{' '.join(arguments)}: expected python commands/install.py [--target FOLDER] [FILE ...], or --check"
    wanted = [] if looks_only else base() + [line for file in files for line in lines(ROOT / file)]
    missing = [requirement for requirement in wanted if not is_met(requirement)]
    if not missing:
        return ""
    names = ", ".join(map(name_of, missing))
    if importlib.util.find_spec("pip"):
        installer = [sys.executable, "-m", "pip", "install", "-q"]
        if target or sys.prefix != sys.base_prefix:  # `user = true` in pip's settings is an error there
            installer.append("--no-user")
    elif shutil.which("uv"):
        installer = ["uv", "pip", "install", "-q", "--python", sys.executable]
    else:
        return f"{sys.executable} has no pip to install {names} with; {sys.executable} -m ensurepip brings it"
    print("installing", names, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if target:
            held = Path(folder, "constraints.txt")
            held.write_text("\n".join(there_already(missing)))
            installer += ["--upgrade", "--target", target, "-c", str(held)]
        status = subprocess.run([*installer, *missing], check=False).returncode
    return f"{' '.join(installer[:4])} ended with {status}: see above" if status else ""


def there_already(but: list[str]) -> list[str]:
    """All packages that are installed, at their versions, but for those of the requirements `but`: what `--target` must
    not bring in another version, since pip installs there all that a package needs, whatever is elsewhere."""
    # The names alone: a `~umpy-….dist-info`, which pip leaves where it cannot remove a package, says numpy, too. The
    # package importlib_metadata, where something imported it, has None for a record that is empty.
    names = {(found.metadata or {}).get("Name") or "" for found in distributions()}
    known = [(plain(name), installed(name).partition("+")[0]) for name in names if name]
    versions = {name: number for name, number in known if number}
    for requirement in but:
        versions.pop(plain(name_of(requirement)), None)
    return [f"{name}=={number}" for name, number in sorted(versions.items())]


def installed(name: str) -> str:
    """The version of a package, of several that which is imported; "" where there is none, or its record is damaged."""
    try:
        return version(name) or ""
    except (PackageNotFoundError, KeyError, TypeError):
        return ""


def name_of(requirement: str) -> str:
    """The package that a requirement is of."""
    return re.split(r"[<>=!~; ]", requirement)[0]


def plain(name: str) -> str:
    """A package's name as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def base() -> list[str]:
    """The list for this machine; where there is a Paddle, the rest of the list that fits it: requirements.txt keeps
    NumPy 1, which Paddle 2 needs."""
    paddle = paddle_version()
    old = paddle.startswith("2.") if paddle else has_gpu()
    listed = lines(ROOT / ("requirements.txt" if old else "requirements-cpu.txt"))
    return [line for line in listed if not (paddle and line.startswith("paddlepaddle"))]


def has_gpu() -> bool:
    """Whether the driver of a GPU is there and sees one."""
    asked = shutil.which("nvidia-smi")
    return bool(asked) and subprocess.run([asked], check=False, capture_output=True).returncode == 0


def paddle_version() -> str:
    """The version of the Paddle that is there, "" for none or half of one, which an interrupted pip leaves. Importing
    it would take seconds."""
    found = importlib.util.find_spec("paddle")
    file = Path(found.origin).parent / "version/__init__.py" if found and found.origin else None
    if not file or not file.is_file():
        return ""
    text = file.read_text(encoding="utf-8")
    written = re.search(r"full_version\s*=\s*'([^']+)'", text)
    return written[1] if written else "unknown"


def lines(file: Path) -> list[str]:
    """The requirements that a file lists, without its comments."""
    bare = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in bare if line]


def is_met(requirement: str) -> bool:
    """Whether a package is there in a version that is wanted. `packaging`, which knows, comes with the first ones."""
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return False
    wanted = Requirement(requirement)
    there = installed(wanted.name)
    return bool(there) and wanted.specifier.contains(there, prereleases=True)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        sys.exit()
    problem = main(sys.argv[1:])
    if problem:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(2 if problem else 0)
