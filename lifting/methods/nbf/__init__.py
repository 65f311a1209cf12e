"""3DNBF: neural body volumes, fitted to the features of an image, robust to occlusion.

Zhang, Ji, Wang, Mei, Kortylewski, Yuille: "3D-Aware Neural Body Fitting for Occlusion Robust 3D
Human Pose Estimation", ICCV 2023, arXiv 2308.10123. The bodies are in :mod:`lifting.body`.

* ``config``         the switches (no torch)
* ``crop``           the crop as a camera, the labels of a batch, squares before people in training
* ``image_network``  image to features, and to a first guess of the body
* ``kernels``        rays through Gaussian kernels, and their optical depth, with own gradients
* ``selection``      which kernels a ray looks at, dense or culled
* ``render``         weights of the kernels on the rays, and what they compose
* ``features``       features of kernels by the orientation of limbs, and of background
* ``contrast``       features that an image shows, and the losses that tell them apart
* ``body_pose``      rotations of a body, what fitting moves, and priors
* ``objective``      what fitting minimises: how well a rendered map explains an observed one
* ``fitting``        several starts in stages; what a fit held on the way
* ``pictures``       that for people to look at, in a test; ``drawing``, as a sheet and a film
* ``network``        all of it without Lightning; ``module``, under Lightning
"""
