"""Methods, one folder each, found by listing: see ``discovery``.

A folder holds ``config.py`` (the dataclass ``Config``, no torch) and ``module.py`` (the
LightningModule ``Module``); larger methods add ``network.py``, ``checkpoint.py`` and so on. Where
``lifter.py`` has the part of ``Module`` that answers (``Lifter``, no Lightning), own keypoints are
lifted without a trainer. A method knows the core; the core and other methods do not know it.

* ``lifter``      what every method is with weights: it answers batches (no Lightning)
* ``base``        what every method is under training, derived from it
* ``on_base``     that of a method that is built on another one
* ``clip_lifter``, ``clip_training``  the same of methods that answer all frames of a window;
  ``clip_config`` has the switches they share (no torch), ``clip_checkpoint`` reads their files
* ``settings``    what every method is given, and how its own switches are checked (no torch)
* ``discovery``   finds methods (no torch)
* ``conversion``  what a method offers to import weights published elsewhere
"""
