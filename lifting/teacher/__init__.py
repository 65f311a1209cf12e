"""The teacher: cameras and 3D joints from synchronised keypoints of several views, without labels.

* ``options``    how a rig is solved; imports no torch
* ``views``      what goes in: keypoints of every view, and what is known of the cameras
* ``solve``      the whole: ``solve_rig``
* ``cameras``    cameras from keypoints: pairs of them (``relative``), put together (``assemble``)
* ``joints``     joints of all frames once the cameras are known
* ``swaps``      left and right that a detector exchanged in a view
* ``reject``     what is not believed, and the weights of what is
* ``stature``    lengths of bones of people, for the scale
* ``quality``    the verdict, with ``synchrony`` and its figures
* ``solution``   what comes out, and the labels of each camera
* ``solution_file``, ``report``   the same as a file, and as a report for people
* ``held_out``   the error in a view that took no part
"""
