"""What goes with a training on labels of a teacher: a guard, and scores that it cannot have.

The guard stops a training whose answers have collapsed. A student that only has to agree with
itself, or whose teacher learns along, ends with the same pose for everything, often a point; its
loss does not show it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.datamodule import PoseDataModule
from lifting.errors import CollapseError
from lifting.experiment.config import ExperimentConfig
from lifting.methods.base import LiftingModule
from lifting.metrics.protocol import needs_scale

log = logging.getLogger(__name__)
SIZE, SPREAD = "val/answer_size", "val/answer_spread"


class CollapseGuard(Callback):
    """Compares answers with labels on the validation split, and stops a collapsed training.

    ``val/answer_size`` is the root mean square distance of the answers' joints from the root,
    ``val/answer_spread`` that from their mean pose, each over the same of the labels. Where either
    stays below the limit, a warning is logged; at the last of ``patience`` validations in a row
    the training ends with an error.

    Args:
        root: Index of the root joint.
        limit: Share of the labels' size and spread that is asked for.
        patience: Validations in a row that may fall below it.

    Source: EpipolarPose, section 3.2: with 2D joints of the trained branch "all keypoints
    collapse"; the measure is this project's.
    """

    def __init__(self, root: int, *, limit: float = 0.1, patience: int = 3) -> None:
        self.root, self.limit, self.patience = root, limit, patience
        self.below = 0
        self._sums: Tensor | None = None
        self._poses: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with."""
        return {"below": self.below}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a training was interrupted."""
        self.below = int(state_dict["below"])

    def on_validation_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Start with empty sums."""
        self._sums = self._poses = None

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Add answers and labels to the sums of both."""
        if isinstance(outputs, Prediction) and isinstance(batch, PoseBatch):
            self.add(outputs, batch)

    def on_validation_epoch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: LiftingModule
    ) -> None:
        """Log both shares and judge them."""
        if self._sums is None or self._poses is None or trainer.sanity_checking:
            return
        reduce = trainer.strategy.reduce
        size, spread = _shares(
            reduce(self._sums, reduce_op="sum"), reduce(self._poses, reduce_op="sum")
        )
        pl_module.more_scores |= {SIZE: torch.tensor(size), SPREAD: torch.tensor(spread)}
        self.judge(size, spread)

    @torch.no_grad()
    def add(self, prediction: Prediction, batch: PoseBatch) -> None:
        """Add a batch.

        Args:
            prediction: Answers, root-relative.
            batch: With labels.
        """
        if batch.joints_3d is None:
            return
        target = root_relative(batch.joints_3d, self.root)
        valid = torch.ones_like(target[..., 0]) if batch.visible is None else batch.visible
        weight = valid.double().flatten(0, -2)  # (poses, joints)
        pair = torch.stack((prediction.joints_3d, target)).double().flatten(1, -3)
        pair = torch.where(weight[..., None] > 0, pair, 0.0)  # (2, poses, joints, 3)
        count = weight.sum(0)  # (joints,)
        square = pair.square().sum(-1).sum(1)  # (2, joints)
        sums = torch.cat((count[None], square))
        poses = pair.sum(1)  # (2, joints, 3)
        self._sums = sums if self._sums is None else self._sums + sums
        self._poses = poses if self._poses is None else self._poses + poses

    def judge(self, size: float, spread: float) -> None:
        """Warn, or stop the training.

        Args:
            size: Size of the answers over that of the labels.
            spread: The same of the deviations from the mean pose.

        Raises:
            CollapseError: Either was too small for the last of the validations in a row.
        """
        if size >= self.limit and spread >= self.limit:
            self.below = 0
            return
        self.below += 1
        message = (
            f"expected answers at least {self.limit:g} times as large and as varied as the "
            f"labels, got {size:.3f} and {spread:.3f} times in {self.below} validations in a row"
        )
        if self.below >= self.patience:
            raise CollapseError(
                f"{message}: the training has collapsed; give the labels more weight against "
                "the losses that only ask for agreement, or lower the learning rate"
            )
        log.warning("%s", message)


def _shares(sums: Tensor, poses: Tensor) -> tuple[float, float]:
    """Size and spread of the answers over those of the labels."""
    count = sums[0].clamp(min=1)
    square = sums[1:].sum(-1)
    around = (sums[1:] - poses.square().sum(-1) / count).clamp(min=0).sum(-1)
    size, spread = ((a / b.clamp(min=1e-9)).sqrt() for a, b in (square, around))
    return float(size), float(spread)


def supervision_callbacks(config: ExperimentConfig, data: PoseDataModule) -> list[Callback]:
    """Callbacks of a training by its labels: the guard against collapse where a teacher made them.

    Args:
        config: The experiment.
        data: Its data.
    """
    if config.data.labels == "truth":
        return []
    return [CollapseGuard(data.info("val").skeleton.root)]


def supervision_facts(data: PoseDataModule) -> dict[str, Any]:
    """What the labels of a training were, and what scores that leaves out, for its record.

    Args:
        data: Its data.
    """
    told = data.info("test").supervision
    facts: dict[str, Any] = dict(told.facts)
    if data.has("train"):
        source = data.info("train").source
        facts |= {k: v for k, v in source.items() if k.startswith("labels_")}
    test = data.info("test").source
    facts["test_labels"] = test.get("labels", "truth")
    if not told.metric:
        facts["refused"] = (
            "MPJPE and all scores that compare lengths: the labels have no true scale"
        )
    return facts


def scored(values: Mapping[str, float], data: PoseDataModule) -> dict[str, float]:
    """Scores that the labels of a training permit.

    Args:
        values: Scores by key, without their split.
        data: Its data.
    """
    metric = data.info("test").supervision.metric
    return {k: v for k, v in values.items() if metric or not needs_scale(k)}
