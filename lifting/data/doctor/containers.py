"""Published npz files, by subject and recording, taken as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig, Split, with_section
from lifting.data.doctor.check import SPLITS, check_reading, check_takes
from lifting.data.doctor.presence import (
    Published,
    Shapes,
    attempt,
    check_content,
    check_counts,
    check_presence,
    find_files,
)
from lifting.data.doctor.takes import Bodies, CheckRow, Keypoints, Sight, Take
from lifting.data.sequence import PoseTracks
from lifting.data.two_d_npz import keypoint_layout
from lifting.errors import DataError
from lifting.files.containers import entries, items, read_object_npz
from lifting.files.npz import Array
from lifting.skeleton import Skeleton

EXACT = "gt"


def named(value: object, where: str, shapes: Shapes) -> dict[str, object]:
    """A dictionary by name, or an empty one, remembered as wrong.

    Args:
        value: What the file has.
        where: Names it.
        shapes: Remembers what is wrong.
    """
    try:
        return entries(value, where)
    except DataError:
        shapes.miss(f"{where} is no dictionary")
        return {}


@dataclass(frozen=True, kw_only=True)
class NpzForm:
    """A data set in the npz form of VideoPose3D: one 3D file, and a 2D file for each detector.

    Attributes:
        name: Data set.
        three_d: Name of the 3D file; metres, z up.
        two_d: How names of 2D files begin; the detector follows.
        words: Names of the 3D file's subjects and recordings, in words.
        recorded: Joints of its arrays.
        kept: Which of them are those of the skeleton, in its order.
        skeleton: Joints of the takes.
        orders: Joint orders that 2D files have.
        cameras: Their names, in the order of the 2D files.
        fps: Frames a second.
        bone_share: By which share the bones of a limb may change their length.
        bone_reason: Why.
        exact_px: Median distance that projected joints stay below.
        detected_px: The same of detections.
        subject_of: Group of a file -> subject; None for one that has no labels to be looked at.
        recording_of: Name in a file -> name and action; None for what is none.
        sight: Take, number of a camera, keypoints and confidence -> sight.
        read: The reader.
        splits: Parts that it is asked for.
        unset: Options that may name further 2D files, which are not read when another is.
        left_out: Subjects and recordings that no reader takes.
    """

    name: str
    three_d: str
    two_d: str
    words: str
    recorded: int
    kept: tuple[int, ...]
    skeleton: Skeleton
    orders: tuple[Skeleton, ...]
    cameras: tuple[str, ...]
    fps: float
    bone_share: float
    bone_reason: str
    exact_px: float
    detected_px: float
    subject_of: Callable[[str], str | None]
    recording_of: Callable[[str], tuple[str, str] | None]
    sight: Callable[[Take, int, Array, Array | None], Sight]
    read: Callable[[DataConfig, Split], PoseTracks]
    splits: tuple[Split, ...] = SPLITS
    unset: Mapping[str, None] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()

    def detector(self, path: Path) -> str:
        """Whose keypoints a 2D file holds; one that names nobody holds projected joints."""
        return path.stem.removeprefix(self.two_d).removeprefix("_") or EXACT


def check_form(form: NpzForm, config: DataConfig, published: Published) -> list[CheckRow]:
    """Look at the files of such a data set, and ask its reader where both kinds are there.

    Args:
        form: The data set.
        config: The data section; without the 2D file that it names the first one is read.
        published: What should be in them.
    """
    root = config.root
    three_d = find_files(form.name, root, [form.three_d])[:1]
    two_d = find_files(form.name, root, [f"{form.two_d}*.npz"])
    rows = [
        check_presence(form.name, root, form.three_d, three_d),
        check_presence(form.name, root, f"{form.two_d}_<two_d>.npz", two_d),
        *check_content([*three_d, *two_d]),
    ]
    takes = _takes(form, three_d[0], rows) if three_d else ()
    if takes:
        rows += check_counts(takes, published)
    files = [file for path in two_d if (file := _keypoints(form, path, takes, published, rows))]
    if takes:
        bodies = Bodies(label="3D", skeleton=form.skeleton, unit="m", up="+z", fps=form.fps,
                        bone_share=form.bone_share, bone_reason=form.bone_reason,
                        takes=takes)  # fmt: skip
        rows += check_takes(bodies, files)
    if three_d and two_d:
        options, detectors = getattr(config, form.name), [form.detector(path) for path in two_d]
        if options.two_d not in detectors:
            options = replace(options, two_d=detectors[0], **form.unset)
        rows += check_reading(form.read, with_section(config, form.name, options), form.splits)
    return rows


def _takes(form: NpzForm, path: Path, rows: list[CheckRow]) -> tuple[Take, ...]:
    """Every recording of the 3D file, in mm if it is in metres."""
    read = partial(read_object_npz, path, ("positions_3d",))
    content = attempt(rows, f"form {path.name}", "a readable npz of positions_3d", read)
    if content is None:
        return ()
    shapes = Shapes("3D", f"(frames, {form.recorded}, 3) by {form.words}")
    takes = []
    for group, recordings in named(content["positions_3d"], "positions_3d", shapes).items():
        subject = form.subject_of(group)
        if subject is None:
            continue
        for name, value in named(recordings, group, shapes).items():
            recording = form.recording_of(name)
            if recording is None:
                shapes.miss(f"{group}/{name:.40} is no action and number")
                continue
            array = shapes.take(value, ((form.recorded,), (3,)), f"{group}/{name}")
            if array is not None and (subject, recording[0]) not in form.left_out:
                joints = array[:, form.kept] * np.float32(1000)
                takes.append(
                    Take(subject=subject, name=recording[0], action=recording[1], joints=joints)
                )
    rows.append(shapes.row())
    return tuple(takes)


def _keypoints(
    form: NpzForm,
    path: Path,
    takes: tuple[Take, ...],
    published: Published,
    rows: list[CheckRow],
) -> Keypoints | None:
    """A 2D file beside its takes; None, with a row, when it cannot be taken."""
    detector = form.detector(path)
    label = f"2D {detector}"
    read = partial(
        read_object_npz, path, ("positions_2d", "metadata"), optional=frozenset({"metadata"})
    )
    content = attempt(rows, f"form {path.name}", "a readable npz of positions_2d", read)
    if content is None:
        return None
    shapes = Shapes(label, f"(frames, joints, 2 or 3) in each of {len(form.cameras)} cameras")
    groups = {
        form.subject_of(group) or group: {
            (form.recording_of(name) or (name,))[0]: recording
            for name, recording in named(value, group, shapes).items()
        }
        for group, value in named(content["positions_2d"], "positions_2d", shapes).items()
    }
    judge = partial(
        keypoint_layout, content.get("metadata"), _joint_count(groups), form.orders, str(path)
    )
    layout = attempt(rows, f"layout {label}", "a known order of joints", judge)
    if layout is None:
        return None
    sights = [
        sight
        for take in takes
        if take.subject in groups
        for sight in _sights(form, take, groups[take.subject].get(take.name), layout, shapes)
    ]
    present = [Take(subject=s, name="", action="", joints=np.empty(0)) for s in groups]
    rows += [shapes.row(), *check_counts(present, Published(published.subjects), label)]
    return Keypoints(
        label=label, layout=layout, skeleton=form.skeleton, sights=tuple(sights),
        residual_px=form.exact_px if detector == EXACT else form.detected_px,
    )  # fmt: skip


def _joint_count(two_d: dict[str, dict[str, object]]) -> int:
    """Joints of the first array of a 2D file; 0 when there is none."""
    for recordings in two_d.values():
        for value in recordings.values():
            views = value if isinstance(value, list | tuple | np.ndarray) else ()
            for array in views:
                if isinstance(array, np.ndarray) and array.ndim > 1:
                    return int(array.shape[1])
    return 0


def _sights(
    form: NpzForm, take: Take, value: object, layout: Skeleton, shapes: Shapes
) -> Iterator[Sight]:
    """One for each camera, or none, remembered as wrong."""
    try:
        views = items(value, take.label)
    except DataError:
        views = []
    if len(views) != len(form.cameras):
        shapes.miss(f"{take.label}: {len(views)} cameras")
        return
    for i, view in enumerate(views):
        mixed = isinstance(view, np.ndarray) and view.ndim == 4
        tail = ((len(layout),), (), (5,)) if mixed else ((len(layout),), (2, 3))
        array = shapes.take(view, tail, f"{take.label}/{form.cameras[i]}")
        if array is not None:
            yield form.sight(take, i, *split_channels(array))


def split_channels(array: Array) -> tuple[Array, Array | None]:
    """Pixels and confidence of ``(frames, joints, 2 or 3)``, or of mixtures.

    Of mixtures ``(frames, joints, kernels, 5)`` the most probable means are taken.
    """
    if array.ndim == 4:
        best = array[..., 0].argmax(axis=-1)[..., None, None]
        return np.take_along_axis(array[..., 1:3], best, axis=2)[:, :, 0], None
    return array[..., :2], array[..., 2] if array.shape[-1] == 3 else None
