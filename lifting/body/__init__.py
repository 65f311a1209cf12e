"""Bodies that a pose moves.

* ``kernel_body``   what every body of Gaussian kernels offers, and kernels carried by joints
* ``ellipsoid``     ``EllipsoidBody``: 17 joints with kernels along limbs and torso, freely usable;
  the same body as hard ellipsoids, for pictures
* ``ellipsoid_layout``   its proportions, and where its kernels lie
* ``ellipsoid_fit``      shape and pose from 17 joints, in closed form
* ``smpl``          SMPL, SMPL-H and SMPL-X from arrays of the user's model file: rest joints,
  forward kinematics, blend shapes and linear blend skinning; the 17 common joints from theirs

The arrays themselves are read by ``lifting.data.smpl``; no licensed file is part of this
package.
"""
