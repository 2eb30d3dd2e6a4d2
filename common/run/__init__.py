"""What a run writes, reads back and says.

Writes: `recorder` (all of it, now and then), `artifacts` (its folder, weights, logs), `grids` (and films), `board`
and `histograms` (VisualDL), `checkpoint`.
Reads back: `runs` (a run's folder), `logs` (after a stop), `families` (by their names).
Says: `words` (header and end), `progress` (the bar), `health` (warnings), `shows` (what went wrong and ends nothing).
Takes: `commandline`, `flags`, `interrupt`; `screen` and `lettering` are about letters that cannot be shown.
"""
