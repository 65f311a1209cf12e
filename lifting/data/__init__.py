"""Data: readers behind one ``PoseDataModule``.

* ``config``       what a data section may say (no torch)
* ``sets``         the data sets, a folder each, found by listing (no torch)
* ``sequence``     ``MotionClips`` and ``PoseTracks``: all frames of a split, and what they mean
* ``sources``      a data section -> tracks, in the joints and at the rates of the data
* ``conform``      tracks in the joints and at the rate of a method, answers back at the input's
* ``keypoints``    a user's own keypoint files; ``mocap`` motion-capture files
* ``images``       people rendered as images, and the pictures of other sets
* ``procedural``   people and motion made from a seed
* ``doctor``       what is wrong with files
* ``folders``      where the files of data sets are looked for
* ``film``, ``rigs``   virtual cameras for motion that has none
* ``detections``, ``heatmaps``   detector-like 2D noise, and maps as a detector draws them
* ``mixtures``, ``mixture_em``   2D mixtures around detections and fitted to maps;
  ``mixture_sources`` makes those of whole splits, ``mixture_file`` keeps them
* ``window``, ``gather``, ``view_gather``, ``augment``, ``datamodule``   from tracks to batches
* ``rig_files``, ``rig_cache``   keypoint files of several cameras, and the teacher's solutions
* ``prepare``      what ``lifting data ...`` runs
"""
