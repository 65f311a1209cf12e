"""Reads files that ``torch.save`` wrote, without running anything in them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from lifting.errors import CheckpointError, MissingDataError
from lifting.files.checks import UNREADABLE
from lifting.files.pickles import DAMAGE

State = dict[str, Tensor]
PREFIX = "module."
WRAPPED = "state_dict"
_ARRAYS = tuple(
    f"numpy.{core}.multiarray.{name}"
    for core in ("core", "_core")
    for name in ("_reconstruct", "scalar")
)
# Scores of the authors and generators of random numbers, which lie beside their weights.
_NOT_NEEDED = (
    "numpy.ndarray", "numpy.dtype", *_ARRAYS, "numpy.random._mt19937.MT19937",
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__bit_generator_ctor",
)  # fmt: skip


class _Ignored:
    """Stands in for numpy's objects beside the weights, of which it keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_tensors(path: Path) -> Any:
    """Tensors and plain values of a foreign file; numpy's objects beside them become empty ones.

    Our own are read by ``lifting.files.tensor_archive``, which asks for more.

    Args:
        path: Written by ``torch.save``.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is damaged, cut short, or names anything else.
    """
    if not path.is_file():
        raise MissingDataError(f"expected weights at {path}, found no file; check the path")
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _NOT_NEEDED]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"expected only tensors and plain values in {path}, got other pickled objects, which "
            "could run code when loaded and are refused; save it again without them"
        ) from error
    except (struct.error, *UNREADABLE, *DAMAGE) as error:
        raise CheckpointError(
            f"expected tensors and plain values in {path}, got a file that is damaged or cut "
            f"short ({_first_line(error)}); take another file"
        ) from error


def state_of(content: Any, path: Path) -> State:
    """Weights of a bare or wrapped state dictionary, without the prefix of parallel training.

    The prefix is taken off only if every name has it.

    Args:
        content: What the file holds; under ``state_dict`` where it is wrapped.
        path: Where it came from, for the message.

    Raises:
        CheckpointError: It is something else.
    """
    inner = content.get(WRAPPED, content) if isinstance(content, Mapping) else content
    if (
        not isinstance(inner, Mapping)
        or not inner
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in inner.items())
    ):
        raise CheckpointError(
            f"expected tensors by name in {path}, alone or under '{WRAPPED}', got "
            f"{_describe(inner)}; give the authors' file"
        )
    parallel = all(name.startswith(PREFIX) for name in inner)
    return strip_prefix(inner) if parallel else dict(inner)


def strip_prefix(given: Mapping[str, Tensor]) -> State:
    """Weights by name, without the prefix of a network trained in parallel.

    Args:
        given: Weights of an official file.

    Raises:
        CheckpointError: A value is no tensor.
    """
    if not all(isinstance(value, Tensor) for value in given.values()):
        raise CheckpointError(
            f"expected a tensor under every name, got {_describe(given)}; give the model part of "
            "the checkpoint"
        )
    return {name.removeprefix(PREFIX): value for name, value in given.items()}


def check_names(given: set[str], expected: set[str], of: str = "the network") -> None:
    """Check that a file holds the expected weights and no others.

    Args:
        given: Names in the file.
        expected: Names of the network's weights.
        of: The network, for the message.

    Raises:
        CheckpointError: A name is missing or unknown.
    """
    missing, unknown = sorted(expected - given), sorted(given - expected)
    if missing or unknown:
        raise CheckpointError(
            f"expected {len(expected)} weights of {of}, got {len(missing)} missing {missing[:3]} "
            f"and {len(unknown)} unknown {unknown[:3]}; check which network and depth the file "
            "is for"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        wrong = [k for k, v in content.items() if not isinstance(v, Tensor)]
        return f"something else under {wrong[:3]}" if wrong else "none"
    return f"a {type(content).__name__}"
