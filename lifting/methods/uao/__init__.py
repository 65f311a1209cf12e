"""UAO: a lifting network with its own error estimate, made for test-time optimisation.

Wang, Liu, Liu, Ren, You, Li, Sebe, Li: "Uncertainty-Aware Testing-Time Optimization for 3D Human
Pose Estimation",
arXiv 2402.02339, IEEE Transactions on Multimedia 2025. The optimisation itself is in
:mod:`lifting.tto`, for every method.

* ``config``      the switches (no torch)
* ``network``     GUMLP: encoder, graph convolution and U-shaped perceptrons, two heads
* ``lifter``      its units and answers, latents for test-time optimisation (no Lightning)
* ``module``      loss of the predicted log error, training
* ``checkpoint``  the authors' weights
"""
