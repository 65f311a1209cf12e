"""Real motion as every detector's joints: CMU's poses, with a face and feet."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from detected import filmed, in_order, with_details

__all__ = ["EVERY", "clips", "filmed", "in_order", "real_data"]

FILE = "cmu/cmu_h36m17.npz"
EVERY = (
    "h36m17", "mpi17", "coco17", "posetrack17", "mpii16", "h36m16", "humaneva15", "mpi15",
    "jhmdb15", "panoptic15", "lsp14", "crowdpose14", "aic14", "coco18", "coco17neck", "body19",
    "panoptic19", "coco23", "body23", "body25", "body25b", "coco25",
)  # fmt: skip


def real_data(place):
    """A file or folder of the real data, or a skipped test."""
    folder = os.environ.get("LIFTING_DATA")
    path = Path(folder or "") / place
    if not folder or not path.exists():
        pytest.skip(f"set LIFTING_DATA to the folder that holds {place}")
    return path


def clips(rng, count, frames=30, step=5):
    """Pieces of CMU's motion with their details."""
    with np.load(real_data(FILE)) as file:
        poses, offsets = file["positions_mm"].astype(np.float64), file["offsets"]
    span = frames * step
    starts = [np.arange(a, b - span, span) for a, b in pairwise(offsets)]
    for start in rng.choice(np.concatenate(starts), count, replace=False):
        yield with_details(poses[start : start + span : step])
