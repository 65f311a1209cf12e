"""Poses lifted from a test split or from a user's own keypoints, written as one npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.data.datamodule import PoseDataModule
from lifting.data.files import read_plain_npz, write_npz_atomically
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.experiment.config import ExperimentConfig
from lifting.geometry.camera import Camera
from lifting.skeleton import Skeleton


class PredictionStore(Callback):
    """Collects what a prediction run answers.

    Args:
        hypotheses: Also keep every hypothesis.
    """

    def __init__(self, *, hypotheses: bool = False) -> None:
        self.hypotheses = hypotheses
        self.columns: dict[str, list[Tensor]] = {}

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's answer."""
        prediction: Prediction = outputs
        values = {
            "joints_3d": prediction.joints_3d,
            "sigma": prediction.sigma,
            "trajectory": prediction.trajectory,
            "hypotheses": prediction.hypotheses if self.hypotheses else None,
            "track": batch.sequence,
            "frame": batch.frame,
        }
        for name, value in values.items():
            if value is not None:
                self.columns.setdefault(name, []).append(value.detach().cpu())

    def write(self, path: Path, data: PoseDataModule) -> None:
        """Write what was collected.

        The file holds ``joints_3d (N, targets, joints, 3)`` root-relative mm, ``frame (N,)``,
        ``track (N,)`` into ``track_names``, ``joint_names``, and where the method gives them
        ``sigma`` mm, ``trajectory`` mm and ``hypotheses (N, hypotheses, targets, joints, 3)`` mm.

        Args:
            path: The npz file.
            data: Gives the names.

        Raises:
            DataError: Nothing was predicted.
            OutputError: The file cannot be written.
        """
        if not self.columns:
            raise DataError("expected at least one sample to predict, got none; check the data")
        info = data.info("test")
        arrays = {name: torch.cat(parts).numpy() for name, parts in self.columns.items()}
        write_npz_atomically(
            path,
            **arrays,
            track_names=np.array(info.track_names),
            joint_names=np.array(info.skeleton.joints),
        )


def keypoint_tracks(path: Path, skeleton: Skeleton) -> PoseTracks:
    """Read a user's own keypoints as one unlabelled track.

    Args:
        path: An npz file with ``keypoints_2d (frames, joints, 2)`` in pixels, ``image_size (2,)``
            width and height, and optionally ``confidence (frames, joints)`` and ``intrinsics
            (9,)``; without the latter a pinhole with a focal length of the image's larger side.
        skeleton: Joints that the keypoints must have, in its order.

    Raises:
        MissingDataError: No such file.
        DataError: An array is absent, of another form, or not finite.
    """
    arrays = read_plain_npz(path, {"keypoints_2d": ("float", 3), "image_size": ("number", 1)})
    with np.load(path, allow_pickle=False) as file:
        optional = [name for name in ("confidence", "intrinsics") if name in file.files]
    kinds = {"confidence": ("float", 2), "intrinsics": ("number", 1)}
    arrays |= read_plain_npz(path, {name: kinds[name] for name in optional})  # type: ignore[misc]
    values = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    points, size = values["keypoints_2d"], values["image_size"]
    frames = len(points)
    expected = {
        "keypoints_2d": (frames, len(skeleton), 2),
        "image_size": (2,),
        "confidence": (frames, len(skeleton)),
        "intrinsics": (9,),
    }
    for name, value in values.items():
        _check_array(path, name, value, expected[name], skeleton)
    largest = size.max()
    pinhole = torch.cat((largest.expand(2), size / 2, torch.zeros(5)))
    return PoseTracks(
        skeleton=skeleton,
        keypoints_2d=points,
        confidence=values.get("confidence", torch.ones(points.shape[:2])),
        offsets=torch.tensor([0, frames]),
        cameras=Camera(intrinsics=values.get("intrinsics", pinhole)[None], size=size[None]),
        camera=torch.zeros(1, dtype=torch.int64),
        recording=torch.zeros(1, dtype=torch.int64),
        subject=torch.zeros(1, dtype=torch.int64),
        action=torch.zeros(1, dtype=torch.int64),
        track_names=(path.stem,),
        subject_names=("unknown",),
        action_names=("unknown",),
        fps=50.0,
        source={"dataset": "own keypoints", "split": "test", "two_d": path.name},
        extras={},
    )


def keypoint_data(config: ExperimentConfig, path: Path, skeleton: Skeleton) -> PoseDataModule:
    """Data module over a user's own keypoints; every frame is answered."""
    tracks = keypoint_tracks(path, skeleton)
    config.data.eval_every = 1
    return PoseDataModule(config.data, config.seed, {"val": tracks, "test": tracks})


def _check_array(
    path: Path, name: str, value: Tensor, shape: tuple[int, ...], skeleton: Skeleton
) -> None:
    if tuple(value.shape) != shape or value.numel() == 0:
        raise DataError(
            f"expected '{name}' of {path} to have shape {shape}, got {tuple(value.shape)}; give "
            f"the joints of {skeleton.name}: {', '.join(skeleton.joints)}"
        )
    if value.ndim == 1 and not bool(value.isfinite().all()):
        raise DataError(
            f"expected finite numbers in '{name}' of {path}, got {value.tolist()}; correct them"
        )
