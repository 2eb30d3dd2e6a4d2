"""VisualDL: of embeddings below a folder that begins with /, its server gives the vectors in place of the labels: one
entry of its cache for both. The page waits for ever."""

import tempfile

from visualdl import LogWriter
from visualdl.server.api import Api

with tempfile.TemporaryDirectory() as folder:
    with LogWriter(folder) as writer:
        writer.add_embeddings("letters", [[0.0, 1.0], [1.0, 0.0]], ["a", "b"])
    api = Api(folder, None, 20)
    api.embedding_list()
    vectors, *_ = api.embedding_tensor(f"{folder}/letters")
    labels, *_ = api.embedding_metadata(f"{folder}/letters")
assert labels == "a\r\nb\r\n", labels
