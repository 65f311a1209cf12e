"""DiffPose: denoising diffusion around a skeleton-graph network, on frames or on video.

Gong, Foo, Fan, Ke, Rahmani, Liu: "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023,
arXiv 2211.16940.

* ``config``      the switches (no torch); ``checks``, what they must satisfy
* ``graph``       adjacency, Laplacian, Chebyshev basis
* ``layers``      graph convolution, normalisation, attention, learned-adjacency feed-forward
* ``kernels``     three operations with hand-written gradients
* ``size``        how large the two networks are, and what the denoiser hears (no torch)
* ``network``     context encoder and denoiser
* ``folded``      either of them as it answers on a processor; ``folded_layers``, its parts
* ``mixste``      video context encoder
* ``context``     either context encoder, applied
* ``diffusion``   noise schedules, forward noising, DDIM
* ``mixture``     2D Gaussian mixtures: one component a joint; ``evidence``, those of a batch
* ``endpoint``    the mixture in space that noise leads to; ``depth``, its training-set part
* ``forward``     the forward process, and the start of the reverse one; ``noise``, its tables
* ``denoiser``    how a denoiser is built and asked; ``example``, what its training sees
* ``sampler``     the reverse process of all hypotheses; ``guidance``, energies that lead it
* ``student``     the few-step student, by consistency distillation
* ``refiner``     the whole method in the network's units: losses and sampling
* ``samples``, ``aggregate``  hypotheses, and one answer of them
* ``latents``     what test-time optimisation moves
* ``units``       pixels and mm to the network's units and back
* ``module``      training in stages, sampling
* ``checkpoint``  the authors' weights; ``mixste_names`` is a part of it
"""
