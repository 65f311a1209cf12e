"""Blocks that two or more methods use; what only one uses stays in its folder.

* ``pose_loss``  distance between poses as a training loss
"""
