"""CMU motion capture as 17-joint motion clips, read from ``cmu_h36m17.npz``.

The motion has no cameras of its own; virtual ones film it elsewhere.

Source: Carnegie Mellon University Graphics Lab Motion Capture Database, mocap.cs.cmu.edu.
"""

from __future__ import annotations

import numpy as np
import torch

from lifting.data.config import DataConfig, Split
from lifting.data.folders import find_file
from lifting.data.sequence import MotionClips, rate_of_each
from lifting.data.sets.cmu.files import CREDIT, FILE_NAME, CmuFile, read_cmu_file, verify_values
from lifting.errors import DataError
from lifting.files.hashes import sha256_of
from lifting.skeleton import H36M_17


def motion(config: DataConfig, split: Split) -> MotionClips:
    """The motion of one part of the split that the file records.

    Args:
        config: The data section; ``root`` says where the file is.
        split: The part.

    Returns:
        Clips in the world frame, z up, mm. Subject and action numbers are the same in all parts.

    Raises:
        MissingDataError: The file is not found.
        DataError: The file is damaged, holds impossible values, or has nothing in this part.
    """
    path = find_file("cmu", FILE_NAME, config.root)
    file = read_cmu_file(path)
    verify_values(file)
    chosen = np.flatnonzero(np.array(file.split) == split)
    if len(chosen) == 0:
        raise DataError(
            f"expected sequences in part '{split}' of {path}, got none (parts: "
            f"{', '.join(sorted(set(file.split)))}); convert recordings of further subjects"
        )
    subject_names, action_names = sorted(set(file.subjects)), sorted(set(file.actions))
    lengths = np.diff(file.offsets)
    in_part = np.repeat(np.array(file.split) == split, lengths)
    return MotionClips(
        skeleton=H36M_17,
        joints_3d=torch.from_numpy(file.positions[in_part].astype(np.float32)),
        offsets=torch.from_numpy(np.concatenate(([0], lengths[chosen].cumsum()))),
        subject=torch.tensor([subject_names.index(file.subjects[i]) for i in chosen]),
        action=torch.tensor([action_names.index(file.actions[i]) for i in chosen]),
        names=tuple(file.names[i] for i in chosen),
        subject_names=tuple(subject_names),
        action_names=tuple(action_names),
        fps=rate_of_each(file.fps, len(chosen)),
        source=_source(file, split),
    )


def _source(file: CmuFile, split: Split) -> dict[str, str]:
    return {
        "dataset": "cmu",
        "split": split,
        "split_rule": file.split_name,
        "file_sha256": sha256_of(file.path),
        "credit": CREDIT,
    }


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`motion`, for naming derived data.

    Args:
        config: The data section.
        split: The part.

    Returns:
        Plain values: the data set, the hash of the file's content, and the part.

    Raises:
        MissingDataError: The file is not found.
    """
    path = find_file("cmu", FILE_NAME, config.root)
    return {"dataset": "cmu", "sha256": sha256_of(path), "split": split}
