"""Options of the data set ``cmu``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.sets import filmed

SUMMARY = "CMU motion capture, 17 joints, seen by virtual cameras (free for all uses)"


@dataclass
class Config:
    """CMU motion capture has no options of its own; the file records its split."""


uses = filmed
