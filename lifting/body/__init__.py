"""Bodies that a pose moves.

* ``smpl``      SMPL, SMPL-H and SMPL-X from arrays of the user's model file: rest joints, forward
  kinematics, blend shapes and linear blend skinning
* ``joints17``  the 17 common joints from those of such a body

The arrays themselves are read by ``lifting.data.smpl_file``; no licensed file is part of this
package.
"""
