"""Motion-capture files to 17-joint clips.

* ``lines``     numbered lines of a text file, numbers checked as they are read
* ``captured``  what every reader returns: named points, bones with their rotations; the vertical
  axis and the unit, told by the people in a recording
* ``acclaim`` (ASF with AMC), ``bvh``   the readers of bones
* ``markers``   the readers of markers: TRC and C3D
* ``mapping``   named points to the 17 joints, millimetres, z up
* ``cleaning``  glitch repair, cuts, low-pass filter, resampling, constant bone lengths; bones that
  conversions dropped: restored, or guessed and marked approximate
* ``convert``   a folder of recordings to one npz file
"""
