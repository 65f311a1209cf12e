"""The teacher: cameras and 3D joints from synchronised keypoints of several views, without labels.

* ``options``    how a rig is solved; imports no torch
* ``views``      what goes in: keypoints of every view, and what is known of the cameras
* ``solve``      the whole: ``solve_rig``
* ``cameras``    cameras from keypoints, and their scale; ``pairs``, of which they are put together
* ``joints``     joints of all frames once the cameras are known, and what is not believed of them
* ``swaps``      left and right that a detector exchanged in a view
* ``quality``    the verdict and its figures
* ``solution``   what comes out, the labels of each camera, and its file
* ``rig_report``      the same as a report for people
* ``held_out_view``   the error in a view that took no part
"""
