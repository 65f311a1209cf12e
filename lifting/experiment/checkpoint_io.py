"""Writes checkpoints so that half of one never exists, and reads what a training goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lifting.atomic import replacing
from lifting.errors import CheckpointError, OutputError
from lifting.experiment.checkpoint import read_checkpoint

# What Lightning needs to go on with a training.
_STATE = {
    "epoch": int, "global_step": int, "pytorch-lightning_version": str, "loops": dict,
    "callbacks": dict, "optimizer_states": list, "lr_schedulers": list,
}  # fmt: skip


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its destination and moves it there once it is whole.

    Lightning's own writer collects the file in the system's temporary folder; between two file
    systems its last step is a copy, which a kill or a full disk can cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint, or leave the old one as it was.

        Args:
            checkpoint: Plain values and tensors.
            path: Destination.
            storage_options: Not used.

        Raises:
            OutputError: The disk is full or the folder cannot be written.
        """
        with replacing(Path(path)) as temporary:
            try:
                torch.save(checkpoint, temporary)
            except RuntimeError as error:  # how torch's writer reports a full disk
                free = shutil.disk_usage(temporary.parent).free / 2**20
                raise OutputError(
                    f"expected to write {path}, got '{error}' with {free:.1f} MB free; free some "
                    "space or choose another folder with output=FOLDER"
                ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of ours to go on from.

        Args:
            path: The file.
            map_location: Not used: tensors are the processor's.
            weights_only: Not used: nothing else is ever read.

        Raises:
            CheckpointError: As of :func:`read_checkpoint`, or it holds weights alone.
        """
        checkpoint = read_checkpoint(Path(path))
        wrong = [k for k, kind in _STATE.items() if not isinstance(checkpoint.get(k), kind)]
        if wrong:
            raise CheckpointError(
                f"expected the state of a training in {path}, got none in {', '.join(wrong[:3])}; "
                "go on from another checkpoint, or train anew"
            )
        return checkpoint
