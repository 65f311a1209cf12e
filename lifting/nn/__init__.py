"""Blocks that two or more methods use; what only one uses stays in its folder.

* ``pose_loss``  distance between poses as a training loss
* ``resnet``     residual networks for images
* ``units``      pixels and mm to what the networks compute in
"""
