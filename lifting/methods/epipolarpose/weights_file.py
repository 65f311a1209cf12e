"""Reads files of weights without running anything in them."""

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
WRAPPED = "state_dict"
_SCORES = (
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
)  # fmt: skip


class _Score:
    """Stands in for numpy's numbers beside the weights, such as the authors' own score."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_file(path: Path) -> Any:
    """Tensors and plain values of a file.

    Args:
        path: Written by ``torch.save``.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is damaged, or names anything that could run.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected weights at {path}, found no file; check the path in the command or in the "
            "method section"
        )
    try:
        with torch.serialization.safe_globals([(_Score, name) for name in _SCORES]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"expected tensors and plain values in {path}, got a file that cannot be read safely "
            f"({reason}); save its weights again without other objects"
        ) from error


def weights_of(content: Any, path: Path) -> State:
    """Weights of a bare or wrapped state dictionary, without the prefix of parallel training.

    The prefix is taken off only if every name has it.

    Args:
        content: What the file holds.
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
    if all(name.startswith(PREFIX) for name in inner):
        return {name.removeprefix(PREFIX): value for name, value in inner.items()}
    return dict(inner)


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        wrong = [k for k, v in content.items() if not isinstance(v, Tensor)]
        return f"something else under {wrong[:3]}" if wrong else "none"
    return f"a {type(content).__name__}"
