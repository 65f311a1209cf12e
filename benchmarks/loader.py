"""Speed of the training loader, beside the usual form: one sample at a time, then collate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from lifting.batch import PoseBatch, collate, flip_batch
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.geometry.camera import Camera
from lifting.nn.threads import torch_threads
from lifting.skeleton import H36M_17
from timing import BenchRow, wall_seconds

TRACKS, FRAMES = 400, 250
BATCH = 1024
REFERENCE_SAMPLES = 4096
REPEATS = 3
THREADS = (1, 2)


def rows() -> Iterator[BenchRow]:
    """Samples a second with mirroring: single frames, new bone lengths, and 27-frame windows."""
    tracks = random_tracks()
    forms = (
        ("loader 1 frame", DataConfig(batch_size=BATCH)),
        ("loader 1 frame, bone lengths", DataConfig(batch_size=BATCH, bone_jitter=0.05)),
        ("loader 27 frames", DataConfig(batch_size=BATCH, frames=27, train_every=10)),
    )
    for threads in THREADS:
        for name, config in forms:
            with torch_threads(threads):
                yield _row(name, tracks, config, threads)


def random_tracks() -> PoseTracks:
    """Tracks of random numbers, the size of a small training split."""
    generator = torch.Generator().manual_seed(0)
    count = TRACKS * FRAMES
    joints = torch.randn(count, 17, 3, generator=generator) * 300
    joints[..., 2] += 5000
    intrinsics = torch.tensor([1145.0, 1144, 512, 516, -0.2, 0.24, -0.002, 0.001, -0.001])
    return PoseTracks(
        skeleton=H36M_17,
        joints_3d=joints,
        keypoints_2d=torch.rand(count, 17, 2, generator=generator) * 1000,
        confidence=torch.rand(count, 17, generator=generator),
        offsets=torch.arange(TRACKS + 1) * FRAMES,
        cameras=Camera(intrinsics=intrinsics.repeat(4, 1), size=torch.full((4, 2), 1000.0)),
        camera=torch.arange(TRACKS) % 4,
        recording=torch.arange(TRACKS) // 4,
        subject=torch.arange(TRACKS) % 5,
        action=torch.arange(TRACKS) % 15,
        track_names=tuple(f"track {i}" for i in range(TRACKS)),
        subject_names=tuple(f"subject {i}" for i in range(5)),
        action_names=tuple(f"action {i}" for i in range(15)),
        fps=torch.tensor(50.0),
        source={"dataset": "random numbers"},
        extras={},
    )


def _row(name: str, tracks: PoseTracks, config: DataConfig, threads: int) -> BenchRow:
    loader = PoseDataModule(config, 0, {"train": tracks}).train_dataloader()
    samples = len(tracks) // config.train_every

    def epoch() -> int:
        return sum(len(batch) for batch in loader)

    reference = None
    if config.frames == 1 and not config.bone_jitter:
        seconds = wall_seconds(_one_by_one(tracks), repeats=REPEATS)
        reference = REFERENCE_SAMPLES / seconds
    return BenchRow(
        name,
        reference,
        samples / wall_seconds(epoch, repeats=REPEATS),
        "samples/s",
        f"batch {BATCH}, flips on, {threads} thread(s), no worker; limited by memory reads",
        higher_is_better=True,
    )


def _one_by_one(tracks: PoseTracks) -> Callable[[], None]:
    """The usual form: build each sample, mirror it by a coin, join samples to batches."""
    order = torch.randperm(len(tracks))[:REFERENCE_SAMPLES].tolist()
    camera = tracks.cameras[torch.zeros(1, dtype=torch.long)]

    def sample(row: int) -> PoseBatch:
        at = slice(row, row + 1)
        labels = None if tracks.joints_3d is None else tracks.joints_3d[at, None]
        one = PoseBatch(
            skeleton=H36M_17,
            keypoints_2d=tracks.keypoints_2d[at, None],
            confidence=tracks.confidence[at, None],
            joints_3d=labels,
            camera=camera,
        )
        return flip_batch(one, tracks.skeleton) if torch.rand(()) < 0.5 else one

    def read() -> None:
        for start in range(0, len(order), BATCH):
            collate([sample(row) for row in order[start : start + BATCH]])

    return read
