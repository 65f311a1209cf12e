"""Checkpoints of the authors of methods of whole windows: read, renamed, compared by shape.

Nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lifting.errors import CheckpointError
from lifting.files.tensors import State, check_names, load_tensors, strip_prefix
from lifting.methods.clip_config import ClipConfig
from lifting.methods.clip_lifter import BONES_MM
from lifting.methods.conversion import Converted


def read_weights(path: Path, key: str) -> State:
    """Weights of a file that holds them under a key beside others, without ``module.``.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or holds something else.
    """
    content = load_tensors(path)
    weights = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(
            f"expected a mapping with weights under '{key}' in {path}, got "
            f"{type(content).__name__}; give the authors' checkpoint"
        )
    return strip_prefix(weights)


def renamed(
    official: Mapping[str, Tensor],
    names: Mapping[str, str],
    shapes: Mapping[str, Tensor],
    of: str,
) -> State:
    """Weights by our names.

    Args:
        official: By official name.
        names: The official name of each of ours.
        shapes: Weights of the network they are for, by our name.
        of: The network, for messages.

    Raises:
        CheckpointError: A weight is missing, unknown, or of another shape.
    """
    check_names(set(official), set(names.values()), of)
    for ours, theirs in names.items():
        wanted, came = tuple(shapes[ours].shape), tuple(official[theirs].shape)
        if wanted != came:
            raise CheckpointError(
                f"expected {theirs} of shape {wanted}, got {came}; set the sizes of the method "
                "section, or data.frames where it is a number of frames, to those of the file"
            )
    return {ours: official[theirs] for ours, theirs in names.items()}


def as_module(state: State, config: ClipConfig) -> Converted:
    """A network's weights as those of a method's module, which for image answers has a size."""
    found = {f"network.{name}": value for name, value in state.items()}
    if config.answer == "image":
        found["bones_mm"] = torch.tensor(BONES_MM)
    return Converted(found)
