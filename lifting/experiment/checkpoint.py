"""Reads checkpoints without trusting them, and writes them so that half of one never exists."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from lifting.atomic import replacing
from lifting.errors import CheckpointError, OutputError
from lifting.files.tensors import load_tensors
from lifting.methods.base import CHECKPOINT_KEY, LiftingModule
from lifting.methods.discovery import current_section, method_packages

SUFFIX = ".ckpt"


def read_checkpoint(path: Path, method: str | None = None) -> dict[str, Any]:
    """Read a checkpoint of a method; nothing in it is executed.

    Tensors are mapped from the file, so only what is used is read. One of an older version is
    said to be of the method that its weights belong to today.

    Args:
        path: The file.
        method: Name of the method whose weights it must hold; None takes any.

    Raises:
        CheckpointError: No such file, not a checkpoint, truncated, holding pickled objects, or
            of another method.
    """
    checkpoint = _load(path)
    facts = checkpoint.get(CHECKPOINT_KEY)
    if not isinstance(facts, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(
            f"expected a checkpoint written by `lifting train`, got {path}, whose keys are "
            f"{sorted(map(str, checkpoint))[:8]}; official weights are imported by `lifting "
            "convert`"
        )
    if facts.get("method") in method_packages():
        section = current_section({"name": facts["method"], **facts["config"]})
        facts["method"], facts["config"] = section.pop("name"), section
    if method is not None and facts.get("method") != method:
        raise CheckpointError(
            f"expected a checkpoint of method '{method}', got one of '{facts.get('method')}' in "
            f"{path}; name an experiment of that method or another checkpoint"
        )
    return checkpoint


def method_config_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The method section that a checkpoint was trained with, its name included."""
    facts = checkpoint[CHECKPOINT_KEY]
    return {"name": facts["method"], **facts["config"]}


def load_weights(module: nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Copy a checkpoint's weights into a module.

    Args:
        module: The module, built from a configuration.
        checkpoint: What :func:`read_checkpoint` gave.
        path: Where it came from, for the message.

    Raises:
        CheckpointError: Names or shapes of the weights differ, or a weight is not finite.
    """
    if isinstance(module, LiftingModule):
        module.on_load_checkpoint(checkpoint)  # where weights of older versions get today's names
    given, wanted = checkpoint["state_dict"], module.state_dict()
    problems = [f"{k} is missing" for k in wanted if k not in given]
    problems += [f"{k} is not known" for k in given if k not in wanted]
    problems += [
        f"{k} is {tuple(v.shape)} instead of {tuple(wanted[k].shape)}"
        for k, v in given.items()
        if k in wanted and v.shape != wanted[k].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"expected weights that fit the configured network, got {path}, in which "
            f"{'; '.join(problems[:3])}{more}; use the configuration it was trained with (the "
            "config.yaml of its run)"
        )
    bad = [k for k, _ in module.named_parameters() if not bool(given[k].isfinite().all())]
    if bad:
        raise CheckpointError(
            f"expected finite weights in {path}, got others in {', '.join(bad[:3])}"
            f"{f' and {len(bad) - 3} more' if len(bad) > 3 else ''}; the training diverged or the "
            "file is damaged: take another checkpoint of the run"
        )
    module.load_state_dict(given)


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


def _load(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise CheckpointError(
            f"expected a checkpoint, got the folder {path}; of a run, name checkpoints/best.ckpt"
        )
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint at {path}, which does not exist; train one")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"expected a whole checkpoint in {path}, got {path.stat().st_size} bytes that are not "
            "one or end too early; take another file"
        )
    loaded = load_tensors(path, own=True)
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"expected a checkpoint in {path}, got a {type(loaded).__name__}; take another file"
        )
    return loaded
