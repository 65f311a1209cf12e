"""FMPose3D: conditional flow matching carries noise to a pose, frame by frame, in a few steps.

Wang, Yu, Mathis: "FMPose3D: monocular 3D Pose Estimation via Flow Matching", CVPR 2026,
arXiv 2602.05755.

* ``config``     the switches (no torch)
* ``network``    the velocity: graph convolution beside attention, then a perceptron
* ``flow``       the straight path, its loss, Euler steps, hypotheses in chunks
* ``aggregate``  how hypotheses become one answer by how well each joint projects (RPEA)
* ``checkpoint`` the authors' weights
* ``module``     training, prediction, latents of test-time optimisation
"""
