"""The data section of an experiment. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DATASETS: dict[str, str] = {
    "synthetic": "procedural people and motion, no download (the default)",
    "cmu": "CMU motion capture, 17 joints, seen by virtual cameras (free for all uses)",
}

Split = Literal["train", "val", "test"]
NoiseLevel = Literal["none", "light", "cpn", "coarse"]
Rig = Literal["h36m", "random", "wild"]


@dataclass
class SyntheticConfig:
    """Size and kind of the procedural data.

    Attributes:
        train_sequences: Motions in the training split, each seen by every camera of its rig.
        val_sequences: Motions in the validation split.
        test_sequences: Motions in the test split.
        sequence_frames: Frames a motion, at 50 a second.
        seed: Seeds of the three splits are derived from it and never overlap.
        skeleton: ``human`` samples anthropometric proportions, ``h36m`` scales one skeleton.
        extras: Also make ``heatmaps`` or 2D ``mixtures``; only when asked for.
    """

    train_sequences: int = 160
    val_sequences: int = 16
    test_sequences: int = 40
    sequence_frames: int = 250
    seed: int = 0
    skeleton: Literal["human", "h36m"] = "human"
    extras: tuple[str, ...] = ()


@dataclass
class DataConfig:
    """Where samples come from and how they are cut into batches.

    Attributes:
        name: Data set, see ``DATASETS``.
        root: Folder of the files; None looks in LIFTING_DATA/<name> and LIFTING_DATA.
        cache: Folder for derived data; None is the user's cache folder.
        cameras: Which virtual rig films 3D motion that has no cameras of its own.
        noise: 2D detector noise added to projected joints (``none`` is the ground truth).
        noise_seed: Seed of rigs and noise.
        frames: Odd length of a window.
        window_stride: Frames between two neighbours inside a window.
        target: Answer the middle frame of a window, or all of them.
        train_every: Use every n-th frame as a training sample.
        eval_every: Use every n-th frame as a validation and test sample.
        batch_size: Training samples a batch.
        eval_batch_size: Validation, test and prediction samples a batch.
        flip: Mirror half of the training samples.
        bone_jitter: Standard deviation of random bone-length factors in training, 0 is off.
        workers: Loader processes; 0 gathers in the main one, which is faster for keypoints.
        device: Where the tracks live; ``auto`` is the training device if they fit.
        synthetic: Options of the data set ``synthetic``.
    """

    name: str = "synthetic"
    root: str | None = None
    cache: str | None = None
    cameras: Rig = "h36m"
    noise: NoiseLevel = "cpn"
    noise_seed: int = 0
    frames: int = 1
    window_stride: int = 1
    target: Literal["middle", "all"] = "middle"
    train_every: int = 1
    eval_every: int = 1
    batch_size: int = 1024
    eval_batch_size: int = 1024
    flip: bool = True
    bone_jitter: float = 0.0
    workers: int = 0
    device: Literal["auto", "cpu"] = "auto"
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
