"""What ``lifting data check 3dpw`` looks at."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig
from lifting.data.doctor.presence import SUMS, attempt, check_content, check_presence, find_files
from lifting.data.doctor.reading import SPLITS, check_reading, check_specimen
from lifting.data.doctor.rows import CheckRow, judged_count
from lifting.data.doctor.specimen import Bodies, Keypoints, Sight, Take
from lifting.data.sets.pw3d import reader as pw3d
from lifting.data.sets.pw3d.files import Pw3dSequence, read_sequence
from lifting.skeleton import COCO_18, SMPL_24

# Detections of another definition of the joints, in images of 1920 pixels.
_DETECTED_PX = 25.0
_WHOLE = (
    "unpack the whole of sequenceFiles.zip, and nothing else, or expect other figures than "
    "published"
)


def check(config: DataConfig, published: dict[str, int] | None = None) -> list[CheckRow]:
    """Look at the files of 3DPW.

    Args:
        config: The data section.
        published: How many sequences a part has; None for the published numbers.
    """
    counts = dict(pw3d.PUBLISHED) if published is None else published
    rows: list[CheckRow] = []
    root = config.root
    sights: list[Sight] = []
    present = []
    for split in SPLITS:
        folder = pw3d.FOLDERS[split]
        paths = find_files(pw3d.NAME, root, [f"sequenceFiles/{folder}/*.pkl", f"{folder}/*.pkl"])
        wanted = f"sequenceFiles/{folder}/*.pkl"
        rows.append(check_presence(pw3d.NAME, root, wanted, paths))
        if paths:
            present.append(split)
            rows.append(judged_count(f"sequences {split}", counts[split], len(paths), _WHOLE))
            rows += check_content([path for path in paths if (path.parent / SUMS).is_file()])
        for path in paths:
            sequence = attempt(rows, f"form {folder}/{path.name}", "a sequence of 3DPW",
                               partial(read_sequence, path))  # fmt: skip
            sights += [] if sequence is None else _sights(path, sequence)
    if sights:
        bodies = Bodies(label="3D", skeleton=SMPL_24, unit="m", up=None, fps=pw3d.FPS,
                        bone_share=0.05, bone_reason="a body model's",
                        takes=tuple(s.take for s in sights))  # fmt: skip
        keypoints = Keypoints(label="2D openpose", layout=COCO_18, skeleton=SMPL_24,
                              residual_px=_DETECTED_PX, sights=tuple(sights))  # fmt: skip
        rows += check_specimen(bodies, [keypoints])
    return rows + check_reading(pw3d.tracks, config, tuple(present))


def _sights(path: Path, sequence: Pw3dSequence) -> list[Sight]:
    """The persons of a sequence before its camera."""
    matrix = sequence.intrinsics.numpy()
    lens = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *[0.0] * 5])
    size = (1080.0, 1920.0) if lens[2] < lens[3] else (1920.0, 1080.0)
    return [
        Sight(
            take=Take(
                subject=f"{sequence.name}/{i}",
                name=path.parent.name,
                action=sequence.name,
                joints=person.joints.numpy(),
                valid=person.valid.numpy(),
            ),
            camera="camera",
            keypoints=person.detections[..., :2].numpy(),
            confidence=person.detections[..., 2].numpy(),
            size=size,
            lens=lens,
            rotation=sequence.rotation.numpy(),
            position=sequence.position.numpy(),
        )
        for i, person in enumerate(sequence.people)
    ]
