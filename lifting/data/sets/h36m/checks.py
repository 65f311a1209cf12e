"""What ``lifting data check h36m`` looks at."""

from __future__ import annotations

import numpy as np

from lifting.actions import H36M_ACTIONS
from lifting.data.config import DataConfig
from lifting.data.doctor.containers import NpzForm, check_form
from lifting.data.doctor.counts import Group, Published
from lifting.data.doctor.rows import CheckRow
from lifting.data.doctor.specimen import Sight, Take
from lifting.data.sets.h36m import reader as human36m
from lifting.data.sets.h36m.cameras import EXTRINSICS, INTRINSICS, h36m_cameras
from lifting.data.sets.h36m.files import (
    CORRUPT,
    KEPT_JOINTS,
    RECORDED_JOINTS,
    parse_name,
    recording_name,
)
from lifting.files.npz import Array
from lifting.skeleton import COCO_17, H36M_17, MPII_16

# Frames of one camera: a quarter of the 543,344 and 1,559,752 that are published for all four.
PUBLISHED = Published(
    subjects=tuple(EXTRINSICS),
    recordings={subject: 29 if subject == "S11" else 30 for subject in EXTRINSICS},
    actions=H36M_ACTIONS,
    groups=(
        Group("test", ("S9", "S11"), frames=135_836),
        Group("train", ("S1", "S5", "S6", "S7", "S8"), frames=389_938, tolerance=0.001),
    ),
)


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of Human3.6M.

    Args:
        config: The data section.
        published: What should be in them.
    """
    return check_form(_FORM, config, published)


def _recording(name: str) -> tuple[str, str] | None:
    """By today's name of the recording."""
    parsed = parse_name(name)
    return None if parsed is None else (recording_name(*parsed), parsed[0])


def _sight(take: Take, number: int, keypoints: Array, confidence: Array | None) -> Sight:
    name, (width, height, *lens) = list(INTRINSICS.items())[number]
    rotation = position = None
    if take.subject in EXTRINSICS:
        camera = h36m_cameras(take.subject)[number]
        assert camera.rotation is not None
        assert camera.position is not None
        rotation, position = camera.rotation.double().numpy(), camera.position.double().numpy()
    return Sight(
        take=take,
        camera=name,
        keypoints=keypoints,
        confidence=confidence,
        size=(width, height),
        lens=np.array(lens),
        rotation=rotation,
        position=position,
    )


_FORM = NpzForm(
    name=human36m.NAME,
    three_d=human36m.THREE_D,
    two_d="data_2d_h36m",
    words="subject and 'Action n'",
    recorded=RECORDED_JOINTS,
    kept=KEPT_JOINTS,
    skeleton=H36M_17,
    orders=(H36M_17, COCO_17, MPII_16),
    cameras=tuple(INTRINSICS),
    fps=human36m.FPS,
    bone_share=0.05,
    bone_reason="a fitted skeleton",
    exact_px=1.0,
    detected_px=12.0,
    subject_of=str,
    recording_of=_recording,
    sight=_sight,
    read=human36m.tracks,
    unset={"two_d_test": None},
    left_out=(CORRUPT,),
)
