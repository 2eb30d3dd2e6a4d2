"""VisualDL: after a full disk the log goes on behind half a record, and what comes after cannot be read; nothing is
raised. A limit on the file's size stands for the full disk."""

import resource
import signal
import tempfile

from visualdl import LogReader, LogWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
with tempfile.TemporaryDirectory() as folder:
    writer = LogWriter(folder, flush_secs=0.1)
    path, refused = writer.file_name, 0
    for step in range(300):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if step < 200 else most, most))
        try:
            writer.add_scalar("loss", 1.0, step)
            writer.flush()
        except OSError:
            refused += 1
    writer.close()
    points = LogReader(file_path=path).get_data("scalar", "loss")
assert len(points) + refused == 300, f"{len(points)} of 300 points are there, {refused} were refused"
