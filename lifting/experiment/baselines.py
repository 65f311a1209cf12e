"""What needs no learning: the mean pose, and the pose of the most similar 2D input.

Both see the training split only and are scored on the same test samples, by the same metrics, as
the trained model.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.datamodule import PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.experiment.without_truth import scored
from lifting.geometry.camera import normalize_screen
from lifting.methods.settings import ModuleSettings
from lifting.metrics.clusters import clusters_for
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.protocol import get_protocol
from lifting.typing import ImageSize, Pose2D, Pose3D

MEAN_POSE, NEAREST = "mean_pose", "nearest_neighbour"
MAX_REFERENCES = 20_000  # poses that the nearest neighbour is looked for among
CHUNK = 4096

Predictor = Callable[[PoseBatch], Pose3D]


def baseline_scores(
    data: PoseDataModule, settings: ModuleSettings, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Score both baselines on the test split.

    Args:
        data: Gives the training tracks and the test samples.
        settings: Protocol, and whether all frames or the middle one of a window are answered.
        limit: Test batches at most, None for all.

    Returns:
        Scores by key, by name of the baseline; empty where there are no training data.
    """
    if not data.has("train"):
        return {}
    train = data.tracks("train")
    predictors: dict[str, Predictor] = {
        MEAN_POSE: _MeanPose(mean_pose(train)),
        NEAREST: _NearestNeighbour(train, all_frames=settings.target == "all"),
    }
    info = data.info("test")
    clusters = clusters_for(settings.pss, info.skeleton)
    protocol = get_protocol(settings.protocol)
    metrics = {
        name: PoseMetrics(protocol, info.skeleton, info.action_names, clusters)
        for name in predictors
    }
    for batch in islice(data.test_dataloader(), limit):
        labels = _labels(batch)
        for name, predict in predictors.items():
            joints = predict(batch).to(labels).expand(labels.shape).clone()
            metrics[name].update(Prediction(skeleton=batch.skeleton, joints_3d=joints), batch)
    return {
        name: scored({key: float(value) for key, value in scores.compute().items()}, data)
        for name, scores in metrics.items()
    }


def mean_pose(tracks: PoseTracks) -> Pose3D:
    """Mean root-relative pose of some tracks, over the valid labels of each joint.

    Args:
        tracks: Labelled tracks.

    Returns:
        ``(joints, 3)``, camera frame, root-relative, mm.

    Raises:
        DataError: The tracks have no labels.
    """
    labels = _track_labels(tracks)
    total = torch.zeros(labels.shape[1:], dtype=torch.float64)
    count = torch.zeros(labels.shape[1], 1, dtype=torch.float64)
    visible = tracks.visible
    for start in range(0, len(labels), 16 * CHUNK):
        part = root_relative(labels[start : start + 16 * CHUNK], tracks.skeleton.root).double()
        valid = torch.ones(part.shape[:2], dtype=torch.bool)
        if visible is not None:
            seen = visible[start : start + 16 * CHUNK]
            valid = seen & seen[:, tracks.skeleton.root, None]
        weight = valid[..., None].double()  # (frames, joints, 1)
        total += (part * weight).sum(0)
        count += weight.sum(0)
    return (total / count.clamp(min=1)).float()


def normalised_input(keypoints: Pose2D, size: ImageSize, root: int) -> Tensor:
    """2D poses without their place and size in the picture, as rows.

    Args:
        keypoints: ``(*batch, joints, 2)``, pixels.
        size: ``(*batch, 2)``, pixels.
        root: Index of the root joint.

    Returns:
        ``(*batch, joints * 2)``: screen units, root at zero, divided by their root mean square.
    """
    points = normalize_screen(keypoints, size)
    points = points - points[..., root : root + 1, :]
    scale = points.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-6)
    return (points / scale).flatten(-2)


def nearest_rows(queries: Tensor, references: Tensor) -> Tensor:
    """Index of the nearest reference of each query, by Euclidean distance.

    Args:
        queries: ``(queries, features)``.
        references: ``(references, features)``.

    Returns:
        ``(queries,)`` int64.
    """
    norms = references.square().sum(-1)
    parts = [
        (norms - 2 * part @ references.T).argmin(-1)  # |q|^2 does not change the order
        for part in torch.split(queries, CHUNK)
    ]
    return torch.cat(parts)


class _MeanPose:
    def __init__(self, pose: Pose3D) -> None:
        self.pose = pose

    def __call__(self, batch: PoseBatch) -> Pose3D:
        return self.pose


class _NearestNeighbour:
    def __init__(self, tracks: PoseTracks, *, all_frames: bool) -> None:
        self.root = tracks.skeleton.root
        self.all_frames = all_frames
        labels = _track_labels(tracks)
        rows = _whole_rows(tracks)
        rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MAX_REFERENCES)).long()]
        track = torch.searchsorted(tracks.offsets[1:], rows, right=True)
        size = tracks.cameras.size[tracks.camera[track]]
        self.keys = normalised_input(tracks.keypoints_2d[rows], size, self.root)
        self.poses = root_relative(labels[rows], self.root)

    def __call__(self, batch: PoseBatch) -> Pose3D:
        points = batch.keypoints_2d
        if not self.all_frames:
            points = points[:, points.shape[1] // 2, None]
        rows = normalised_input(points, batch.camera.size[:, None], self.root)
        found = nearest_rows(rows.flatten(0, 1), self.keys)
        return self.poses[found].view(
            *rows.shape[:2], *self.poses.shape[1:]
        )  # (batch, targets, joints, 3)


def _whole_rows(tracks: PoseTracks) -> Tensor:
    """Frames with a valid label of every joint, ``(rows,)``; all where there is none."""
    if tracks.visible is not None and bool(tracks.visible.all(-1).any()):
        return tracks.visible.all(-1).nonzero()[:, 0]
    return torch.arange(len(tracks))


def _labels(batch: PoseBatch) -> Pose3D:
    if batch.joints_3d is None:
        raise DataError("expected a labelled test split, got none; use `lifting predict` instead")
    return batch.joints_3d


def _track_labels(tracks: PoseTracks) -> Pose3D:
    if tracks.joints_3d is None:
        raise DataError("expected labelled training tracks, got none; choose another data set")
    return tracks.joints_3d
