"""bfloat16 and compilation of what an answer calls; on a GPU both save time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from lifting.methods.diffpose.context import VideoContextEncoder
from lifting.methods.diffpose.network import ContextEncoder, Denoiser
from lifting.methods.diffpose.refiner import Refiner


def compile_networks(network: nn.Module) -> None:
    """Have torch compile denoisers, students and context encoders at their next call, in place.

    Args:
        network: Holds them.
    """
    for part in network.modules():
        if isinstance(part, Refiner):
            part.folds = False
        elif isinstance(part, Denoiser):
            part.compile()
        elif isinstance(part, ContextEncoder | VideoContextEncoder):
            part.encode = torch.compile(part.encode)  # type: ignore[method-assign]


def arithmetic(device: torch.device, *, bf16: bool) -> AbstractContextManager[object]:
    """The precision that networks compute in within the context.

    Args:
        device: Where they are.
        bf16: Products in bfloat16; else everything in float32.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext()
