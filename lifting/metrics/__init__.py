"""Scores of predicted poses, each stated once as a pure function and once as a streaming metric.

* ``protocol``          what a benchmark prescribes: joints, root, thresholds, action names
* ``collection``        everything that is logged in an evaluation, from one pass over the errors
* ``functional``        pure functions on tensors: errors first, then ways to pool them
* ``report``            scores read from the collection's summed tables
* ``accumulator``       named sums over batches and processes
* ``streaming``         base of the single metrics below
* ``position``          MPJPE and its aligned relatives, by joint and by action
* ``temporal``          errors of differences along time
* ``threshold``         PCK, AUC, CPS
* ``structure``         bones, and the pose structure score
* ``clusters``          fitted clusters of that score and their file; ``kmeans`` fits them
* ``multi_hypothesis``  best-of-H, aggregation, diversity
* ``calibration``       likelihood, coverage, sparsification

Millimetres and root-relative poses throughout; no metric centres a pose on its own.
"""
