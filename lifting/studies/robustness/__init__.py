"""What hidden, lost and wrong joints do to trained runs; ``lifting robustness`` is the front.

* ``plan``         which corruptions, rates and levels; imports no torch
* ``corruptions``  of keypoints, and parts of pictures that are hidden
* ``study``        all runs before all corruptions, and the area under a curve of rows
* ``search``       AdvOcc: the place of an object that each method finds worst
* ``report``       tables, curves and a chart as files
"""
