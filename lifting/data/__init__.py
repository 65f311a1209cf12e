"""Data: readers behind one ``PoseDataModule``.

* ``config``       what a data section may say (no torch)
* ``sequence``     ``PoseTracks``: all frames of a split as tensors
* ``sources``      name of a data set -> its reader
* ``synthetic``    procedural motion, the default (``procedural``); ``cmu``, ``human36m``,
  ``humaneva``, ``mpi_inf_3dhp``, ``pw3d``, ``oh50k`` and ``amass`` read files, ``keypoints`` a
  user's own
* ``images``       procedural people rendered as images
* ``image_folder`` pictures on disk beside the labels of a reader
* ``files``, ``archive``, ``pickled``, ``sandboxed``   reading files without trusting them
* ``film``, ``rigs``   virtual cameras for motion that has none
* ``detections``, ``heatmaps``   detector-like 2D noise, and maps as a detector draws them
* ``mixtures``, ``mixture_em``   2D mixtures around detections and fitted to maps;
  ``mixture_sources`` makes those of whole splits, ``mixture_file`` keeps them
* ``window``, ``gather``, ``view_gather``, ``augment``, ``datamodule``   from tracks to batches
* ``rig_files``, ``rig_cache``   keypoint files of several cameras, and the teacher's solutions
* ``prepare``      what ``lifting data ...`` runs
"""
