"""VisualDL: `add_hparams` fails with a bool, which its documentation allows."""

import tempfile

from visualdl import LogWriter

with tempfile.TemporaryDirectory() as folder, LogWriter(folder) as writer:
    writer.add_hparams({"resume": True}, ["loss"])
