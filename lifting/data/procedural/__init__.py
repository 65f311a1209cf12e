"""Procedural people and motion: the default data, made from a seed.

* ``draws``          random numbers that depend on a seed and an id only, never on the batch
* ``anthropometry``  ``sample_bodies``: bone lengths and posture of people who do not exist
* ``curves``         ``BodyCurves``: what a primitive answers; easing, knots, smooth noise
* ``limbs``          directions of limbs from angles, and two-bone inverse kinematics; joint
  positions from directions, root placed by the supporting ankle
* ``arms``           arms that hang, gesture, reach or move freely; torso motion
* ``locomotion``     walk, run and jump, from recorded curves
* ``primitives``     turn, squat, sit, reach, bend, gesture and free, on legs whose feet are
  planted, step or are lifted; the table of all ten
* ``generator``      ``generate_motion``: which primitive when, how neighbours are blended, and all
  of it, in chunks of clips
"""
