"""D3DP: diffusion over whole sequences of poses, several of which become one answer (JPMA).

Shan, Liu, Zhang, Wang, Han, Wang, Ma, Gao: "Diffusion-Based 3D Human Pose Estimation with
Multi-Hypothesis Aggregation", ICCV 2023, arXiv 2303.11579.

* ``config``      the switches (no torch)
* ``diffusion``   noise schedule, forward noising, the reverse process
* ``network``     the denoiser: :mod:`lifting.nn.mixste`, told of the noise level
* ``lifter``      hypotheses, and one answer of them (no Lightning)
* ``module``      training
* ``checkpoint``  the authors' weights
"""
