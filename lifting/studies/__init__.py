"""Questions asked of trained runs of any method.

* ``command``       options that the command lines share; light
* ``plan``          which runs, frames and variants; imports no torch
* ``frames``        the test frames that all runs see
* ``measure``       trained runs, their answers, errors and cost
* ``page``          Markdown, JSON, CSV and charts
* ``leaderboard``   every method under one budget, and learning curves
* ``board``         its table, files and chart, and a recorded one beside it
* ``board_page``    recorded tables as a page to sort
* ``look``          what else a leaderboard tells of a run: motion, bad keypoints, cost
* ``cut``           how long a training of so many processor seconds is
* ``sweep``         one experiment under many settings
* ``wandb_sweep``   the same with W&B handing out the variants
* ``optimisation``  methods beside variants of test-time optimisation
* ``curves``        error and residual after every step of an optimisation
* ``calibration``   the expected error made right on the validation split
* ``robustness/``   hidden, lost and wrong joints

Tables of one method are scripts in ``experiments/studies``.
"""
