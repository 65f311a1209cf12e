"""Cost of the metrics beside a straightforward form of each.

The straightforward forms are what one writes first: numpy's singular value decomposition, a
comparison at every threshold, all distances to all centres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lifting.actions import H36M_ACTIONS
from lifting.batch import PoseBatch, Prediction
from lifting.geometry.camera import Camera
from lifting.metrics.clusters import PoseClusters
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.functional.threshold import CPS_LIMIT_MM
from lifting.metrics.motion import Tracks
from lifting.metrics.protocol import AUC_THRESHOLDS_MM, get_protocol
from lifting.metrics.single import PAMPJPE
from lifting.metrics.single_scores import PSS, ThresholdCounts
from lifting.nn.threads import torch_threads
from lifting.skeleton import H36M_17
from reference.alignment import aligned_by_decomposition, aligned_error_by_decomposition
from timing import BenchRow, cpu_seconds

ALIGNED_POSES = 100_000
TEST_SET_POSES = 543_344
_CHUNK = 32_768
_CLUSTERS = 50
_BATCH, _BATCHES = 1024, 16
_WIDTH, _LAYERS = 512, 25  # of a network as costly as GUMLP


def rows() -> Iterator[BenchRow]:
    """Rows of the benchmark table: alignment, thresholds, structure, and a whole update.

    Everything runs on one thread: waiting threads count as processor time on a busy machine.
    """
    with torch_threads(1):
        yield _alignment_row(*_poses(ALIGNED_POSES))
        yield from _test_set_rows(*_poses(TEST_SET_POSES, dtype=torch.float32))
        yield _whole_row(*_poses(TEST_SET_POSES, dtype=torch.float32))
        yield _update_row()
        for size in (64, 256, 1024):
            yield _track_row(size)
        yield _share_row()


def _poses(count: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Made-up labels and predictions some 80 mm off, root-relative, mm."""
    generator = torch.Generator().manual_seed(0)
    target = 250 * torch.randn(count, 17, 3, generator=generator, dtype=dtype)
    noise = torch.randn(count, 17, 3, generator=generator, dtype=dtype)
    predicted = target + 50 * noise
    return predicted - predicted[:, :1], target - target[:, :1]


def _alignment_row(predicted: Tensor, target: Tensor) -> BenchRow:
    def ours() -> Tensor:
        metric = PAMPJPE()
        metric.update(predicted, target)
        return metric.compute()

    x, y = predicted.numpy(), target.numpy()
    note = f"{len(predicted)} poses, float64, one thread"
    return BenchRow(
        "PA-MPJPE",
        cpu_seconds(lambda: aligned_error_by_decomposition(x, y), repeats=3),
        cpu_seconds(ours, repeats=3),
        "CPU-s",
        note,
    )


def _test_set_rows(predicted: Tensor, target: Tensor) -> Iterator[BenchRow]:
    clusters = _made_up_clusters(target)
    chunks = list(zip(torch.split(predicted, _CHUNK), torch.split(target, _CHUNK), strict=True))

    def threshold_scores() -> Tensor:
        metric = ThresholdCounts(17)
        for pair in chunks:
            metric.update(*pair)
        return metric.compute()

    def structure_score() -> Tensor:
        metric = PSS(clusters, H36M_17.joints, "hip")
        for pair in chunks:
            metric.update(*pair)
        return metric.compute()

    note = f"{len(predicted)} poses, one thread"
    forms = (
        ("PCK and AUC", lambda: thresholds_by_comparison(predicted, target), threshold_scores),
        (
            f"PSS, {_CLUSTERS} clusters",
            lambda: structure_by_all_distances(predicted, target, clusters.centers),
            structure_score,
        ),
    )
    for name, plain, ours in forms:
        looped = cpu_seconds(plain, repeats=1, warmup=0)
        yield BenchRow(name, looped, cpu_seconds(ours, repeats=2), "CPU-s", note)


def _update_row() -> BenchRow:
    """Everything that is logged against a plain form of the same scores."""
    predicted, target = _poses(_BATCH, dtype=torch.float32)
    batch = _batch(target)
    prediction = Prediction(skeleton=H36M_17, joints_3d=predicted[:, None])
    metrics = PoseMetrics(get_protocol("h36m/p1"), H36M_17, H36M_ACTIONS)
    action = batch.action
    assert action is not None
    return BenchRow(
        "evaluation of a batch",
        cpu_seconds(lambda: evaluation_by_hand(predicted, target, action)),
        cpu_seconds(lambda: metrics.update(prediction, batch)),
        "CPU-s",
        f"{_BATCH} poses; the same scores in both",
    )


def _whole_row(predicted: Tensor, target: Tensor) -> BenchRow:
    """Every score of a test set in one pass, from the first batch to the logged values."""
    clusters = _made_up_clusters(target)
    parts = _track_parts(predicted.split(_BATCH), target.split(_BATCH))
    return BenchRow(
        "all metrics of a test set",
        None,
        cpu_seconds(_track_evaluation(parts, len(target), (clusters,)), repeats=3),
        "CPU-s",
        f"{len(target)} poses in batches of {_BATCH}, with velocity, acceleration and PSS",
    )


def _track_row(size: int) -> BenchRow:
    """An evaluation of a track in batches, velocity and acceleration with it, and its scores."""
    poses = [pose.split(size) for pose in _poses(_BATCHES * size, dtype=torch.float32)]
    parts = _track_parts(*poses)
    ours = _track_evaluation(parts, _BATCHES * size)

    def plain() -> None:
        for (predicted, target), (_, batch) in zip(zip(*poses, strict=True), parts, strict=True):
            assert batch.action is not None
            evaluation_by_hand(predicted, target, batch.action)
            residual = (predicted - target).double()
            for order in (1, 2):
                residual.diff(n=order, dim=0).norm(dim=-1).sum()

    return BenchRow(
        f"evaluation of a track, batches of {size}",
        cpu_seconds(plain),
        cpu_seconds(ours),
        "CPU-s",
        f"{_BATCHES} batches, with velocity and acceleration, and the scores at the end",
    )


def _track_parts(
    predicted: Sequence[Tensor], target: Sequence[Tensor]
) -> list[tuple[Prediction, PoseBatch]]:
    """Predictions and batches of neighbouring frames of one track."""
    frames = torch.arange(sum(len(part) for part in target)).split(len(target[0]))
    return [
        (
            Prediction(skeleton=H36M_17, joints_3d=poses[:, None]),
            replace(_batch(labels), sequence=torch.zeros_like(frame), frame=frame),
        )
        for poses, labels, frame in zip(predicted, target, frames, strict=True)
    ]


def _track_evaluation(
    parts: Sequence[tuple[Prediction, PoseBatch]],
    frames: int,
    clusters: Sequence[PoseClusters] = (),
) -> Callable[[], object]:
    """Our scores of a track of so many frames, which comes in parts."""
    tracks = Tracks(torch.tensor([50.0]), torch.tensor([frames]))
    metrics = PoseMetrics(get_protocol("h36m/p1"), H36M_17, H36M_ACTIONS, clusters, tracks)

    def evaluate() -> object:
        metrics.reset()
        for prediction, batch in parts:
            metrics.update(prediction, batch)
        return metrics.compute()

    return evaluate


def evaluation_by_hand(predicted: Tensor, target: Tensor, action: Tensor) -> list[Tensor]:
    """Sums of all that an evaluation logs of plain predictions, one score after the other.

    Args:
        predicted: ``(poses, joints, 3)``, root-relative, mm.
        target: ``(poses, joints, 3)``, root-relative, mm.
        action: ``(poses,)`` int.
    """
    x, y = predicted.double(), target.double()
    actions, joints = len(H36M_ACTIONS), x.shape[1]
    plain = (x - y).norm(dim=-1)
    aligned = (aligned_by_decomposition(x, y) - y).norm(dim=-1)
    scale = (x * y).sum((1, 2)) / (x * x).sum((1, 2))
    scaled = (scale[:, None, None] * x - y).norm(dim=-1)
    sums = [
        x.new_zeros(actions, joints).index_add_(0, action, error)
        for error in (plain, aligned, scaled)
    ]
    for error in (plain, aligned):
        for threshold in AUC_THRESHOLDS_MM:
            below = (error < threshold).sum(1)
            sums.append(below.new_zeros(actions).index_add_(0, action, below))
    worst = aligned.amax(1)
    sums += [(worst < threshold).sum() for threshold in range(1, CPS_LIMIT_MM + 1)]
    parents, children = (list(column) for column in zip(*H36M_17.bones, strict=True))
    bones = [(pose[:, children] - pose[:, parents]).norm(dim=-1) for pose in (x, y)]
    left, right = ([children.index(j) for j in side] for side in (H36M_17.left, H36M_17.right))
    sums.append((bones[0] - bones[1]).abs().sum())
    sums.append((bones[0][:, left] - bones[0][:, right]).abs().sum())
    return sums


def _batch(target: Tensor) -> PoseBatch:
    """A batch with these labels, ``(poses, joints, 3)``, in front of the camera."""
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=torch.zeros(len(target), 1, 17, 2),
        camera=Camera(intrinsics=torch.zeros(len(target), 9), size=torch.zeros(len(target), 2)),
        joints_3d=target[:, None] + 4000,
        action=torch.arange(len(target)) % len(H36M_ACTIONS),
    )


def _share_row() -> BenchRow:
    """The logged scores against a network's forward pass over the same batch."""
    predicted, target = _poses(_BATCH, dtype=torch.float32)
    layers = [torch.nn.Linear(_WIDTH, _WIDTH) for _ in range(_LAYERS)]
    network, features = torch.nn.Sequential(*layers), torch.randn(_BATCH, 17, _WIDTH)
    batch = _batch(target)
    prediction = Prediction(skeleton=H36M_17, joints_3d=predicted[:, None])
    metrics = PoseMetrics(get_protocol("h36m/p1"), H36M_17, H36M_ACTIONS)
    with torch.no_grad():
        forward = cpu_seconds(lambda: network(features), repeats=2)
    share = 100 * cpu_seconds(lambda: metrics.update(prediction, batch)) / forward
    work = _LAYERS * _WIDTH**2 * 17 / 1e6
    return BenchRow(
        "all scores, share of a forward pass",
        None,
        share,
        "per cent",
        f"{_BATCH} poses; the network does {work:.0f} M multiply-adds a pose, as GUMLP does",
    )


def thresholds_by_comparison(predicted: Tensor, target: Tensor) -> Tensor:
    """PCK at all thresholds of AUC by one comparison each, percent."""
    error = (predicted.double() - target.double()).norm(dim=-1)
    return torch.stack([100 * (error < t).double().mean() for t in AUC_THRESHOLDS_MM])


def structure_by_all_distances(predicted: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    """PSS by all distances from all poses to all centres, 0 to 1."""
    labels = []
    for pose in (predicted, target):
        unit = pose.double().flatten(1)
        unit = unit / unit.norm(dim=1, keepdim=True)
        parts = [
            (part[:, None] - centers[None]).square().sum(-1).argmin(1)
            for part in torch.split(unit, 2048)
        ]
        labels.append(torch.cat(parts))
    return (labels[0] == labels[1]).double().mean()


def _made_up_clusters(poses: Tensor) -> PoseClusters:
    unit = poses[:_CLUSTERS].double().flatten(1)
    return PoseClusters(
        centers=unit / unit.norm(dim=1, keepdim=True),
        joint_names=H36M_17.joints,
        root="hip",
        seed=0,
        n_init=1,
        inertia=0.0,
        n_train=_CLUSTERS,
        dataset="made up",
        split="train",
        subset="",
    )
