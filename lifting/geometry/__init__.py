"""Geometry on tensors: pure functions, any leading axes, any device.

One convention everywhere: millimetres and pixels; world z up; camera frame x right, y down,
z forward; rotation matrices act on column vectors.

* ``rotation``    quaternions, axis-angle, Euler angles, look-at
* ``camera``      the camera, projection, screen units, mirroring
* ``kinematics``  bone vectors, bone lengths, forward kinematics
* ``alignment``   root, scale and similarity alignment of poses
* ``horn``        the rotation nearest to a moment matrix, for many at once
* ``projective``, ``triangulation``, ``hartley_sturm``, ``triangulation_error``   points from
  several views, and how sure they are
* ``epipolar``, ``five_point``, ``robust``, ``marginal``   how two cameras stand to each other
* ``averaging``, ``scale``   rotations of a whole rig, and its scale from bones
* ``consensus``, ``resection``   joints that most views agree on; where a camera stands
* ``bundle``, ``bundle_terms``, ``bundle_task``, ``bundle_system``   cameras and a moving body
* ``root``        where a root-relative pose stands, or its scale and offset in the image
* ``solver``      damped least squares, every sample on its own
"""
