"""MixSTE: attention over joints and over frames, in turn; all frames of a window are lifted.

Zhang, Tu, Yang, Chen, Yuan: "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose
Estimation in Video", CVPR 2022, arXiv 2203.00859.

* ``config``      the switches (no torch)
* ``lifter``      units and answers (no Lightning); the network is :mod:`lifting.nn.mixste`
* ``module``      training
* ``checkpoint``  the authors' weights
"""
