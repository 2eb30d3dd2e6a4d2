"""VisualDL: a picture of bytes whose largest is 1, nearly black, is shown bright; and the array given is changed."""

import io
import tempfile

import numpy as np
from PIL import Image
from visualdl import LogReader, LogWriter

picture = np.ones([4, 4, 3], np.uint8)
with tempfile.TemporaryDirectory() as folder:
    with LogWriter(folder) as writer:
        writer.add_image("dark", picture, 0)
        path = writer.file_name
    shown = LogReader(file_path=path).get_data("image", "dark")[0].image.encoded_image_string
found = np.asarray(Image.open(io.BytesIO(shown))).max()
assert (found, picture.max()) == (1, 1), (found, picture.max())
