"""DiffPose: denoising diffusion around a skeleton-graph network, on frames or on video.

Gong, Foo, Fan, Ke, Rahmani, Liu: "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023,
arXiv 2211.16940.

* ``config``      the switches (no torch)
* ``graph``       adjacency, Laplacian, Chebyshev basis
* ``layers``      graph convolution, normalisation, attention, learned-adjacency feed-forward
* ``kernels``     three operations with hand-written gradients
* ``network``     context encoder and denoiser
* ``mixste``      video context encoder
* ``context``     either context encoder, applied
* ``diffusion``   noise schedules, forward noising, DDIM
* ``mixture``     2D Gaussian mixtures: one component a joint; ``evidence``, those of a batch
* ``endpoint``    the mixture in space that noise leads to; ``depth``, its training-set part
* ``forward``     the forward process, and the start of the reverse one; ``noise``, its tables
* ``refiner``     the whole method in the network's units: loss and sampling
* ``samples``, ``aggregate``  hypotheses, and one answer of them
* ``latents``     what test-time optimisation moves
* ``units``       pixels and mm to the network's units and back
* ``module``      two-stage training, sampling
* ``checkpoint``  the authors' weights; ``mixste_names`` and ``weights_file`` are its parts
"""
