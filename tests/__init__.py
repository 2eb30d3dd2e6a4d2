"""The tests. This is imported before `common`, which sets up the process that imports it: what the user's environment
was is read here."""

import json
import os

NAMES = ("OMP_NUM_THREADS", "GAN_USERS_OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "KMP_BLOCKTIME")
# pytest-xdist's workers start after the first process has set itself up: it tells them.
USERS = json.loads(os.environ.setdefault("TESTS_SET_UP", json.dumps({name: os.environ.get(name) for name in NAMES})))
if "PYTEST_XDIST_WORKER" in os.environ:  # several at once: on two cores a second thread would only wait
    USERS["OMP_NUM_THREADS"] = USERS["OMP_NUM_THREADS"] or "1"
    os.environ["GAN_USERS_OMP_NUM_THREADS"] = USERS["OMP_NUM_THREADS"]  # in this process, too
os.environ["LANGUAGE"] = "en"  # what is said is compared word by word, whatever this machine speaks
