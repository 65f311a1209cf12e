"""What a person sees of a run: worst samples, errors per joint and action, validation curves.

Files go to ``pictures/`` in the run's folder, and to W&B when the run logs there.

The worst samples of an evaluation are kept while its batches pass by.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.info import DataInfo
from lifting.errors import DataError
from lifting.experiment.config import PanelsConfig
from lifting.experiment.dashboard import (
    PICTURES_PER_ACTION,
    PICTURES_PER_JOINT,
    PICTURES_WORST,
    TABLE_WORST,
)
from lifting.experiment.loggers import METRICS_FILE
from lifting.experiment.processes import of_all
from lifting.metrics.functional.errors import JointErrors
from lifting.typing import PerJoint, PerSample, Pose2D, Pose3D
from lifting.visualization.charts import Curve, action_chart, curve_chart, joint_chart
from lifting.visualization.skeleton_plot import SamplePicture, sample_figure
from lifting.visualization.style import save_figure

FOLDER = "pictures"
METRIC = "mpjpe_mm"
COLUMNS = ("rank", "mpjpe_mm", "track", "frame", "action", "worst_joint", "worst_joint_mm")


@dataclass(kw_only=True)
class Samples:
    """Some samples, one frame each. All tensors lead with the axis of samples.

    Attributes:
        error: Mean error of the whole sample, ``(samples,)``, mm.
        joint_error: Error of each joint of the shown frame, ``(samples, joints)``, mm, NaN where
            the label is not valid.
        keypoints_2d: ``(samples, joints, 2)``, pixels.
        confidence: ``(samples, joints)``, 0 to 1.
        truth: ``(samples, joints, 3)``, camera frame, root-relative, mm.
        predicted: ``(samples, joints, 3)``, camera frame, root-relative, mm.
        size: Width and height of the image, ``(samples, 2)``, pixels.
        rotation: World to camera, ``(samples, 3, 3)``; the level camera's where it is unknown.
        sequence: ``(samples,)`` int, -1 where unknown; as the next two.
        action: ``(samples,)``.
        frame: Frame that is shown, ``(samples,)``.
    """

    error: PerSample
    joint_error: PerJoint
    keypoints_2d: Pose2D
    confidence: PerJoint
    truth: Pose3D
    predicted: Pose3D
    size: Tensor
    rotation: Tensor
    sequence: Tensor
    action: Tensor
    frame: Tensor

    def __len__(self) -> int:
        return int(self.error.shape[0])

    def select(self, index: Tensor) -> Samples:
        """Some of the samples, in the given order."""
        return Samples(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def worst(self, count: int) -> Samples:
        """Those of the greatest errors, see :func:`worst_rows_of`."""
        return self.select(worst_rows_of(self.error, self.sequence, count))

    def cpu(self) -> Samples:
        """The same samples on the CPU."""
        return Samples(**{f.name: getattr(self, f.name).cpu() for f in fields(self)})


class WorstSamples:
    """The samples of greatest mean error, at most one a track.

    Neighbouring frames of a track fail in the same way, so each track shows only its worst.

    Args:
        count: Samples to keep.
        root: Index of the root joint.
        window_stride: Frames between two neighbours inside a window.
    """

    def __init__(self, count: int, root: int, window_stride: int = 1) -> None:
        self.count = count
        self.root = root
        self.window_stride = window_stride
        self.samples: Samples | None = None

    @torch.no_grad()
    def update(self, prediction: Prediction, batch: PoseBatch, errors: JointErrors) -> None:
        """Look at a batch; non-finite samples are passed over.

        Args:
            prediction: ``joints_3d`` is ``(batch, targets, joints, 3)``, root-relative, mm.
            batch: The labelled input, one view a sample.
            errors: What the metrics found, ``(batch, targets, joints)``.
        """
        if self.count == 0 or batch.keypoints_2d.ndim != 4:
            return
        found = self._worst_of(prediction, batch, errors)
        if self.samples is not None:
            found = joined(self.samples, found)
        self.samples = found.worst(self.count)

    def _worst_of(self, prediction: Prediction, batch: PoseBatch, errors: JointErrors) -> Samples:
        """The batch's candidates: only their rows are gathered, not the whole batch."""
        assert batch.joints_3d is not None
        truth = root_relative(batch.joints_3d, self.root)
        joint_error = errors.error.float().masked_fill(~errors.valid, torch.nan)
        per_frame = joint_error.nanmean(-1)
        error = per_frame.nanmean(-1).nan_to_num(-torch.inf)
        error = error.masked_fill(errors.nonfinite.flatten(1).any(-1), -torch.inf)
        row = worst_rows_of(error, batch.sequence, self.count)
        shown = per_frame[row].nan_to_num(-torch.inf).argmax(-1)  # target that is drawn
        found = samples_of(prediction, batch, truth, joint_error, row, shown, self.window_stride)
        found.error = error[row]
        return found


def samples_of(
    prediction: Prediction,
    batch: PoseBatch,
    truth: Pose3D,
    joint_error: PerJoint,
    row: Tensor,
    shown: Tensor,
    window_stride: int,
) -> Samples:
    """Some frames of a batch, each with the mean of its own errors.

    Args:
        prediction: ``joints_3d`` is ``(batch, targets, joints, 3)``, root-relative, mm.
        batch: The input, one view a sample.
        truth: As ``prediction``.
        joint_error: ``(batch, targets, joints)``, mm, NaN where a label is not valid.
        row: ``(samples,)`` int64 into the batch.
        shown: ``(samples,)`` int64, the target of each.
        window_stride: Frames between two neighbours inside a window.
    """
    frames, targets = batch.keypoints_2d.shape[1], truth.shape[1]
    middle = frames // 2
    seen = shown if targets == frames else torch.full_like(shown, middle)
    keypoints = batch.keypoints_2d[row, seen]
    confidence = keypoints.new_ones(keypoints.shape[:-1])
    if batch.confidence is not None:
        confidence = batch.confidence[row, seen]
    rotation = batch.camera.rotation
    unknown = torch.full_like(row, -1)
    frame = unknown if batch.frame is None else batch.frame[row]
    errors = joint_error[row, shown]
    return Samples(
        error=errors.nanmean(-1),
        joint_error=errors,
        keypoints_2d=keypoints,
        confidence=confidence,
        truth=truth[row, shown],
        predicted=prediction.joints_3d[row, shown],
        size=batch.camera.size[row],
        rotation=_level(row) if rotation is None else rotation[row],
        sequence=unknown if batch.sequence is None else batch.sequence[row],
        action=unknown if batch.action is None else batch.action[row],
        frame=frame + (seen - middle) * window_stride,
    )


def worst_rows_of(error: PerSample, sequence: Tensor | None, count: int) -> Tensor:
    """Rows of the greatest finite errors, at most one a known sequence, the greatest first.

    Args:
        error: ``(rows,)``.
        sequence: ``(rows,)`` int, -1 or None where unknown.
        count: Rows wanted.

    Returns:
        ``(<= count,)`` int64.
    """
    order = error.argsort(descending=True, stable=True)
    order = order[error[order].isfinite()]
    if sequence is None:
        return order[:count]
    position = torch.arange(len(order), device=order.device)
    # Samples of unknown sequence count as all different.
    group = torch.where(sequence[order] >= 0, sequence[order], -1 - position)
    names, inverse = torch.unique(group, return_inverse=True)
    first = position.new_full((len(names),), len(order))
    first = first.scatter_reduce(0, inverse, position, reduce="amin")
    return order[first.sort().values[:count]]


def _level(row: Tensor) -> Tensor:
    """World to camera of a level camera that looks along the world's y, ``(rows, 3, 3)``."""
    level = torch.tensor(((1.0, 0, 0), (0, 0, -1.0), (0, 1.0, 0)), device=row.device)
    return level.expand(len(row), 3, 3)


def joined(a: Samples, b: Samples) -> Samples:
    """The samples of both."""
    return Samples(
        **{f.name: torch.cat((getattr(a, f.name), getattr(b, f.name))) for f in fields(Samples)}
    )


class PanelsCallback(Callback):
    """Draws what scalars do not show. Put it after test-time optimisation in the list.

    Args:
        config: How many samples, and how often during validation.
        run_dir: Folder of the run.
    """

    def __init__(self, config: PanelsConfig, run_dir: Path) -> None:
        self.config = config
        self.run_dir = run_dir
        self.validations = 0
        self._worst: WorstSamples | None = None

    def on_validation_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Collect, if this validation is to be drawn."""
        self._forget(pl_module, "val")
        if not trainer.sanity_checking and self.config.every > 0:
            self.validations += 1
            if self.validations % self.config.every == 0:
                self._collect(trainer, pl_module, "val")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the worst samples of this validation."""
        self._draw_worst(trainer, pl_module, "val")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the validation curves from the metrics file."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        with suppress(DataError):  # a training may end before its first validation
            self._save(validation_figure(self.run_dir), "curves")

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start collecting."""
        self._forget(pl_module, "test")
        self._collect(trainer, pl_module, "test")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the worst samples and the bars."""
        self._draw_worst(trainer, pl_module, "test")
        if trainer.is_global_zero and has_metric(trainer, "test"):
            self._draw_bars(trainer, pl_module)

    def _collect(self, trainer: pl.Trainer, module: Any, split: str) -> None:
        """Look for worse samples in what the metrics of a split are given."""
        options = getattr(trainer.datamodule, "config", None)  # type: ignore[attr-defined]
        stride = getattr(options, "window_stride", 1)
        self._worst = WorstSamples(self.config.worst, module.skeleton.root, stride)
        module.metrics[split].watchers.append(self._worst.update)

    def _forget(self, module: Any, split: str) -> None:
        """Look no more."""
        watchers = module.metrics[split].watchers
        if self._worst is not None and self._worst.update in watchers:
            watchers.remove(self._worst.update)
        self._worst = None

    def _draw_worst(self, trainer: pl.Trainer, module: Any, split: str) -> None:
        worst = self._worst
        self._forget(module, split)
        if worst is None:
            return
        shares = of_all(None if worst.samples is None else worst.samples.cpu())
        known = [share for share in shares if share is not None and len(share)]
        if not known or not trainer.is_global_zero or not has_metric(trainer, split):
            return
        samples = reduce(joined, known).worst(worst.count)
        info = trainer.datamodule.info(split)  # type: ignore[attr-defined]
        rows = worst_rows(samples, info)
        stem = split if split == "test" else f"{split}_step{trainer.global_step}"
        paths = []
        for index, row in enumerate(rows):
            title = f"{row[1]:.1f} mm: {row[2]}, frame {row[3]}"
            figure = sample_figure(_picture(samples, index, title), module.skeleton)
            paths.append(self._save(figure, f"{stem}_worst_{index + 1}"))
        prefix = "" if split == "test" else f"{split}/"
        for logger in wandb_loggers(trainer):
            captions = [f"{row[0]}: {row[1]:.1f} mm, {row[2]}, frame {row[3]}" for row in rows]
            logger.log_image(
                prefix + PICTURES_WORST, [str(path) for path in paths], caption=captions
            )
            logger.log_table(prefix + TABLE_WORST, columns=list(COLUMNS), data=rows)

    def _draw_bars(self, trainer: pl.Trainer, module: Any) -> None:
        metrics = module.metrics["test"]
        joints = _finite(metrics.per_joint())
        actions = _finite(per_action(metrics.per_action()))
        charts: dict[str, Figure] = {}
        if joints:
            charts[PICTURES_PER_JOINT] = joint_chart(joints, module.skeleton, of="test")
        if actions:
            charts[PICTURES_PER_ACTION] = action_chart(actions, of="test")
        for key, figure in charts.items():
            path = self._save(figure, key.rpartition("_")[2] + "s")
            for logger in wandb_loggers(trainer):
                logger.log_image(key, [str(path)])

    def _save(self, figure: Figure, name: str) -> Path:
        path = self.run_dir / FOLDER / f"{name}.png"
        save_figure(figure, path)
        return path


def worst_rows(samples: Samples, info: DataInfo) -> list[list[Any]]:
    """Table of samples, one row each, in the order of ``COLUMNS``.

    Args:
        samples: On the CPU, the worst first.
        info: Names behind the integers.
    """
    joint_error = samples.joint_error.nan_to_num(-math.inf)
    worst = joint_error.argmax(-1).tolist()
    values = joint_error.amax(-1).tolist()
    return [
        [
            index + 1,
            round(float(samples.error[index]), 2),
            _name(info.track_names, int(samples.sequence[index])),
            int(samples.frame[index]),
            _name(info.action_names, int(samples.action[index])),
            info.skeleton.joints[worst[index]],
            round(values[index], 2),
        ]
        for index in range(len(samples))
    ]


def validation_figure(run: Path) -> Figure:
    """Errors of the validations of a run against its steps.

    Args:
        run: Its folder.

    Raises:
        DataError: It logged none.
    """
    return curve_chart(read_curves(run / METRICS_FILE, "val/", METRIC), title="validation")


def per_action(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """MPJPE by action, out of the scores by metric and action."""
    return {action: values[METRIC] for action, values in scores.items() if METRIC in values}


def read_curves(path: Path, prefix: str, suffix: str) -> dict[str, Curve]:
    """Logged scalars of a metrics file against steps; the last row of a step counts.

    Args:
        path: The CSV file; without it there are no curves.
        prefix: Beginning of the wanted keys.
        suffix: Their ending; scores of single actions and joints are left out.
    """
    if not path.is_file():
        return {}
    points: dict[str, dict[int, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for key, value in row.items():
                metric = key.removeprefix(prefix)
                wanted = metric != key and "/" not in metric and metric.endswith(suffix)
                if wanted and value:
                    points.setdefault(key, {})[int(row["step"])] = float(value)
    return {
        key: Curve(np.array(sorted(at), dtype=float), np.array([at[s] for s in sorted(at)]))
        for key, at in sorted(points.items())
    }


def _picture(samples: Samples, index: int, title: str) -> SamplePicture:
    width, height = samples.size[index].tolist()
    return SamplePicture(
        keypoints_2d=samples.keypoints_2d[index],
        confidence=samples.confidence[index],
        truth=samples.truth[index],
        predicted=samples.predicted[index],
        rotation=samples.rotation[index],
        image_size=(width, height),
        title=title,
    )


def has_metric(trainer: pl.Trainer, split: str) -> bool:
    """Whether errors in mm mean anything, see ``Supervision``."""
    info: DataInfo = trainer.datamodule.info(split)  # type: ignore[attr-defined]
    return info.supervision.metric


def wandb_loggers(trainer: pl.Trainer) -> list[WandbLogger]:
    """Those of the run that are W&B's."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    plain = {name: float(value) for name, value in values.items()}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if 0 <= index < len(names) else "-"
