"""What a method's ``checkpoint`` module offers to import weights published elsewhere.

Such a module has ``FILES``, what each file holds, in the order they are given, and ``convert``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from lifting.methods.settings import ModuleSettings


class Converted(NamedTuple):
    """Weights read from published files.

    Attributes:
        state: Weights by our names.
        unused: Names in the files whose values were not needed.
    """

    state: dict[str, Tensor]
    unused: tuple[str, ...] = ()


class Convert(Protocol):
    """Reads published files."""

    def __call__(self, files: Sequence[Path], config: Any, settings: ModuleSettings) -> Converted:
        """Weights of the method's ``Module``.

        Args:
            files: As many as ``FILES`` names.
            config: The method's ``Config``.
            settings: Of the module that the weights are for.

        Raises:
            MissingDataError: A file is absent.
            CheckpointError: A file is unsafe, damaged, or of another network.
        """
        ...
