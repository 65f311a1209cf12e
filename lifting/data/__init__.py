"""Data: readers behind one ``PoseDataModule``.

* ``config``       what a data section may say (no torch)
* ``sequence``     ``PoseTracks``: all frames of a split as tensors
* ``sources``      name of a data set -> its reader
* ``synthetic``    procedural motion, the default; ``cmu`` and the others read files
* ``detections``   detector-like 2D noise, heatmaps and mixtures
* ``window``, ``augment``, ``datamodule``   from tracks to batches
* ``prepare``      what ``lifting data ...`` runs
"""
