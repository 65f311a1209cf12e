"""What ``lifting data check h36m`` looks at."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from lifting.actions import H36M_ACTIONS
from lifting.data.config import DataConfig, with_section
from lifting.data.doctor.containers import named, open_two_d, split_channels, views_of
from lifting.data.doctor.counts import Group, Published, check_counts
from lifting.data.doctor.presence import (
    Shapes,
    attempt,
    check_content,
    check_presence,
    find_files,
)
from lifting.data.doctor.reading import check_reading, check_specimen
from lifting.data.doctor.rows import CheckRow
from lifting.data.doctor.specimen import Bodies, Keypoints, Sight, Take
from lifting.data.files import Array
from lifting.data.object_npz import read_object_npz
from lifting.data.sets.h36m import reader as human36m
from lifting.data.sets.h36m.cameras import EXTRINSICS, INTRINSICS, h36m_cameras
from lifting.data.sets.h36m.files import (
    CORRUPT,
    KEPT_JOINTS,
    RECORDED_JOINTS,
    parse_name,
    recording_name,
)
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
_PREFIX = "data_2d_h36m_"
_EXACT_PX, _DETECTED_PX = 1.0, 12.0
_JOINTS = ((RECORDED_JOINTS,), (3,))
TwoD = dict[str, dict[str, object]]


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of Human3.6M.

    Args:
        config: The data section.
        published: What should be in them.
    """
    root = config.root
    three_d = find_files(human36m.NAME, root, [human36m.THREE_D])[:1]
    two_d = find_files(human36m.NAME, root, [f"{_PREFIX}*.npz"])
    rows = [
        check_presence(human36m.NAME, root, human36m.THREE_D, three_d),
        check_presence(human36m.NAME, root, f"{_PREFIX}<two_d>.npz", two_d),
        *check_content([*three_d, *two_d]),
    ]
    takes = _takes(three_d[0], rows) if three_d else ()
    if takes:
        rows += check_counts(takes, published)
    files = [file for path in two_d if (file := _keypoints(path, takes, published, rows))]
    if takes:
        bodies = Bodies(label="3D", skeleton=H36M_17, unit="m", up="+z", fps=human36m.FPS,
                        bone_share=0.05, bone_reason="a fitted skeleton",
                        takes=takes)  # fmt: skip
        rows += check_specimen(bodies, files)
    if three_d and two_d:
        names = [path.stem.removeprefix(_PREFIX) for path in two_d]
        options = config.h36m
        if options.two_d not in names:
            options = replace(options, two_d=names[0], two_d_test=None)
        rows += check_reading(human36m.tracks, with_section(config, human36m.NAME, options))
    return rows


def _takes(path: Path, rows: list[CheckRow]) -> tuple[Take, ...]:
    """Every recording of the 3D file, in mm if it is in metres."""
    read = partial(read_object_npz, path, ("positions_3d",))
    content = attempt(rows, f"form {path.name}", "a readable npz of positions_3d", read)
    if content is None:
        return ()
    shapes = Shapes("3D", f"(frames, {RECORDED_JOINTS}, 3) by subject and 'Action n'")
    takes = []
    for subject, recordings in named(content["positions_3d"], "positions_3d", shapes).items():
        for name, value in named(recordings, subject, shapes).items():
            parsed = parse_name(name)
            if parsed is None:
                shapes.miss(f"{subject}/{name:.40} is no action and number")
                continue
            normal = recording_name(*parsed)
            array = shapes.take(value, _JOINTS, f"{subject}/{name}")
            if array is not None and (subject, normal) != CORRUPT:
                joints = array[:, KEPT_JOINTS] * np.float32(1000)
                takes.append(Take(subject=subject, name=normal, action=parsed[0], joints=joints))
    rows.append(shapes.row())
    return tuple(takes)


def _keypoints(
    path: Path, takes: tuple[Take, ...], published: Published, rows: list[CheckRow]
) -> Keypoints | None:
    """A 2D file beside its takes; subjects and recordings without 3D are left alone."""
    detector = path.stem.removeprefix(_PREFIX)
    label = f"2D {detector}"
    file = open_two_d(path, label, len(INTRINSICS), (H36M_17, COCO_17, MPII_16), rows)
    if file is None:
        return None
    two_d = {subject: _normal(recordings) for subject, recordings in file.groups.items()}
    layout, shapes = file.layout, file.shapes
    sights = [s for take in takes for s in _sights(take, two_d, shapes, len(layout))]
    present = [Take(subject=s, name="", action="", joints=np.empty(0)) for s in two_d]
    rows += [shapes.row(), *check_counts(present, Published(published.subjects), label)]
    return Keypoints(label=label, layout=layout, skeleton=H36M_17, sights=tuple(sights),
                     residual_px=_EXACT_PX if detector == "gt" else _DETECTED_PX)  # fmt: skip


def _normal(recordings: dict[str, object]) -> dict[str, object]:
    """By today's names of the recordings."""
    parsed = {name: parse_name(name) for name in recordings}
    return {(recording_name(*p) if (p := parsed[n]) else n): v for n, v in recordings.items()}


def _sights(take: Take, two_d: TwoD, shapes: Shapes, joints: int) -> list[Sight]:
    if take.subject not in two_d:
        return []
    value = two_d[take.subject].get(take.name)
    sights = []
    for i, view in enumerate(views_of(value, tuple(INTRINSICS), take.label, shapes)):
        mixed = isinstance(view, np.ndarray) and view.ndim == 4
        tail = ((joints,), (), (5,)) if mixed else ((joints,), (2, 3))
        array = shapes.take(view, tail, f"{take.label}/{i}")
        if array is not None:
            sights.append(_sight(take, i, array))
    return sights


def _sight(take: Take, number: int, array: Array) -> Sight:
    keypoints, confidence = split_channels(array)
    width, height, *lens = list(INTRINSICS.values())[number]
    rotation = position = None
    if take.subject in EXTRINSICS:
        camera = h36m_cameras(take.subject)[number]
        assert camera.rotation is not None
        assert camera.position is not None
        rotation, position = camera.rotation.double().numpy(), camera.position.double().numpy()
    return Sight(
        take=take,
        camera=list(INTRINSICS)[number],
        keypoints=keypoints,
        confidence=confidence,
        size=(width, height),
        lens=np.array(lens),
        rotation=rotation,
        position=position,
    )
