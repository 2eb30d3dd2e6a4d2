"""VisualDL: `add_pr_curve` and `add_roc_curve` fail with NumPy 1.24 and later, by `np.float`."""

import tempfile

import numpy as np
from visualdl import LogWriter

labels, scores = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.1])
with tempfile.TemporaryDirectory() as folder, LogWriter(folder) as writer:
    writer.add_pr_curve("precision and recall", labels, scores, step=0, num_thresholds=5)
    writer.add_roc_curve("sensitivity", labels, scores, step=0, num_thresholds=5)
