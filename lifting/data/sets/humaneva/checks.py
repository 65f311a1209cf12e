"""What ``lifting data check humaneva`` looks at."""

from __future__ import annotations

from lifting.data.config import DataConfig
from lifting.data.doctor.containers import NpzForm, check_form
from lifting.data.doctor.counts import Published
from lifting.data.doctor.rows import CheckRow
from lifting.data.doctor.specimen import Sight, Take
from lifting.data.sets.humaneva import reader as humaneva
from lifting.data.sets.humaneva.files import (
    CAMERAS,
    EXTRINSICS,
    PARTS,
    SIZE,
    humaneva_extrinsics,
    parse_name,
)
from lifting.files.npz import Array
from lifting.skeleton import COCO_17, HUMANEVA_15

PUBLISHED = Published(subjects=tuple(f"{part}.{s}" for part in PARTS for s in EXTRINSICS))


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of HumanEva-I.

    Args:
        config: The data section.
        published: What should be in them; a subject is named ``Train.S1``.
    """
    return check_form(_FORM, config, published)


def _subject(group: str) -> str | None:
    part, _, subject = group.partition("/")
    return f"{part}.{subject}" if part in PARTS and subject in EXTRINSICS else None


def _recording(name: str) -> tuple[str, str] | None:
    parsed = parse_name(name)
    return None if parsed is None else (name, parsed[0])


def _sight(take: Take, number: int, keypoints: Array, confidence: Array | None) -> Sight:
    rotation, position = humaneva_extrinsics(take.subject.partition(".")[2], number)
    return Sight(
        take=take,
        camera=CAMERAS[number],
        keypoints=keypoints,
        confidence=confidence,
        size=SIZE,
        rotation=rotation.double().numpy(),
        position=position.double().numpy(),
    )


_FORM = NpzForm(
    name=humaneva.NAME,
    three_d=humaneva.THREE_D,
    two_d=humaneva.TWO_D,
    words="'Train/S1' and 'Walking 1 chunk0'",
    recorded=len(HUMANEVA_15),
    kept=tuple(range(len(HUMANEVA_15))),
    skeleton=HUMANEVA_15,
    orders=(HUMANEVA_15, COCO_17),
    cameras=CAMERAS,
    fps=humaneva.FPS,
    bone_share=0.3,
    bone_reason="means of markers on skin",
    exact_px=4.0,
    detected_px=12.0,
    subject_of=_subject,
    recording_of=_recording,
    sight=_sight,
    read=humaneva.tracks,
    splits=("train", "test"),
)
