"""Answers so far of a long lifting, beside the file that they are for. No Lightning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.errors import ConfigError
from lifting.experiment.interruption import interruption
from lifting.files.npz import Kind, npz_headers, read_plain_npz, write_npz_atomically

log = logging.getLogger(__name__)
_WHOLE = ("track", "frame", "batches")


class Kept:
    """A file of answers that a lifting which was stopped goes on with.

    Args:
        output: File that the whole answer goes to.
        resume: Go on with what is there; else it is replaced.
    """

    def __init__(self, output: Path, *, resume: bool) -> None:
        self.path = output.with_name(f"{output.stem}.part.npz")
        self.resume = resume
        self.key = ""

    def begin(self, key: str) -> tuple[dict[str, list[Tensor]], int]:
        """Columns of answers that are there, and of how many batches.

        Args:
            key: What decides the answers: weights, keypoints, batches.

        Raises:
            ConfigError: They are those of something else.
            DataError: The file is damaged.
        """
        self.key = key
        if not self.resume or not self.path.exists():
            if self.resume:
                log.warning("there is no %s to go on with: lifting from the beginning", self.path)
            return {}, 0
        kinds: dict[str, tuple[Kind, int]] = {}
        for name, header in npz_headers(self.path).items():
            kind: Kind = "integer" if name in _WHOLE else "text" if name == "key" else "float"
            kinds[name] = (kind, len(header.shape))
        arrays = read_plain_npz(
            self.path, {"key": ("text", 0), "batches": ("integer", 0), **kinds}
        )
        if arrays.pop("key").item() != key:
            raise ConfigError(
                f"expected answers to the same keypoints by the same weights and options in "
                f"{self.path}, got others; lift from the beginning, without --resume"
            )
        batches, interruption.kept = int(arrays.pop("batches")), True
        log.info("going on after %d batches, with %s", batches, self.path)
        return {name: [torch.from_numpy(array)] for name, array in arrays.items()}, batches

    def write(self, columns: Mapping[str, Sequence[Tensor]], batches: int) -> None:
        """Replace the file.

        Args:
            columns: Answers, batch by batch.
            batches: How many.

        Raises:
            OutputError: It cannot be written.
        """
        arrays = {name: torch.cat(list(parts)).numpy() for name, parts in columns.items()}
        write_npz_atomically(
            self.path, key=np.array(self.key), batches=np.array(batches), **arrays
        )
        interruption.kept = True

    def end(self) -> None:
        """Remove the file: the whole answer is there, and so is what follows."""
        self.path.unlink(missing_ok=True)
        interruption.kept = False
