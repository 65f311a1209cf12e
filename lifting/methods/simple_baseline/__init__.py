"""Simple baseline: a residual multilayer perceptron, frame by frame.

Martinez, Hossain, Romero, Little: "A Simple yet Effective Baseline for 3D Human Pose Estimation",
ICCV 2017, arXiv 1705.03098.

* ``config``  the switches (no torch)
* ``network`` the multilayer perceptron
* ``lifter``  its units and answers (no Lightning)
* ``module``  training
"""
