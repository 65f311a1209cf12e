"""Ready weights: which there are, where their bytes lie, and what these must be. No torch.

Whoever makes a model of them is :mod:`lifting.experiment.ready`.
"""
