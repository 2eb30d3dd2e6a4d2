"""What every GAN of this repository shares: layers, data, the step, the loop, the commands.

Importing it prepares this process for Paddle, which reads its environment once. This file alone must be readable by
every Python from 3.6 on: it is the one that says which Python is needed.
"""

import importlib.util
import sys
import zlib  # noqa: F401  before Paddle: after Paddle 2.6's import, `zlib.decompress` crashes some Pythons

PACKAGES = {
    "numpy": "numpy",
    "paddle": "paddlepaddle",
    "PIL": "pillow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "tqdm": "tqdm",
    "matplotlib": "matplotlib",
    "visualdl": "visualdl",
}


def what_is_missing():
    """What keeps this Python from running this repository, in one line that ends with the way out; "" for nothing."""
    version = "{}.{}".format(*sys.version_info)
    if sys.version_info < (3, 9):
        return (
            "{} is Python {}, and 3.9 to 3.13 are needed: make BASE_PYTHON=python3.12, or on AI Studio a newer "
            "environment for the project".format(sys.executable, version)
        )
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        return (
            "{} has no {}; if there is an environment already: source .venv/bin/activate; else: make setup, or "
            "pip install -r requirements-cpu.txt".format(sys.executable, ", ".join(missing))
        )
    return ""


problem = what_is_missing()
if problem:
    sys.stderr.write("error: " + problem + "\n")
    sys.exit(2)

from common.machine import cpu  # noqa: E402  only a Python that is new enough can read it

cpu.prepare()
