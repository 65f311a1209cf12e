"""Data: readers behind one ``PoseDataModule``.

* ``config``       what a data section may say (no torch); ``check``, what is refused of it
* ``sets``         the data sets, a folder each, found by listing (no torch)
* ``describe``     what ``lifting data`` lists, describes, fetches and prepares (no torch)
* ``folders``, ``download``   where the files of data sets are looked for, and fetched from
* ``sequence``     ``MotionClips`` and ``PoseTracks``: all frames of a split, and what they mean
* ``sources``      a data section -> tracks, in the joints and at the rates of the data
* ``assemble``, ``splits``, ``two_d_npz``, ``lens_fit``, ``smpl``   what readers share
* ``conform``      tracks in the joints and at the rate of a method, answers back at the input's
* ``window``, ``sampler``, ``augment``, ``gather``, ``datamodule``   from tracks to batches
* ``info``         what a method may know of the data, and what its training was told
* ``cache``        derived tracks on disk
* ``film``         virtual cameras for motion that has none; ``refilm``, anew while one trains
* ``detections``, ``occlusion``, ``heatmaps``   detector-like 2D noise, and a detector's maps
* ``mixtures``     2D mixtures around detections and fitted to maps; ``mixture_file``, of splits
* ``epipolar_labels``   labels from a teacher of several views, and its kept solutions
* ``keypoints``    a user's own keypoint files; ``mocap`` motion-capture files
* ``images``       people rendered as images, and the pictures of other sets
* ``procedural``   people and motion made from a seed
* ``doctor``       what is wrong with files
"""
