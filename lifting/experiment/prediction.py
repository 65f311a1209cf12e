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
from lifting.data.files import write_npz_atomically
from lifting.data.keypoints.read import read_keypoints
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.experiment.config import ExperimentConfig
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


def keypoint_data(
    config: ExperimentConfig, keypoints: Path | PoseTracks, skeleton: Skeleton
) -> PoseDataModule:
    """Data module over a user's own keypoints; every frame is answered.

    Args:
        config: The experiment; its data section then answers every frame.
        keypoints: Unlabelled tracks, or a file that needs no options to be read.
        skeleton: Joints of the method.

    Raises:
        DataError: The keypoints cannot be read, or have not the method's joints.
    """
    tracks = read_keypoints(keypoints) if isinstance(keypoints, Path) else keypoints
    if tracks.skeleton != skeleton:
        raise DataError(
            f"expected keypoints with the joints of {skeleton.name}, as the method has them, got "
            f"{tracks.skeleton.name}; choose a method trained on those"
        )
    config.data.eval_every = 1
    return PoseDataModule(config.data, config.seed, {"val": tracks, "test": tracks})
