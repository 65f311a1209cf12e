"""VideoPose3D: dilated convolutions over time.

Pavllo, Feichtenhofer, Grangier, Auli: "3D human pose estimation in video with temporal
convolutions and semi-supervised training", CVPR 2019, arXiv 1811.11742.

* ``config``   the switches (no torch)
* ``network``  the temporal network, in its dilated and its strided form
* ``lifter``   its units and answers (no Lightning)
* ``module``   training
"""
