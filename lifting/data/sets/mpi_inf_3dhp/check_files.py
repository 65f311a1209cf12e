"""The npz files of MPI-INF-3DHP, taken as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.doctor.containers import named, split_channels
from lifting.data.doctor.presence import Shapes, attempt
from lifting.data.doctor.rows import CheckRow
from lifting.data.doctor.specimen import Bodies, Keypoints, Sight, Take
from lifting.data.files import Array
from lifting.data.object_npz import read_object_npz
from lifting.data.sets.mpi_inf_3dhp.npz import STUDIO_SIZE, test_cameras
from lifting.data.sets.mpi_inf_3dhp.npz_files import absolute_joints
from lifting.errors import DataError
from lifting.skeleton import MPI_INF_3DHP_17

UNIV_PX, ANNOT_PX = 10.0, 3.0
# Most training sequences have 25 frames a second, the others and the test 50; speeds are judged
# with the slower one, so that nothing sound is called impossible.
FPS = 25.0
BONE_SHARE = 0.1
_JOINTS = (len(MPI_INF_3DHP_17),)


def specimen(
    label: str, sights: list[Sight], consistent: bool
) -> tuple[Bodies, list[Keypoints]] | None:
    """Sights in the form of the checks; None when there are none.

    Args:
        label: Names the file in tables.
        sights: With joints in the camera frame.
        consistent: Whether the labels are those that agree with the 2D.
    """
    if not sights:
        return None
    bodies = Bodies(
        label=f"3D {label}", skeleton=MPI_INF_3DHP_17, unit="mm", up="-y", fps=FPS,
        bone_share=BONE_SHARE, takes=tuple(sight.take for sight in sights),
    )  # fmt: skip
    keypoints = Keypoints(
        label=f"2D {label}", layout=MPI_INF_3DHP_17, skeleton=MPI_INF_3DHP_17,
        residual_px=ANNOT_PX if consistent else UNIV_PX, sights=tuple(sights),
    )  # fmt: skip
    return bodies, [keypoints]


def read_npz(path: Path, test: bool, rows: list[CheckRow]) -> list[Sight]:
    """Every view of an npz file.

    Args:
        path: The file.
        test: Whether it is the test file.
        rows: Takes what is wrong.
    """
    content = attempt(
        rows, f"form {path.name}", "a readable npz of data",
        partial(read_object_npz, path, ("data",)),
    )  # fmt: skip
    if content is None:
        return []
    shapes = Shapes(path.stem, "data_2d (frames, 17, 2) and data_3d (frames, 17, 3) by view")
    data = named(content["data"], "data", shapes)
    views = _test(data, shapes) if test else _train(data, shapes)
    sights = list(views)
    rows.append(shapes.row())
    return sights


def _train(data: Mapping[str, object], shapes: Shapes) -> Iterator[Sight]:
    """Intrinsics are not part of the training file."""
    for name, value in data.items():
        subject, _, sequence = name.partition(" ")
        inner = value[0] if isinstance(value, list | tuple) and value else value
        for camera, view in named(inner, name, shapes).items():
            where = f"{name}/{camera}"
            sight = _sight(named(view, where, shapes), (subject, sequence, camera), shapes)
            if sight is not None:
                yield sight


def _test(data: Mapping[str, object], shapes: Shapes) -> Iterator[Sight]:
    names, cameras = test_cameras()
    for name, value in data.items():
        if name not in names:
            shapes.miss(f"{name:.40} is no test sequence")
            continue
        camera = cameras[names.index(name)]
        width, height = camera.size.tolist()
        lens = camera.intrinsics.double().numpy()
        content = named(value, name, shapes)
        sight = _sight(content, (name, name, name), shapes, (width, height), lens)
        if sight is not None:
            yield sight


def _sight(
    content: Mapping[str, object],
    names: tuple[str, str, str],
    shapes: Shapes,
    size: tuple[float, float] = STUDIO_SIZE,
    lens: Array | None = None,
) -> Sight | None:
    """One view; None, remembered, when its arrays are of another form."""
    where = "/".join(dict.fromkeys(names))
    joints = shapes.take(content.get("data_3d"), (_JOINTS, (3,)), f"{where}/data_3d")
    pixels = shapes.take(content.get("data_2d"), (_JOINTS, (2, 3)), f"{where}/data_2d")
    if joints is None or pixels is None:
        return None
    try:
        joints = absolute_joints(joints, where)
    except DataError:
        shapes.miss(f"{where}: poses relative to a pelvis whose place is not given")
        return None
    valid = content.get("valid")
    flags = valid != 0 if isinstance(valid, np.ndarray) and valid.shape == (len(joints),) else None
    if "valid" in content and flags is None:
        shapes.miss(f"{where}/valid: not one number a frame")
    keypoints, confidence = split_channels(pixels)
    take = Take(subject=names[0], name=names[1], action=names[1], joints=joints, valid=flags)
    return Sight(take=take, camera=names[2], keypoints=keypoints, confidence=confidence,
                 size=size, lens=lens)  # fmt: skip
