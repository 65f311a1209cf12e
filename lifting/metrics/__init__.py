"""Scores of predicted poses, each stated once as a pure function.

* ``protocol``       what a benchmark prescribes: joints, root, thresholds, action names
* ``collection``     everything that is logged in an evaluation, from one pass over the errors
* ``report``         scores read from the collection's summed tables
* ``motion``         velocity and acceleration, whatever order frames come in
* ``sums``           named sums over batches and processes
* ``functional``     pure functions on tensors: errors first, then ways to pool them
* ``clusters``       clusters of the pose structure score: fitting them, and their file
* ``single``         one metric alone, as a class of torchmetrics: MPJPE and its aligned relatives,
  by joint and by action, errors of differences along time, of several hypotheses
* ``single_scores``  the same for PCK, AUC, CPS, bones, the pose structure score
* ``calibration``    the same for an uncertainty: likelihood, coverage, sparsification

Millimetres and root-relative poses throughout; no metric centres a pose on its own.
"""
