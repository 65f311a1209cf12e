"""DiffPose: denoising diffusion around a skeleton-graph network, on frames or on video.

Gong, Foo, Fan, Ke, Rahmani, Liu: "DiffPose: Toward More Reliable 3D Pose Estimation", CVPR 2023,
arXiv 2211.16940.

* ``config``      the switches, and what they must satisfy (no torch)
* ``layers``      graph of the skeleton, and the layers of both networks
* ``kernels``     three operations with hand-written gradients
* ``network``     context encoder of frames, and denoiser
* ``folded``      either of them as it answers on a processor
* ``context``     context encoder of windows (MixSTE); either one, applied
* ``diffusion``   noise schedules, forward noising, DDIM
* ``mixture``     2D Gaussian mixtures: those of a batch, and one component a joint
* ``forward``     the forward process: the mixture that noise leads to, its depth, the start back
* ``denoiser``    how a denoiser is built, asked, trained, and distilled into a few-step student
* ``sampler``     the reverse process of all hypotheses, and its tables of noise
* ``guidance``    energies that lead the sampling
* ``refiner``     the whole method in the network's units: losses and sampling
* ``module``      training in stages, sampling, latents of test-time optimisation
* ``checkpoint``  the authors' weights
"""
