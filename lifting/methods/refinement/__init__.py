"""The refinement unit: a residual perceptron that betters the 3D poses of any method.

Kocabas, Karagoz, Akbas: "Self-Supervised Learning of 3D Human Pose using Multi-view Geometry",
CVPR 2019, arXiv 1903.02330, section 3.3.

* ``config``    the switches (no torch)
* ``network``   the unit, and the unit in millimetres with its statistics
* ``module``    training and prediction, on top of a trained model or of one that is trained first
"""
