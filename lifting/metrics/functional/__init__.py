"""Metrics as pure functions: first the error of every joint, then ways to pool the errors.

* ``errors``       joint errors with masks and a policy for values that are not finite; pooling
* ``position``     MPJPE, PA-MPJPE, N-MPJPE
* ``temporal``     errors of differences along time
* ``threshold``    PCK, AUC, CPS, the groups of MPI-INF-3DHP
* ``structure``    bone lengths, symmetry, pose structure score
* ``hypotheses``   best-of-H, aggregation, diversity
* ``calibration``  likelihood, coverage, sample scores
* ``ranking``      sparsification and rank correlation of an uncertainty, sorted or from histograms

Every function converts to float64 before it sums, takes millimetres, never centres a pose, and
ignores whatever stands where the mask is False.
"""
