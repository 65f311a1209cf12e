"""Reads the authors' files without running anything in them, and checks the names inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from lifting.errors import CheckpointError, MissingDataError

State = dict[str, Tensor]
PREFIX = "module."
_ARRAYS = tuple(
    f"numpy.{core}.multiarray.{name}"
    for core in ("core", "_core")
    for name in ("_reconstruct", "scalar")
)
_NOT_NEEDED = (
    "numpy.ndarray", "numpy.dtype", *_ARRAYS, "numpy.random._mt19937.MT19937",
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__bit_generator_ctor",
)  # fmt: skip


class _Ignored:
    """Stands in for numpy's objects beside the weights, of which it keeps nothing.

    The video files hold the generator of random numbers of their training.
    """

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_file(path: Path) -> Any:
    """Tensors and plain values of a file; generators of random numbers become empty objects.

    Args:
        path: Written by ``torch.save``.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is damaged or names anything else.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected a checkpoint at {path}, found no file; check method.context_checkpoint or "
            "the path given"
        )
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _NOT_NEEDED]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"expected tensors and plain values in {path}, got a file that cannot be read safely "
            f"({str(error).splitlines()[0]}); save its weights again without other objects"
        ) from error


def strip_prefix(official: Mapping[str, Tensor]) -> State:
    """Weights by name, without the prefix of a network trained in parallel.

    Raises:
        CheckpointError: A value is no tensor.
    """
    wrong = [k for k, v in official.items() if not isinstance(v, Tensor)]
    if wrong:
        raise CheckpointError(
            f"expected a tensor under every name, got something else under {wrong[:3]}; "
            "give the model part of the checkpoint"
        )
    return {k.removeprefix(PREFIX): v for k, v in official.items()}


def check_names(given: set[str], expected: set[str]) -> None:
    """Check that a file holds the expected weights and no others.

    Raises:
        CheckpointError: A name is missing or unknown.
    """
    missing, unknown = sorted(expected - given), sorted(given - expected)
    if missing or unknown:
        raise CheckpointError(
            f"expected {len(expected)} weights, got {len(missing)} missing {missing[:3]} and "
            f"{len(unknown)} unknown {unknown[:3]}; check which network and depth the file is for"
        )
