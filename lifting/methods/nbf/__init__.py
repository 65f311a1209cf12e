"""3DNBF: neural body volumes, fitted to the features of an image, robust to occlusion.

Zhang, Ji, Wang, Mei, Kortylewski, Yuille: "3D-Aware Neural Body Fitting for Occlusion Robust 3D
Human Pose Estimation", ICCV 2023, arXiv 2308.10123. The bodies are in :mod:`lifting.body`.

* ``config``       the switches (no torch)
* ``kernels``      rays through Gaussian kernels, and their optical depth, with own gradients
* ``selection``    which kernels a ray looks at; ``culling``, the same from fewer pairs
* ``render``       weights of the kernels on the rays, and what they compose
* ``orientation``  which way a limb points, and the features expected of it
* ``bank``         features of kernels and background, as running means
* ``observed``     features that an image shows of the kernels
* ``losses``       contrast between features
* ``extractor``    image to features; ``regressor``, the first guess of the body
* ``view``         the crop as a camera, and the labels of a batch; ``paste``, squares over images
* ``likelihood``   how well a rendered map explains an observed one
* ``rotations``    six numbers, vectors, and the body flipped in depth
* ``priors``       of poses, and what a first guess is worth; ``body_latents``, what fitting moves
* ``objective``    what fitting minimises; ``fitting``, several starts in stages
* ``recording``    what a fit held on the way; ``pictures``, that for people to look at
* ``network``      all of it without Lightning; ``module``, under Lightning
"""
