"""Keypoint files of a user's own video.

* ``read``       ``read_keypoints``: one person as unlabelled ``PoseTracks``
* ``formats``    which format a file or folder has
* ``coco``, ``openpose``, ``mmpose``, ``alphapose``, ``mediapipe``, ``plain``   one format each
* ``json_file``  JSON that cannot be trusted
* ``people``     everyone a detector saw, as checked arrays
* ``joint_order``    which joints a file has, by name, count or positions
* ``plausibility``   how well positions fit an order of joints
* ``pixels``     positions in pixels, missing joints, scaled exports
* ``timeline``   order and numbers of the frames
* ``persons``    one person out of all
* ``gaps``       what the detector missed, filled in
"""
