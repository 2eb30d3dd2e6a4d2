"""VisualDL: two runs with the same `display_name` have one name on its pages, which show one of them."""

import tempfile

from visualdl import LogReader, LogWriter
from visualdl.server.lib import get_runs

with tempfile.TemporaryDirectory() as folder:
    for name, value in (("a", 1.0), ("b", 2.0)):
        with LogWriter(f"{folder}/{name}", display_name="run") as writer:
            writer.add_scalar("loss", value, 0)
    reader = LogReader(folder)
    reader.load_new_data()
    shown = get_runs(reader)
assert len({*shown}) == 2, shown
