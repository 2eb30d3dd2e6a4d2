"""What every GAN of this repository shares: layers, losses, data, the step, the loop.

Importing it prepares this process for Paddle, which reads its environment once. This file and `language` must be
readable by every Python from 3.6 on: they say which Python is needed.
"""

import faulthandler
import gc
import importlib.util
import os
import signal
import sys
import threading
import zlib  # noqa: F401  before Paddle: after Paddle 2.6's import, `zlib.decompress` crashes some Pythons

from common.language import _

PACKAGES = {
    "numpy": "numpy",
    "paddle": "paddlepaddle",
    "PIL": "pillow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "filelock": "filelock",
    "tqdm": "tqdm",
    "matplotlib": "matplotlib",
}  # VisualDL and scikit-image are asked for where they are needed
NETWORKS = ("numpy", "paddle")  # enough for a network alone, which `paddle.hub` asks for by `hubconf.py`


YOUNG = 1000000  # objects that are made before Python looks for garbage, while a program imports


def interrupted(number, frame):
    """Ctrl-C where nothing is begun, or all is done: where a program was just then says nothing."""
    try:
        said = "\n%s\n" % _("interrupted")
        os.write(2, said.encode(getattr(sys.stderr, "encoding", None) or "utf-8", "replace"))
    finally:
        os._exit(130)


def interrupted_import(number, frame):
    """Ctrl-C while a program still imports; a loop of a student's own, without `command`, gets its exception."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            interrupted(number, frame)
        frame = frame.f_back
    raise KeyboardInterrupt


def taken_for_a_library(trace):
    """A file beside this repository's folders, such as a student's random.py, that an exception while a program still
    imports goes back to, since Python took it for a library's; "" for none."""
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    while trace:
        files.add(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    own = {os.path.basename(file) for file in files if file and os.path.dirname(os.path.realpath(file)) == root}
    libraries = set(getattr(sys, "stdlib_module_names", ())) | set(PACKAGES)  # of Python's own from 3.10 on
    taken = sorted(name for name in own if os.path.splitext(name)[0] in libraries)
    return os.path.join(root, taken[0]) if taken else ""


def not_imported(kind, error, trace):
    """An exception while a program still imports: a line, where a library of `PACKAGES` raised it while it loaded, or
    where a file has a library's name."""
    if kind is KeyboardInterrupt:  # between two imports, or in a student's own loop
        sys.stderr.write("\n%s\n" % _("interrupted"))
        return
    taken, seen = taken_for_a_library(trace), trace
    while seen and seen.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in PACKAGES:
        seen = seen.tb_next
    if taken:
        problem = _("{file} has the name of a Python library and takes its place; give it another name", file=taken)
    elif seen is None or seen.tb_frame.f_code.co_name != "<module>":  # our own fault, or a student's
        sys.__excepthook__(kind, error, trace)
        return
    else:
        library = seen.tb_frame.f_globals["__name__"].partition(".")[0]
        begins = {"matplotlib": "MPL", "paddle": "FLAGS_"}.get(library, library.upper() + "_")
        problem = _(
            '{library} cannot be imported ({error}); {python} -c "import {library}" says where. Is a variable of the '
            "environment wrong ({variables})? Else make the environment anew: rm -r .venv, then make setup",
            library=library,
            python=sys.executable,
            error="{}: {}".format(kind.__name__, " ".join(str(error).split())),
            variables=", ".join(sorted(name for name in os.environ if name.startswith(begins))) or begins + "…",
        )
    sys.stderr.write(_("error: {problem}", problem=problem) + "\n")
    sys.stderr.flush()
    os._exit(2)


def quiet_until_it_runs():
    """Let Ctrl-C and a library that does not load end a program of this repository with a line until `command` of
    `run/commandline.py` takes over: importing takes a second or two. A notebook, a test or a program from elsewhere
    that imports `common` keeps what it has."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    if program:
        folder = os.path.dirname
        ours = folder(folder(os.path.realpath(program))) == folder(folder(os.path.realpath(__file__)))
    else:  # `python -m` imports `commands/__init__.py`, and this, before the program's file has its name
        ours = sys.argv[:1] == ["-m"]
    if "IPython" in sys.modules or sys.flags.interactive:  # `%run`: the session goes on when the program has ended
        ours = False
    main_thread = threading.current_thread() is threading.main_thread()
    if ours:
        gc.set_threshold(YOUNG)  # to look through all that is imported takes a quarter of that time, for nothing
        sys.excepthook = not_imported
    if ours and main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted_import)


def imported():
    """Let a program of this repository look for garbage again, but for that in what it has imported, which stays for
    good; and let Python say where a crash was, in place of Paddle, which may wait for ever for the memory that crashed:
    a training that hangs is not started again. `command` calls it."""
    if sys.argv == [""]:  # Paddle empties it where the program's path is no text in this locale
        sys.argv = argv
    if gc.get_threshold()[0] == YOUNG:
        gc.freeze()
        gc.set_threshold(*usual)
        sys.excepthook = sys.__excepthook__
        if "paddle" in sys.modules:
            sys.modules["paddle"].disable_signal_handler()
        faulthandler.enable(sys.__stderr__)


def open_what_is_closed():
    """Let standard streams that are closed (`>&-`, pythonw) lead to the null device: else the next file to be opened
    would get the number, and what libraries print would land in it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            null = open(os.devnull, "w" if number else "r", encoding="utf-8", errors="replace")  # noqa: SIM115  for good
            setattr(sys, name, null)


def what_is_missing():
    """What keeps this Python from running this repository, in one line that ends with the way out; "" for nothing."""
    version = "{}.{}".format(*sys.version_info)
    if sys.version_info < (3, 9):
        return _(
            "{python} is Python {version}, and 3.9 to 3.13 are needed: make train BASE_PYTHON=python3.12, or on AI "
            "Studio a newer environment for the project",
            python=sys.executable,
            version=version,
        )
    try:
        os.getcwd()
    except OSError:  # a notebook or a terminal in a folder that was removed or cloned anew: Paddle would not load
        return _("the folder that you are in is gone; go to one that is there, or to it again: cd FOLDER")
    asked = NETWORKS if "hubconf" in sys.modules else PACKAGES
    missing = [PACKAGES[module] for module in asked if importlib.util.find_spec(module) is None]
    if missing:
        return _(
            "{python} has no {packages}; if there is an environment already: source .venv/bin/activate; else: make "
            "setup, or pip install -r requirements-cpu.txt",
            python=sys.executable,
            packages=", ".join(missing),
        )
    return ""


argv, usual = sys.argv, gc.get_threshold()
quiet_until_it_runs()
open_what_is_closed()
problem = what_is_missing()
if problem:
    sys.stderr.write(_("error: {problem}", problem=problem) + "\n")
    sys.exit(2)

from common.files import home  # noqa: E402  only a Python that is new enough can read these
from common.machine import cpu  # noqa: E402

try:
    home.prepare()
    cpu.prepare()
except (ValueError, OSError) as error:  # a variable of the environment, or nothing can be written anywhere
    sys.stderr.write("error: {}\n".format(error))
    sys.exit(2)
