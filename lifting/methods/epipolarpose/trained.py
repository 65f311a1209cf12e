"""A trained model of any method, built from its checkpoint alone, for the refinement unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lifting.data.info import Supervision
from lifting.errors import CheckpointError
from lifting.files.tensors import load_tensors
from lifting.methods.base import CHECKPOINT_KEY, LiftingModule
from lifting.methods.discovery import load_config_class, load_module_class
from lifting.methods.settings import ModuleSettings, OptimizerConfig


def load_model(path: Path) -> LiftingModule:
    """The module of a checkpoint, in evaluation mode, with frozen weights.

    Args:
        path: Written by ``lifting train`` or ``lifting convert``.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or no checkpoint of a method.
        ConfigError: The method is not installed.
    """
    content, facts = _read(path)
    method = str(facts["method"])
    config = load_config_class(method)(**facts["config"])
    module = load_module_class(method)(config, _settings(facts["settings"]))
    module.load_state_dict(content["state_dict"])
    module.supervision = Supervision(str(facts.get("supervision", "unknown")))
    return module.requires_grad_(False).eval()


def trained_uses_camera(path: Path) -> bool:
    """Whether the answers of a checkpoint's method depend on the camera's intrinsics.

    Args:
        path: As of :func:`load_model`, with the same errors.
    """
    _, facts = _read(path)
    method = str(facts["method"])
    return load_module_class(method).uses_camera(load_config_class(method)(**facts["config"]))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A checkpoint, and what it says of its method."""
    content = load_tensors(path)
    facts = content.get(CHECKPOINT_KEY) if isinstance(content, dict) else None
    if not isinstance(facts, dict):
        raise CheckpointError(
            f"expected a checkpoint written by `lifting train` in {path}, got something else; "
            "name one in method.over"
        )
    return content, facts


def _settings(values: dict[str, Any]) -> ModuleSettings:
    optimizer = OptimizerConfig(**values["optimizer"])
    return ModuleSettings(**{**values, "optimizer": optimizer})
