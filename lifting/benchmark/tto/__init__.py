"""Studies of test-time optimisation on trained runs; ``lifting tto`` is their front.

* ``plan``       which runs, frames, variants and 2D inputs; imports no torch
* ``subset``     the test frames that all runs see
* ``measure``    scores, residuals and cost of one variant on those frames
* ``table``      methods beside variants, deployable and oracle results apart
* ``iterates``   the answer at every step of one optimisation
* ``curves``     error and residual against steps
* ``calibrate``  the expected error made right on the validation split
* ``report``     the tables and charts as files
"""
