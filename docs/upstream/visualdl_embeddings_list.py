"""VisualDL: embeddings that are logged while it serves are never listed."""

import tempfile

from visualdl import LogReader, LogWriter
from visualdl.server.lib import get_embeddings_list

with tempfile.TemporaryDirectory() as folder, LogWriter(folder) as writer:
    reader = LogReader(folder)
    for epoch in (1, 2):
        writer.add_embeddings(f"epoch {epoch}", [[0.0, 1.0], [1.0, 0.0]], ["a", "b"])
        writer.flush()
        reader.load_new_data()
        listed = get_embeddings_list(reader)
assert len(listed) == 2, listed
