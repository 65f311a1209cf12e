"""Error of every test sequence, for tables, confidence intervals, and a look at what fails."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.atomic import write_text
from lifting.data.datamodule import PoseDataModule
from lifting.errors import DataError
from lifting.metrics.collection import PoseMetrics

SEQUENCES_FILE = "sequences.csv"
COLUMNS = ("track", "recording", "subject", "action", "joints", "mpjpe_mm", "pa_mpjpe_mm")


@dataclass(frozen=True)
class SequenceScore:
    """Errors of one track.

    Attributes:
        track: Its name.
        recording: Number of the recording; views of one recording share it.
        joints: Joints that were scored, the weight of the means.
        mpjpe_mm: Mean error of the joints that the protocol scores; NaN where the labels of the
            training have no true scale.
        pa_mpjpe_mm: The same after similarity alignment of each pose.
    """

    track: str
    recording: int
    joints: int
    mpjpe_mm: float
    pa_mpjpe_mm: float


class SequenceScores(Callback):
    """Writes the errors of each track, as the metrics of a test summed them, to ``sequences.csv``.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the table; the first of several processes writes for all."""
        metrics: PoseMetrics = pl_module.metrics["test"]  # type: ignore[index, assignment]
        sums = metrics.per_track()
        if trainer.is_global_zero and len(sums):
            data: PoseDataModule = trainer.datamodule  # type: ignore[attr-defined]
            write_text(self.run_dir / SEQUENCES_FILE, _table(data, sums))


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
