"""What ``lifting data check humaneva`` looks at."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig, with_section
from lifting.data.doctor.containers import named, open_two_d, split_channels, views_of
from lifting.data.doctor.counts import Published, check_counts
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
from lifting.data.object_npz import read_object_npz
from lifting.data.sets.humaneva import reader as humaneva
from lifting.data.sets.humaneva.files import CAMERAS, EXTRINSICS, PARTS, SIZE, humaneva_extrinsics
from lifting.skeleton import COCO_17, HUMANEVA_15

PUBLISHED = Published(subjects=tuple(f"{part}.{s}" for part in PARTS for s in EXTRINSICS))
_EXACT_PX, _DETECTED_PX = 4.0, 12.0
# Joints come from markers and from no skeleton of constant bones.
_BONE_SHARE = 0.3
TwoD = dict[str, dict[str, object]]


def check(config: DataConfig, published: Published = PUBLISHED) -> list[CheckRow]:
    """Look at the files of HumanEva-I.

    Args:
        config: The data section.
        published: What should be in them; a subject is named ``Train.S1``.
    """
    root = config.root
    three_d = find_files(humaneva.NAME, root, [humaneva.THREE_D])[:1]
    two_d = find_files(humaneva.NAME, root, [f"{humaneva.TWO_D}*.npz"])
    rows = [
        check_presence(humaneva.NAME, root, humaneva.THREE_D, three_d),
        check_presence(humaneva.NAME, root, f"{humaneva.TWO_D}_<two_d>.npz", two_d),
        *check_content([*three_d, *two_d]),
    ]
    takes = _takes(three_d[0], rows) if three_d else ()
    if takes:
        rows += check_counts(takes, published)
    read = [file for path in two_d if (file := _keypoints(path, takes, published, rows))]
    if takes:
        bodies = Bodies(label="3D", skeleton=HUMANEVA_15, unit="m", up="+z", fps=humaneva.FPS,
                        bone_share=_BONE_SHARE, bone_reason="means of markers on skin",
                        takes=takes)  # fmt: skip
        rows += check_specimen(bodies, read)
    if three_d and two_d:
        rows += check_reading(humaneva.tracks, _config(config, two_d), ("train", "test"))
    return rows


def _config(config: DataConfig, two_d: list[Path]) -> DataConfig:
    """The options that experiments use, with a 2D file that is there."""
    names = [_detector(path) for path in two_d]
    options = config.humaneva
    if options.two_d not in names:
        options = replace(options, two_d=names[0])
    return with_section(config, humaneva.NAME, options)


def _detector(path: Path) -> str:
    return path.stem.removeprefix(humaneva.TWO_D).removeprefix("_") or humaneva.EXACT


def _takes(path: Path, rows: list[CheckRow]) -> tuple[Take, ...]:
    """Every labelled piece of the 3D file, in mm if it is in metres."""
    read = partial(read_object_npz, path, ("positions_3d",))
    content = attempt(rows, f"form {path.name}", "a readable npz of positions_3d", read)
    if content is None:
        return ()
    joints = len(HUMANEVA_15)
    shapes = Shapes("3D", f"(frames, {joints}, 3) by 'Train/S1' and 'Walking 1 chunk0'")
    takes = []
    for group, recordings in named(content["positions_3d"], "positions_3d", shapes).items():
        part, _, subject = group.partition("/")
        if part not in PARTS or subject not in EXTRINSICS:
            continue
        for name, value in named(recordings, group, shapes).items():
            array = shapes.take(value, ((joints,), (3,)), f"{group}/{name}")
            if array is not None:
                takes.append(
                    Take(subject=f"{part}.{subject}", name=name, action=name.partition(" ")[0],
                         joints=array * np.float32(1000))
                )  # fmt: skip
    rows.append(shapes.row())
    return tuple(takes)


def _keypoints(
    path: Path, takes: tuple[Take, ...], published: Published, rows: list[CheckRow]
) -> Keypoints | None:
    """A 2D file beside its takes."""
    detector = _detector(path)
    label = f"2D {detector}"
    file = open_two_d(path, label, len(CAMERAS), (HUMANEVA_15, COCO_17), rows)
    if file is None:
        return None
    two_d = {group.replace("/", "."): recordings for group, recordings in file.groups.items()}
    layout, shapes = file.layout, file.shapes
    sights = [s for take in takes for s in _sights(take, two_d, shapes, len(layout))]
    present = [Take(subject=s, name="", action="", joints=np.empty(0)) for s in two_d]
    rows += [shapes.row(), *check_counts(present, Published(published.subjects), label)]
    return Keypoints(
        label=label, layout=layout, skeleton=HUMANEVA_15, sights=tuple(sights),
        residual_px=_EXACT_PX if detector == humaneva.EXACT else _DETECTED_PX,
    )  # fmt: skip


def _sights(take: Take, two_d: TwoD, shapes: Shapes, joints: int) -> list[Sight]:
    if take.subject not in two_d:
        return []
    value = two_d[take.subject].get(take.name)
    sights = []
    for i, view in enumerate(views_of(value, CAMERAS, take.label, shapes)):
        array = shapes.take(view, ((joints,), (2, 3)), f"{take.label}/{CAMERAS[i]}")
        if array is None:
            continue
        keypoints, confidence = split_channels(array)
        rotation, position = humaneva_extrinsics(take.subject.partition(".")[2], i)
        sights.append(
            Sight(take=take, camera=CAMERAS[i], keypoints=keypoints, confidence=confidence,
                  size=SIZE, rotation=rotation.double().numpy(),
                  position=position.double().numpy())
        )  # fmt: skip
    return sights
