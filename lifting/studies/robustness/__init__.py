"""What hidden, lost and wrong joints do to trained runs; ``lifting bench occlusion`` is the front.

* ``plan``         which corruptions, rates and levels; imports no torch
* ``corruptions``  lost, jittered, frozen and exchanged keypoints of a whole split
* ``pictures``     objects before people, and pictures that cut them off
* ``measure``      errors of every scored joint, plain and after test-time optimisation
* ``result``       a row of the study, and the area under a curve of rows
* ``study``        all runs before all corruptions
* ``search``       AdvOcc: the place of an object that each method finds worst
* ``report``       tables, curves and a chart as files
"""
