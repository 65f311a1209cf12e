"""Weights to start a network from: what fits of a file is taken, what does not is named."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from lifting.errors import CheckpointError
from lifting.files.tensors import State, load_tensors, state_of

OWN_KEY = "lifting"
COUNTER = "num_batches_tracked"
CLASSIFIER = "fc."

log = logging.getLogger(__name__)


class Started(NamedTuple):
    """What a file gave to a network.

    Attributes:
        taken: Names of the weights that were copied.
        left: Names in the file that the network has in another shape or not at all.
        fresh: Names of the network that the file does not have, or in another shape.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    fresh: tuple[str, ...]


def start_from(network: nn.Module, path: Path, prefixes: Sequence[str], needed: str) -> Started:
    """Copy into a network what fits of a file; what does not fit is named in the log.

    Args:
        network: To start.
        path: Weights by the network's own names, or a checkpoint of this project.
        prefixes: Of the network's names in a checkpoint of this project.
        needed: Name of a weight without which the file is of something else.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of another network.
    """
    given, wanted = _given(path, prefixes), network.state_dict()
    fits = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    if needed not in fits:
        came = tuple(given[needed].shape) if needed in given else "none"
        raise CheckpointError(
            f"expected {needed} of shape {tuple(wanted[needed].shape)} in {path}, got {came}; "
            "give weights of a network of these sizes, or set the sizes of the method section to "
            "theirs"
        )
    network.load_state_dict(fits, strict=False)
    left = tuple(k for k in given if k not in fits and not k.startswith(CLASSIFIER))
    fresh = tuple(k for k in wanted if k not in fits and not k.endswith(COUNTER))
    if left or fresh:
        log.warning(
            "%s: %d weights taken; %d of the file do not fit (%s); %d start anew (%s)",
            path, len(fits), len(left), _few(left), len(fresh), _few(fresh),
        )  # fmt: skip
    return Started(tuple(fits), left, fresh)


def _given(path: Path, prefixes: Sequence[str]) -> State:
    content = load_tensors(path)
    weights = state_of(content, path)
    if not isinstance(content, Mapping) or OWN_KEY not in content:
        return weights
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        for prefix in prefixes
        if name.startswith(prefix)
    }


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
