"""Blocks that two or more methods use; what only one uses stays in its folder.

* ``chunks``       how many hypotheses a network is given at a time
* ``clip_loss``    losses of answers to whole windows
* ``dropout``      dropout whose random numbers are cheap, and branches left out
* ``expected_error``   a head for how far off each joint is expected to be, its loss and units
* ``graph``        convolution over the bones and mirrored pairs of a skeleton
* ``hypotheses``   several answers, and how they become one
* ``inputs``       what networks see of keypoints: the picture, or a person, turned towards or not
* ``mixste``       transformer over joints and over frames, in turn
* ``pose_loss``    distance between poses as a training loss
* ``resnet``       residual networks for images
* ``threads``      threads of torch for a while
* ``two_streams``  attention, perceptrons, and the mix of two streams of them
* ``units``        pixels and mm to what the networks compute in
"""
