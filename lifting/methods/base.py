"""The module every method derives from: metrics, optimiser and evaluation loops.

A method writes ``training_step`` and ``predict``, and says in ``describe`` and ``uses_camera`` how
its answers come about; everything else is here. It neither plots nor exports nor prepares data: a
method that has something of its own to show returns callbacks from ``configure_callbacks``, which
save to ``pictures``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from lifting.batch import (
    PoseBatch,
    Prediction,
    label_weights,
    root_relative,
    stills,
)
from lifting.data.info import DataInfo, Supervision
from lifting.data.sampler import BatchSampler
from lifting.errors import DataError
from lifting.methods.lifter import CHECKPOINT_KEY, PoseLifter
from lifting.methods.settings import ModuleSettings, OptimizerConfig
from lifting.metrics.clusters import clusters_for
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.motion import Tracks
from lifting.metrics.protocol import get_protocol, needs_scale
from lifting.nn.muon import MuonAdamW
from lifting.typing import PerJoint

# Split that each of Lightning's stages scores.
_SCORED = {"fit": ("val",), "validate": ("val",), "test": ("test",), "predict": ()}


class LiftingModule(PoseLifter, pl.LightningModule):
    """A lifting method under training and evaluation.

    Args:
        config: The method's own ``Config``.
        settings: What the run gives to every method.
    """

    length_matters = False
    """Whether an epoch depends on how many there will be: no run of such is made longer."""

    def __init__(self, config: Any, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.pictures: Path | None = None  # where own pictures go, None for none; set by the run
        self.metrics: dict[str, PoseMetrics] = {}
        self.more_scores: dict[str, Tensor] = {}  # of callbacks, logged with the next validation
        self.supervision = Supervision()  # of the data; known once they are
        self._part: float | Tensor | None = None  # this process's of a batch, times all of them

    def target(self, batch: PoseBatch) -> Tensor:
        """Root-relative labels, ``(batch, targets, joints, 3)``, mm.

        Raises:
            DataError: The batch carries no labels, or other joints than the method's.
        """
        self.check_joints(batch)
        if batch.joints_3d is None:
            raise DataError(
                "expected 3D labels in the batch, got none; use `lifting predict` for unlabelled "
                "keypoints"
            )
        return root_relative(batch.joints_3d, self.skeleton.root)

    def label_weights(self, batch: PoseBatch) -> PerJoint | None:
        """How much each label counts, ``(batch, targets, joints)``; None where all count alike."""
        return label_weights(batch, self.skeleton)

    def log_losses(self, losses: dict[str, Tensor], batch: PoseBatch) -> Tensor:
        """Log every term and their sum as ``<stage>train/<term>``; returns the sum.

        Args:
            losses: Terms by name, each of shape ``()``.
            batch: Says of how many samples they are.
        """
        total = torch.stack(tuple(losses.values())).sum()
        values = [value.detach() for value in (*losses.values(), total)]
        if self._part is not None:  # of several processes: what one would log
            weighted = torch.stack(values) * self._part
            values = list(self.trainer.strategy.reduce(weighted, reduce_op="mean"))
        for name, value in zip((*losses, "loss"), values, strict=True):
            key = f"{self.key_prefix}train/{name}"
            self.log(key, value, batch_size=len(batch), on_step=True, on_epoch=False)
        return total

    def losses_with_stills(
        self,
        batch: PoseBatch,
        share: float,
        losses: Callable[[PoseBatch, int | None], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Loss terms of a batch that is partly taken as stills: many poses for few frames.

        The frames of a window are much alike, so that a network which lifts whole windows sees few
        poses a step; single frames show it others, at a place in the window that is drawn.

        Args:
            batch: Windows; at least one stays whole.
            share: Of them that are cut to their middle frame.
            losses: Terms of a part, of the same names for each, and where in a window its frames
                are, None for whole ones. A still counts as much as a whole window.
        """
        frames = batch.keypoints_2d.shape[1]
        cut = min(round(share * len(batch)), len(batch) - 1)
        if cut == 0 or frames == 1:
            return losses(batch, None)
        place = int(torch.randint(frames, ()))
        single = losses(stills(batch.rows(slice(cut))), place)
        whole = losses(batch.rows(slice(cut, None)), None)
        part = cut / len(batch)
        return {name: torch.lerp(whole[name], single[name], part) for name in whole}

    def loss_weights(self, batch: PoseBatch) -> PerJoint | None:
        """Weights by whose sum the method's loss is divided; None where it is a mean over samples.

        Of several processes each counts by the sum of its own, at least 1 as in a loss. Override
        for a loss that is not divided by that of :meth:`label_weights`.
        """
        return self.label_weights(batch)

    def on_train_batch_start(self, batch: PoseBatch, batch_idx: int) -> None:
        """Find out how much this process's slice counts in the batch; wait for the others."""
        world = self.trainer.world_size
        if world == 1:
            return
        weights = self.loss_weights(batch)
        if weights is None:
            sampler = self._sampler
            whole = None if sampler is None else sampler.size(batch_idx)
            self._part = None if whole is None else world * len(batch) / whole
        else:
            own = weights.sum(dtype=torch.float64)
            every = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
            self._part = world * own.clamp(min=1) / every.clamp(min=1)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Differentiate a loss so that a step's gradient is that of the mean over its samples.

        Lightning divides by ``trainer.accumulate``, also where fewer batches are left in the
        epoch, and takes the plain mean over the processes, whose slices differ by a sample.

        Args:
            loss: Of a batch, or of this process's slice, as Lightning has divided it.
            args: Handed on.
            kwargs: Handed on.
        """
        trainer, accumulate = self.trainer, self.trainer.accumulate_grad_batches
        if accumulate > 1:
            number, batches = trainer.fit_loop.batch_idx, int(trainer.num_training_batches)
            sampler = self._sampler
            if sampler is not None:
                loss = loss * sampler.share_of_step(number, accumulate, batches)
            else:  # of a loader that does not tell: batches count alike
                start = number - number % accumulate
                loss = loss * (accumulate / min(accumulate, batches - start))
        super().backward(loss if self._part is None else loss * self._part, *args, **kwargs)

    @property
    def key_prefix(self) -> str:
        """Empty in the last stage, else ``<stage>/``: logged keys of the main model are stable."""
        return "" if self.stage == self.stages()[-1] else f"{self.stage.name}/"

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of a whole epoch, the last of them of what is left to accumulate.

        An epoch that does not end, of a stream of batches, has those of the training.
        """
        trainer = self.trainer
        trainer.fit_loop.setup_data()  # makes the loader, if that was not needed before
        if math.isinf(trainer.num_training_batches):
            return max(1, int(trainer.estimated_stepping_batches))
        return math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)

    @property
    def _sampler(self) -> BatchSampler | None:
        """The sampler of the data module's loader; None where a trainer was given another."""
        sampler = getattr(self.trainer.train_dataloader, "sampler", None)
        return sampler if isinstance(sampler, BatchSampler) else None

    def setup(self, stage: str) -> None:
        """Build the metrics of the splits that will be scored."""
        if stage == "fit":
            self.processes = self.trainer.world_size
        for split in _SCORED[stage]:
            info = self.trainer.datamodule.info(split)  # type: ignore[attr-defined]
            self.metrics[split] = self.new_metrics(info)
            self.supervision = info.supervision

    def new_metrics(self, info: DataInfo) -> PoseMetrics:
        """Empty scores of a split.

        Args:
            info: Names behind the integers of its batches.
        """
        return PoseMetrics(
            get_protocol(self.settings.protocol),
            info.skeleton,
            info.action_names,
            clusters_for(self.settings.pss, info.skeleton),
            None if info.frames is None else Tracks(info.fps, info.frames, info.window_stride),
        )

    def validation_step(  # type: ignore[override]
        self, batch: PoseBatch, batch_idx: int
    ) -> Prediction:
        """Predict; the score is taken in ``on_validation_batch_end``."""
        return self.infer(batch)

    def test_step(  # type: ignore[override]
        self, batch: PoseBatch, batch_idx: int
    ) -> Prediction:
        """Predict; the score is taken in ``on_test_batch_end``, after the callbacks'."""
        return self.infer(batch)

    def predict_step(self, batch: PoseBatch, batch_idx: int) -> Prediction:
        """Predict."""
        return self.infer(batch)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.metrics["val"].to(self.device).reset()

    def on_test_epoch_start(self) -> None:
        """Forget the last test."""
        self.metrics["test"].to(self.device).reset()

    def on_validation_batch_end(
        self, outputs: Any, batch: PoseBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score what the callbacks left in the prediction."""
        self.metrics["val"].update(outputs, batch)

    def on_test_batch_end(
        self, outputs: Any, batch: PoseBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score what the callbacks left in the prediction."""
        self.metrics["test"].update(outputs, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        self._log_metrics("test")

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule of the settings, over the parameters that want a gradient."""
        options = self.settings.optimizer
        optimizer = self._optimizer(options)
        total = int(self.trainer.estimated_stepping_batches)
        factor = learning_rate_factor(
            options, total_steps=total, steps_per_epoch=self.steps_per_epoch
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _optimizer(self, options: OptimizerConfig) -> torch.optim.Optimizer:
        given = [p for p in self.parameters() if p.requires_grad]
        lr = options.lr if self.stage.lr is None else self.stage.lr
        betas = (options.betas[0], options.betas[1])
        if options.name == "muon":
            return MuonAdamW(
                given,
                lr=lr,
                matrix_lr=options.matrix_lr * lr / options.lr,
                betas=betas,
                weight_decay=options.weight_decay,
            )
        kind = torch.optim.AdamW if options.name == "adamw" else torch.optim.Adam
        return kind(
            given,
            lr=lr,
            betas=betas,
            weight_decay=options.weight_decay,
            amsgrad=options.amsgrad,
            # One pass over the weights. Lightning refuses to clip such a one's gradients in mixed
            # precision, as on a GPU it undoes the loss scale itself.
            fused=(self.device.type == "cpu" and "mixed" not in self.trainer.precision) or None,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in the checkpoint whose it is, in plain values only."""
        checkpoint[CHECKPOINT_KEY] = {
            **self.claim,
            "method": self.settings.method,
            "skeleton": self.skeleton.plain(),
            "normalisation": self.normalisation,
            "stage": self.stage.name,
            "supervision": self.supervision.protocol,
            "processes": self.processes,
            # Files of clusters lie on this machine; the experiment in the claim names them.
            "settings": {k: v for k, v in asdict(self.settings).items() if k != "pss"},
            "config": asdict(self.config),
        }

    def _log_metrics(self, split: str) -> None:
        found = self.metrics[split].compute()
        metric = self.supervision.metric
        values = {k: v for k, v in found.items() if metric or not needs_scale(k)}
        prefix = self.key_prefix if split == "val" else ""  # what is tested is what answers
        logged = {**self.more_scores, **{f"{prefix}{split}/{k}": v for k, v in values.items()}}
        self.more_scores = {}
        trainer = self.trainer
        if trainer.state.fn != TrainerFn.FITTING:  # whose answer the scores are
            self.log_dict(logged)
        elif not trainer.sanity_checking:
            # Lightning's `log` takes a millisecond a key, of hundreds, in every epoch.
            trainer.callback_metrics.update(logged)
            row = {key: float(value) for key, value in logged.items()}
            step = trainer.global_step - 1  # the last that was taken, as Lightning counts
            for logger in trainer.loggers:
                logger.log_metrics(row | {"epoch": trainer.current_epoch}, step)
                logger.save()


def learning_rate_factor(
    options: OptimizerConfig, *, total_steps: int, steps_per_epoch: int
) -> Callable[[int], float]:
    """Factor on the starting rate at each optimiser step.

    Args:
        options: The optimiser section.
        total_steps: Steps of the whole training, where the cosine ends.
        steps_per_epoch: Steps an epoch, the unit of the exponential schedule.

    Returns:
        A function from the step, counted from 0, to the factor.
    """

    def factor(step: int) -> float:
        warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
        if options.schedule == "exponential":
            epoch = step // steps_per_epoch
            return warmup * float(options.gamma ** (epoch // options.every))
        if options.schedule == "cosine":
            done = min(1.0, step / max(1, total_steps))
            return warmup * (
                options.final + (1 - options.final) * (1 + math.cos(math.pi * done)) / 2
            )
        return warmup

    return factor
