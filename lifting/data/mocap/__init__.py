"""Motion-capture files to 17-joint clips.

* ``lines``     numbered lines of a text file, numbers checked as they are read
* ``captured``  what every reader returns: named points, bones with their rotations
* ``asf``, ``amc``, ``bvh``   the readers of bones
* ``trc``, ``c3d``   the readers of markers
* ``own_npz``   3D motion of one's own as arrays
* ``upright``   the vertical axis and the unit, told by the people in a recording
* ``lost_bones``  what conversions dropped: restored, or guessed and marked approximate
* ``mapping``   named points to the 17 joints, millimetres, z up
* ``cleaning``  glitch repair, cuts, low-pass filter, resampling, constant bone lengths
* ``convert``   a folder of recordings to one npz file
"""
