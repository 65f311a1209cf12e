"""MotionBERT: two streams of attention over joints and frames, mixed layer by layer.

Zhu, Ma, Liu, Liu, Wu, Wang: "MotionBERT: A unified perspective on learning human motion
representations", ICCV 2023, arXiv 2210.06551. The lifting task.

* ``config``      the switches (no torch)
* ``network``     the encoder, DSTformer
* ``lifter``      its answers (no Lightning)
* ``module``      training, with masked pretraining as a stage before it
* ``corruption``  what pretraining does to its input
* ``checkpoint``  the authors' weights
"""
