"""Experiment framework for monocular 3D human pose lifting.

``lift``, ``load_model``, ``read_keypoints``, ``solve_rig`` and ``Poses`` are the Python interface.
Importing the package loads nothing heavy: torch is imported when one of these names, or a room
that computes, is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifting.interface import Model, Poses, lift, load_model, read_keypoints, solve_rig

__version__ = "0.1.0"
__all__ = ["Model", "Poses", "lift", "load_model", "read_keypoints", "solve_rig"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lifting' has no attribute '{name}'")
    return getattr(importlib.import_module("lifting.interface"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
