"""Geometry on tensors: pure functions, any leading axes, any device.

One convention everywhere: millimetres and pixels; world z up; camera frame x right, y down,
z forward; rotation matrices act on column vectors.

* ``rotation``    quaternions, axis-angle, Euler angles, look-at; nearest and mean rotations
* ``camera``      the camera, projection, screen units, mirroring
* ``kinematics``  bone vectors, bone lengths and the scale they give, forward kinematics
* ``alignment``   root, scale and similarity alignment of poses
* ``triangulation``, ``hartley_sturm``   points from several views, and cameras as matrices
* ``triangulation_consensus``   joints that most views agree on, and how sure they are
* ``epipolar``, ``robust``   how two cameras stand to each other, from few pairs and from many
* ``resection``   where a camera stands
* ``bundle``, ``bundle_terms``, ``bundle_system``   cameras and a moving body
* ``root``        where a root-relative pose stands, or its scale and offset in the image
* ``solver``      damped least squares, every sample on its own
"""
