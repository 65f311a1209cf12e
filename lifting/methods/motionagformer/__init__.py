"""MotionAGFormer: attention and graph convolutions side by side, mixed layer by layer.

Mehraban, Adeli, Taati: "MotionAGFormer: Enhancing 3D human pose estimation with a
transformer-GCNFormer network", WACV 2024, arXiv 2310.16288.

* ``config``      the switches (no torch)
* ``graph``       mixers along bones, and along frames that are alike
* ``network``     the layers and the whole
* ``lifter``      its answers (no Lightning)
* ``module``      training
* ``checkpoint``  the authors' weights
"""
