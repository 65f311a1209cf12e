"""The whole of :class:`lifting.poses.Poses`, which alone can be exported again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lifting.export import Export

if TYPE_CHECKING:
    from lifting.export.motion import Motion


def write(motion: Motion, stem: Path) -> list[Path]:
    """All arrays."""
    path = stem.with_name(f"{stem.name}.npz")
    motion.poses.save(path)
    return [path]


EXPORTS = (Export("npz", "arrays of NumPy, with everything that is known", write),)
