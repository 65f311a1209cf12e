"""Answers of any program, from a file: read without trusting it, and scored as our own are.

The file says which joints it answers, in which unit and axes, and of which frames of which
recordings each pose is. How its program was trained nobody knows, and the record says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.datamodule import PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.data.sources import load_tracks
from lifting.errors import DataError, MissingDataError, suggest
from lifting.experiment.build import build_data
from lifting.experiment.claims import cluster_files
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import package_versions, scored_on
from lifting.experiment.record import COVERAGE, ResultRecord
from lifting.experiment.without_truth import scored
from lifting.files.checks import sha256_of
from lifting.files.npz import Array, Kind, npz_headers, read_plain_npz
from lifting.metrics.clusters import clusters_for
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.motion import Tracks
from lifting.metrics.protocol import get_protocol
from lifting.skeleton import Skeleton
from lifting.typing import Pose3D

PAGE = "docs/guide/evaluate_file.md has an example"
UNITS = {"mm": 1.0, "m": 1000.0}
AXES = "camera"
ORIGIN = "file, training unknown"
SIZES_MM = (50.0, 20_000.0)
"""Between which the extent of a person's pose lies, whatever the pose."""

FORM: Mapping[str, tuple[Kind, int]] = {
    "joints_3d": ("float", 3),
    "joints": ("text", 1),
    "unit": ("text", 0),
    "frame": ("text", 0),
    "recordings": ("text", 1),
    "frame_numbers": ("integer", 1),
    "method": ("text", 0),
    "two_d": ("text", 0),
}
"""Arrays of a file, and the number of their axes."""

OPTIONAL = frozenset({"method", "two_d"})


class Answers(NamedTuple):
    """Poses of a file, brought to a data set.

    Attributes:
        joints_3d: ``(poses, joints, 3)``, camera axes, mm, the joints in the data's order.
        rows: Frame of the data's tracks that each is of, ``(poses,)`` int64, each once.
        method: What the file says that it was made by, else its own name.
        two_d: What the file says that the 2D input was, else that it does not tell.
    """

    joints_3d: Pose3D
    rows: Tensor
    method: str
    two_d: str


class Score(NamedTuple):
    """What a file scored.

    Attributes:
        record: As of a trained model; with a coverage below 1 it is compared with no other.
        answered: Samples that the file answers.
        samples: Samples of the protocol.
        beside: Poses of the file that are of no sample.
    """

    record: ResultRecord
    answered: int
    samples: int
    beside: int


def score_file(path: Path, config: ExperimentConfig, data: PoseDataModule) -> Score:
    """Score the answers of a file on the test split.

    Args:
        path: The file.
        config: Protocol and clusters; there is no method.
        data: Of its data section.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is unsafe, damaged, or does not say what it must.
        ConfigError: The protocol does not score the joints of the data.
    """
    tracks = data.tracks("test")
    answers = read_answers(path, tracks)
    metrics = _metrics(config, data)
    row_of = torch.full((len(tracks),), -1)
    row_of[answers.rows] = torch.arange(len(answers.rows))
    samples = answered = 0
    for batch in data.test_dataloader():
        assert batch.sequence is not None
        assert batch.frame is not None
        rows = row_of[tracks.offsets[batch.sequence] + batch.frame]
        counts = _labelled(batch)
        samples += int(counts.sum())
        answered += int((counts & (rows >= 0)).sum())
        _add(metrics, answers, batch.rows(rows >= 0), rows[rows >= 0])
    if answered == 0:
        raise DataError(
            f"expected poses of the protocol's {samples:,} samples in {path}, got none of them; "
            f"it takes every {config.data.eval_every} frames of a recording: answer these"
        )
    scores = scored({key: float(value) for key, value in metrics.compute().items()}, data)
    record = ResultRecord(
        experiment=ORIGIN,
        method=answers.method,
        two_d=answers.two_d,
        frames=0,
        flip=False,
        seed=0,
        weights=sha256_of(path),
        extras={"trained_on": ORIGIN, "file": path.name, "poses": len(answers.rows)},
        packages=package_versions(),
        **scored_on(config, data, scores),
    )
    if answered < samples:
        record.samples[COVERAGE] = answered / samples
    return Score(record, answered, samples, len(answers.rows) - answered)


def first_with_data(
    configs: Sequence[ExperimentConfig],
) -> tuple[ExperimentConfig, PoseDataModule]:
    """The first configuration whose test split is there, and its data.

    Raises:
        MissingDataError: None is; it speaks of the first.
    """
    missing: MissingDataError | None = None
    for config in configs:
        try:
            tracks = load_tracks(config.data, "test")
        except MissingDataError as error:
            missing = missing or error
        else:
            return config, build_data(config, test=tracks)  # the training split is not read
    assert missing is not None
    raise missing


def read_answers(path: Path, tracks: PoseTracks) -> Answers:
    """Read a file, and find the frames of a data set that its poses are of.

    Args:
        path: The file.
        tracks: The frames that may be answered.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is unsafe or damaged, or something in it is missing or wrong.
    """
    check_names(path)
    arrays = read_plain_npz(path, FORM, optional=OPTIONAL)
    unit, frame = str(arrays["unit"]), str(arrays["frame"])
    if unit not in UNITS:
        raise _refused(path, f"a unit of {' or '.join(UNITS)}", f"'{unit}'", "name the true one")
    if frame != AXES:
        do = "turn the poses into the axes of the recording's camera: x right, y down, z forward"
        raise _refused(path, f"frame '{AXES}'", f"'{frame}'", do)
    _check_sizes(path, arrays)
    order = _joint_order(path, arrays["joints"], tracks.skeleton)
    joints = torch.from_numpy(arrays["joints_3d"])[:, order].double() * UNITS[unit]
    rows = _rows(path, arrays, tracks)
    _check_poses(path, joints, arrays, tracks.skeleton, unit)
    told = {name: str(arrays[name]) for name in OPTIONAL if name in arrays}
    return Answers(
        joints.float(), rows, told.get("method") or path.stem, told.get("two_d") or "not told"
    )


def check_names(path: Path) -> None:
    """Check that every array that is needed is there, and none that means nothing.

    Args:
        path: A file of answers.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no npz file, or of other names.
    """
    found = npz_headers(path)
    missing = [name for name in FORM if name not in found and name not in OPTIONAL]
    if missing:
        names = ", ".join(sorted(found)[:12]) or "no array at all"
        raise _refused(path, f"the arrays {', '.join(missing)}", names, PAGE)
    for name in found:
        if name not in FORM:
            raise DataError(f"unknown array '{name[:80]}' in {path}; {suggest(name[:80], FORM)}")


def _check_sizes(path: Path, arrays: Mapping[str, Array]) -> None:
    poses, joints, axes = arrays["joints_3d"].shape
    counts = {name: len(arrays[name]) for name in ("recordings", "frame_numbers")}
    if axes != 3 or joints != len(arrays["joints"]) or set(counts.values()) != {poses}:
        expected = "joints_3d of shape (poses, joints, 3), a name for each joint, and a recording "
        got = f"{arrays['joints_3d'].shape}, {len(arrays['joints'])} joints, {counts}"
        raise _refused(path, f"{expected}and a frame number for each pose", got, PAGE)
    if poses == 0:
        raise _refused(path, "poses", "none", PAGE)


def _joint_order(path: Path, names: Array, skeleton: Skeleton) -> list[int]:
    """Where in the file each joint of the data stands."""
    given = names.tolist()
    if sorted(given) != sorted(skeleton.joints):
        wrong = {
            "missing": [name for name in skeleton.joints if name not in given],
            "unknown": [name[:40] for name in given if name not in skeleton.joints],
            "twice": sorted({name[:40] for name in given if given.count(name) > 1}),
        }
        got = "; ".join(f"{k}: {', '.join(v[:20])}" for k, v in wrong.items() if v)
        what = f"each of the {len(skeleton)} joints of {skeleton.name} once"
        raise _refused(path, what, got, f"name them {', '.join(skeleton.joints)}, in any order")
    return [given.index(name) for name in skeleton.joints]


def _rows(path: Path, arrays: Mapping[str, Array], tracks: PoseTracks) -> Tensor:
    """Frame of the tracks that each pose is of, each once."""
    names, inverse = np.unique(arrays["recordings"], return_inverse=True)
    index = {name: i for i, name in enumerate(tracks.track_names)}
    for name in names.tolist():
        if name not in index:
            near = suggest(name[:80], index).partition("known: ")[0]
            do = f"{near}--list shows them"
            raise _refused(path, "recordings of the test split", f"'{name[:80]}'", do)
    track = torch.tensor([index[name] for name in names.tolist()])[torch.from_numpy(inverse)]
    first = torch.zeros(len(tracks.track_names), dtype=torch.int64)
    first = first if tracks.first_frame is None else tracks.first_frame
    number = torch.from_numpy(arrays["frame_numbers"].astype(np.int64)) - first[track]
    place = number.div(tracks.frame_step, rounding_mode="floor")
    length = tracks.offsets.diff()[track]
    wrong = (number % tracks.frame_step != 0) | (place < 0) | (place >= length)
    if bool(wrong.any()):
        bad = int(wrong.nonzero()[0, 0])
        start, step = int(first[track[bad]]), tracks.frame_step
        span = f"{start} to {start + step * (int(length[bad]) - 1)}"
        span += f" in steps of {step}" if step > 1 else ""
        raise _refused(
            path,
            f"frame numbers of '{arrays['recordings'][bad]}' from {span}",
            str(arrays["frame_numbers"][bad]),
            "frames are counted from 0, at the data's own rate" if not start else PAGE,
        )
    rows = tracks.offsets[track] + place
    seen, counts = np.unique(rows.numpy(), return_counts=True)
    if len(seen) < len(rows):
        twice = int((rows == int(seen[counts > 1][0])).nonzero()[0, 0])
        where = f"frame {arrays['frame_numbers'][twice]} of '{arrays['recordings'][twice]}'"
        more = f"{len(rows) - len(seen)} poses too many, the first of {where}"
        raise _refused(path, "each frame once", more, "answer each frame with one pose")
    return rows


def _check_poses(
    path: Path, joints: Pose3D, arrays: Mapping[str, Array], skeleton: Skeleton, unit: str
) -> None:
    """Every number is finite, and a pose has the size of a person."""
    wrong = (~joints.isfinite()).any(dim=-1)
    if bool(wrong.any()):
        pose, joint = wrong.nonzero()[0].tolist()
        where = f"frame {arrays['frame_numbers'][pose]} of '{arrays['recordings'][pose]}'"
        joint_name, count = skeleton.joints[joint], int(wrong.any(1).sum())
        got = f"{count} poses with others, the first at {joint_name} of {where}"
        do = "leave out poses that are not known: they lower the coverage"
        raise _refused(path, "finite numbers", got, do)
    extent = float((joints.amax(1) - joints.amin(1)).norm(dim=-1).median())
    low, high = SIZES_MM
    if not low <= extent <= high:
        raise _refused(
            path,
            f"poses of people, {low / 1000:g} to {high / 1000:g} m across",
            f"{extent / 1000:.4g} m in the median",
            f"correct the unit, which the file says is {unit}",
        )


def _refused(path: Path, expected: str, got: str, do: str) -> DataError:
    return DataError(f"expected {expected} in {path}, got {got}; {do}")


def _metrics(config: ExperimentConfig, data: PoseDataModule) -> PoseMetrics:
    """Empty scores of the test split, as a trained model's."""
    info = data.info("test")
    assert info.frames is not None
    return PoseMetrics(
        get_protocol(config.protocol),
        info.skeleton,
        info.action_names,
        clusters_for(cluster_files(config), info.skeleton),
        Tracks(info.fps, info.frames, info.window_stride),
    )


def _labelled(batch: PoseBatch) -> Tensor:
    """Samples with a label that counts, ``(batch,)`` bool."""
    if batch.visible is None:
        return torch.ones(len(batch), dtype=torch.bool)
    return batch.visible.flatten(1).any(dim=1)


def _add(metrics: PoseMetrics, answers: Answers, batch: PoseBatch, rows: Tensor) -> None:
    if len(rows) == 0:
        return
    root = batch.skeleton.index(metrics.protocol.root)
    pose = root_relative(answers.joints_3d[rows, None], root)
    metrics.update(Prediction(skeleton=batch.skeleton, joints_3d=pose), batch)
