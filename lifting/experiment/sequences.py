"""Error of every test sequence, for tables, confidence intervals, and a look at what fails."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.atomic import write_text
from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.datamodule import PoseDataModule
from lifting.errors import DataError
from lifting.metrics.functional.position import joint_errors

SEQUENCES_FILE = "sequences.csv"
COLUMNS = ("track", "recording", "subject", "action", "joints", "mpjpe_mm", "pa_mpjpe_mm")


@dataclass(frozen=True)
class SequenceScore:
    """Errors of one track.

    Attributes:
        track: Its name.
        recording: Number of the recording; views of one recording share it.
        joints: Joints that were scored, the weight of the means.
        mpjpe_mm: Mean joint error; NaN where the labels of the training have no true scale.
        pa_mpjpe_mm: The same after similarity alignment of each pose.
    """

    track: str
    recording: int
    joints: int
    mpjpe_mm: float
    pa_mpjpe_mm: float


class SequenceScores(Callback):
    """Sums joint errors by track during a test, and writes them to ``sequences.csv``.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._sums: Tensor | None = None

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start with empty sums."""
        tracks = _data(trainer).tracks("test")
        self._sums = torch.zeros(len(tracks.track_names), 3, dtype=torch.float64)
        self._sums = self._sums.to(pl_module.device)
        self._root = tracks.skeleton.root

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch to the sums of its tracks."""
        if self._sums is None or batch.joints_3d is None or batch.sequence is None:
            return
        target = root_relative(batch.joints_3d, self._root)
        plain = joint_errors(outputs.joints_3d, target, batch.visible)
        aligned = joint_errors(outputs.joints_3d, target, batch.visible, align="similarity")
        rows = torch.stack(
            [x.flatten(1).double().sum(-1) for x in (plain.valid, plain.error, aligned.error)], -1
        )
        self._sums.index_add_(0, batch.sequence, rows.to(self._sums))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the table; with several processes the first writes for all."""
        if self._sums is None:
            return
        sums = trainer.strategy.reduce(self._sums, reduce_op="sum").cpu()
        if trainer.is_global_zero:
            write_text(self.run_dir / SEQUENCES_FILE, _table(_data(trainer), sums))
        self._sums = None


def read_sequences(path: Path) -> list[SequenceScore]:
    """Read the table of a run.

    Args:
        path: A ``sequences.csv``.

    Raises:
        DataError: The file is absent or of another form.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                SequenceScore(
                    row["track"], int(row["recording"]), int(row["joints"]),
                    float(row["mpjpe_mm"]), float(row["pa_mpjpe_mm"]),
                )
                for row in csv.DictReader(file)
            ]  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"expected a table of sequences at {path}, got: {error}; test the run again with "
            "`lifting test`"
        ) from error


def _data(trainer: pl.Trainer) -> PoseDataModule:
    data: PoseDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data


def _table(data: PoseDataModule, sums: Tensor) -> str:
    tracks = data.tracks("test")
    metric = data.info("test").supervision.metric
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    facts = zip(
        tracks.track_names, tracks.recording.tolist(), tracks.subject.tolist(),
        tracks.action.tolist(), sums.tolist(), strict=True,
    )  # fmt: skip
    for name, recording, subject, action, (joints, plain, aligned) in facts:
        if joints:
            who, what = tracks.subject_names[subject], tracks.action_names[action]
            means = (f"{plain / joints if metric else math.nan:.6f}", f"{aligned / joints:.6f}")
            writer.writerow((name, recording, who, what, int(joints), *means))
    return text.getvalue()
