"""Procedural people and motion: the default data, made from a seed.

* ``draws``          random numbers that depend on a seed and an id only, never on the batch
* ``anthropometry``  ``sample_bodies``: bone lengths and posture of people who do not exist
* ``curves``         ``BodyCurves``: what a primitive answers; easing, knots, smooth noise
* ``gait``           Fourier tables of walking and running
* ``frames``         coordinate frames that turn about their own axes
* ``limbs``          directions of limbs from angles, and two-bone inverse kinematics
* ``stance``         legs of a body whose feet are planted, step or are lifted
* ``arms``           arms that hang, gesture, reach or move freely; torso motion
* ``locomotion``     walk, run and jump, from recorded curves
* ``primitives``     turn, squat, sit, reach, bend, gesture and free; the table of all ten
* ``plan``           which primitive when, and how neighbours are blended
* ``posing``         directions -> joint positions, root placed by the supporting ankle
* ``generator``      ``generate_motion``: all of it, in chunks of clips
"""
