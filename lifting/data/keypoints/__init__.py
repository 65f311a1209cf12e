"""Keypoint files of a user's own video.

* ``tracks``     ``read_keypoints``: people as unlabelled ``PoseTracks``; the rest needs no torch
* ``read``       ``read_video``: people in pixels, cleaned
* ``source``     what a file or folder is, by its content
* ``dialects``   formats, a file each, found by listing
* ``people``     everyone a detector saw, as checked arrays
* ``joint_order``    which joints a file has, by name, count or positions
* ``plausibility``   how well positions fit an order of joints
* ``pixels``     positions in pixels, missing joints, scaled exports
* ``timeline``   order and numbers of the frames; what the detector missed, filled in
* ``persons``    who is who, by ids or by ``following`` people over frames, and who is asked for
* ``entries``, ``numbered``, ``columns``   what dialects share: objects, frames by number, tables
* ``look``       what ``lifting data look`` says of a file
* ``cameras``    what a user knows of the cameras of a rig
"""
