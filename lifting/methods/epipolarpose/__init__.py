"""EpipolarPose: a monocular pose network trained from several views without 3D labels.

Kocabas, Karagoz, Akbas: "Self-Supervised Learning of 3D Human Pose using Multi-view Geometry",
CVPR 2019, arXiv 1903.02330. Its geometry is in :mod:`lifting.geometry`, its teacher in
:mod:`lifting.teacher`, whose labels serve every method of the project; here are the student of
keypoints, the network of images and the refinement unit.

* ``config``      the switches (no torch)
* ``keypoint``    any lifting method as the student of a teacher's labels; ``keypoint_config``,
  ``keypoint_losses``
* ``network``     residual network, deconvolutions, volumes of scores
* ``softargmax``  expected place of a joint in its volume
* ``crop``        camera, image, patch and normalised coordinates
* ``labels``      labels in normalised coordinates, and the loss
* ``augment``     random crops, colours and occlusion; ``occluders``, what is pasted
* ``views``       labels of several views while training
* ``student``     all of these: from pictures to a loss or to poses
* ``sight``       scores of joints that pictures show and hide
* ``refiner``     the refinement unit; ``trained``, the model below it
* ``module``      training and prediction
* ``checkpoint``  the authors' weights, and weights to start from
"""
