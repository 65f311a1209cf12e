"""EpipolarPose: a network of images trained from several views without 3D labels.

Kocabas, Karagoz, Akbas: "Self-Supervised Learning of 3D Human Pose using Multi-view Geometry",
CVPR 2019, arXiv 1903.02330. Its geometry is in :mod:`lifting.geometry`, its teacher in
:mod:`lifting.teacher`; the student that lifts keypoints is the method ``epipolar_student``, the
refinement unit the method ``refinement``.

* ``config``      the switches (no torch)
* ``network``     residual network, deconvolutions, volumes of scores and their soft-argmax
* ``crop``        camera, image, patch and normalised coordinates
* ``labels``      what is learnt: labels in normalised coordinates, or of several views; the loss
* ``augment``     random crops, colours and occlusion, and what is pasted
* ``student``     all of these: from pictures to a loss or to poses
* ``module``      training and prediction; scores of joints that pictures show and hide
* ``checkpoint``  the authors' weights, and weights to start from
"""
