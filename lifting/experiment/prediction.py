"""Poses lifted from a test split or from a user's own keypoints, written as one npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.data.conform import at_input_frames
from lifting.data.datamodule import PoseDataModule
from lifting.errors import DataError
from lifting.files.npz import write_npz_atomically

NOTED = (
    "joints_converted", "approximate_joints", "frames_resampled", "frame_rate", "intrinsics",
    "two_d", "joints_told_by", "people", "person", "notes",
)  # fmt: skip
"""Facts of the input that go with the answers."""


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

        The file holds ``joints_3d (N, 1, joints, 3)`` root-relative mm, ``frame (N,)``,
        ``track (N,)`` into ``track_names``, ``joint_names`` and the name of their ``skeleton``,
        ``fps`` of each track as it was read, ``notes`` on what was converted, resampled or
        assumed, and where the method gives them
        ``sigma`` mm, ``trajectory`` mm and ``hypotheses (N, hypotheses, 1, joints, 3)`` mm. A
        frame that several windows answered comes once, see :func:`one_answer_a_frame`.

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
        columns = {name: torch.cat(parts) for name, parts in self.columns.items()}
        centred = data.config.windows == "centred"
        lengths = data.tracks("test").offsets.diff().cpu()
        answers = one_answer_a_frame(columns, lengths, data.config.window_stride, centred=centred)
        tracks = data.tracks("test")
        answers = at_input_frames(answers, tracks, data.config.eval_every)
        arrays = {name: values.numpy() for name, values in answers.items()}
        write_npz_atomically(
            path,
            **arrays,
            track_names=np.array(info.track_names),
            joint_names=np.array(info.skeleton.joints),
            skeleton=np.array(info.skeleton.name),
            notes=np.array([f"{k}: {v}" for k, v in tracks.source.items() if k in NOTED]),
            fps=(tracks.fps if tracks.read_fps is None else tracks.read_fps).numpy(),
        )


def one_answer_a_frame(
    columns: Mapping[str, Tensor], lengths: Tensor, stride: int, *, centred: bool
) -> dict[str, Tensor]:
    """Answers of whole windows as one row a frame, in order of track and frame.

    Args:
        columns: ``joints_3d (N, targets, joints, 3)``, ``track (N,)``, ``frame (N,)`` of the
            middle, and other answers with the axis of targets.
        lengths: Frames of each track; answers to repeated edge frames are left out.
        stride: Frames between two neighbours inside a window.
        centred: Take the answer whose window has the frame nearest to its middle, else that of
            the earliest window.

    Returns:
        The same columns, ``targets`` 1; as they were where it was 1 already.
    """
    windows, targets = columns["joints_3d"].shape[:2]
    if targets == 1:
        return dict(columns)
    steps = (torch.arange(targets) - targets // 2) * stride
    track = columns["track"].cpu()[:, None].expand(-1, targets).flatten()
    frame = (columns["frame"].cpu()[:, None] + steps).flatten()
    order = torch.arange(windows)[:, None].expand(-1, targets).flatten()
    rank = steps.abs().expand(windows, -1).flatten() if centred else order
    real = ((frame >= 0) & (frame < lengths[track])).nonzero().squeeze(1)
    place = (torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))[track] + frame)[real]
    by_rank = rank[real].argsort(stable=True)
    chosen = by_rank[place[by_rank].argsort(stable=True)]
    ahead = place[chosen].diff(prepend=place.new_full((1,), -1)) > 0
    row = real[chosen[ahead]]
    kept = {"track": track[row], "frame": frame[row]}
    for name, values in columns.items():
        if name in kept:
            continue
        axis = 2 if name == "hypotheses" else 1
        kept[name] = values.movedim(axis, 1).flatten(0, 1)[row].unsqueeze(axis)
    return kept
