"""How good images are; knows no game. `judge` is the classifier, `metrics` are formulas, `reference` is the side of the
real images, `tables` writes. `commands.evaluate` judges a run, `run/recorder.py` one that is going on."""
