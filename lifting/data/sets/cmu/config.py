"""Options of the data set ``cmu``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifting.data.config import DataConfig

SUMMARY = "CMU motion capture, 17 joints, seen by virtual cameras (free for all uses)"


@dataclass
class Config:
    """CMU motion capture has no options of its own; the file records its split."""


def uses(data: DataConfig) -> tuple[str, ...]:
    """What virtual cameras deliver beside keypoints is said there."""
    return ("synthetic",)
