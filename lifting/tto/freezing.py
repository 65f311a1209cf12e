"""A module that cannot change for a while, and is given back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradient for any weight, and gradients enabled around them.

    Also inside inference mode, whose tensors cannot be differentiated: clone what came out of it.
    Flags are restored one by one whatever happens, since parts of a module may differ.

    Args:
        module: The module to hold still.
    """
    wanted = [(p, p.requires_grad) for p in module.parameters()]
    training = [(part, part.training) for part in module.modules()]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            module.eval()
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield
    finally:
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
        for part, mode in training:
            part.training = mode


@contextmanager
def lent_weights(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Weights that may be changed in place and are put back bit by bit.

    Args:
        module: The module, already frozen.

    Yields:
        Its floating-point parameters, now asking for gradients.
    """
    weights = [p for p in module.parameters() if p.is_floating_point()]
    kept = [p.detach().clone() for p in weights]
    try:
        for parameter in weights:
            parameter.requires_grad_(True)
        yield weights
    finally:
        with torch.no_grad():
            for parameter, value in zip(weights, kept, strict=True):
                parameter.copy_(value)
                parameter.requires_grad_(False)
