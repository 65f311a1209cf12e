"""Test-time optimisation inside Lightning's validation, test and prediction."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.tto.config import TtoConfig, check_tto
from lifting.tto.contract import Status, TtoResult
from lifting.tto.refine import refine

BEFORE = "before_tto"
"""Name under which the pose before the optimisation is scored beside the one after."""


class TestTimeOptimization(Callback):
    """Replaces what a method predicted by what its optimised latents decode to.

    Put it before every callback that looks at predictions. Metrics and methods do not know of it:
    a module scores in its own ``on_test_batch_end``, which comes after the callbacks'.

    In the prediction it writes ``joints_3d``; ``sigma`` where there is one; ``trajectory``
    unless the root was given by labels; the pose before as the extra ``before_tto``. Hypotheses
    are dropped, since they were not optimised.

    Args:
        config: What to optimise and how.
        flip: Optimise and average mirrored copies, unless the configuration says otherwise.

    Raises:
        ConfigError: A value of the configuration is out of its range.

    Source: "Uncertainty-aware testing-time optimization for 3D human pose estimation", 2024.
    """

    __test__ = False  # its name is no test of pytest's

    def __init__(self, config: TtoConfig, *, flip: bool = False) -> None:
        check_tto(config)
        self.config = config
        self.flip = flip
        self.last: TtoResult | None = None
        self._counts: Tensor | None = None

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Optimise a batch, and log what it did."""
        self._log(pl_module, self._optimise(trainer, pl_module, outputs, batch), "val/")

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Optimise a batch, and log what it did."""
        self._log(pl_module, self._optimise(trainer, pl_module, outputs, batch), "")

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last prediction's counts."""
        self._counts = None

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Optimise a batch."""
        counts = status_counts(self._optimise(trainer, pl_module, outputs, batch))
        self._counts = counts if self._counts is None else self._counts + counts

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how many samples were not optimised, or only under the guard."""
        if self._counts is None:
            return
        counts = self._counts.tolist()
        for status in (Status.BEHIND, Status.UNOBSERVED, Status.NOT_FINITE):
            if counts[status]:
                logging.getLogger(__name__).warning(
                    "test-time optimisation: %d of %d samples are %s",
                    counts[status], sum(counts), status.name.lower().replace("_", " "),
                )  # fmt: skip

    def _optimise(
        self, trainer: pl.Trainer, module: pl.LightningModule, prediction: Prediction,
        batch: PoseBatch,
    ) -> TtoResult:  # fmt: skip
        """Optimise a batch and write into its prediction."""

        def precision() -> AbstractContextManager[object]:
            plugin = getattr(trainer, "precision_plugin", None)
            return nullcontext() if plugin is None else plugin.forward_context()

        result = refine(
            module,
            batch,
            self.config,
            targets=prediction.joints_3d.shape[1],
            flip=self.flip,
            precision=precision,
        )
        write_into(prediction, result, oracle=self.config.root == "gt")
        self.last = result
        return result

    def _log(self, module: pl.LightningModule, result: TtoResult, prefix: str) -> None:
        means = {
            "objective_before": result.before,
            "objective_after": result.after,
            "residual_before_px": result.residual_before,
            "residual_after_px": result.residual_after,
            "iterations": result.iterations.to(result.before.dtype),
        }
        counts = status_counts(result)
        sums = {f"samples_{status.name.lower()}": counts[status] for status in Status}
        sums |= {"joints_behind": result.behind.sum(), "keypoints_masked": result.masked.sum()}
        size = len(result.status)
        for name, values in means.items():
            # Samples without a finite start are counted, and do not hide the others.
            known = torch.where(values.isfinite(), values, 0.0)
            self._log_one(module, f"{prefix}tto/{name}", known.mean(), "mean", size)
        for name, count in sums.items():
            self._log_one(module, f"{prefix}tto/{name}", count.float(), "sum", size)

    def _log_one(
        self, module: pl.LightningModule, key: str, value: Tensor, reduce: str, size: int
    ) -> None:
        module.log(
            key, value, on_step=False, on_epoch=True, reduce_fx=reduce, sync_dist=True,
            batch_size=size,
        )  # fmt: skip


def write_into(prediction: Prediction, result: TtoResult, *, oracle: bool) -> None:
    """Put the optimised fields in the place of the predicted ones.

    Samples that were not optimised keep the method's own answer to the bit, if it is finite.

    Args:
        prediction: A method's answer, changed in place.
        result: The optimisation of the same batch.
        oracle: The root's position was given by labels, so it is no answer of the method.
    """
    kept = (result.status >= Status.UNOBSERVED)[:, None, None, None]
    own = prediction.joints_3d
    dtype = own.dtype
    prediction.extras = {**prediction.extras, BEFORE: result.start.to(dtype)}
    refined = result.pose.to(dtype)
    prediction.joints_3d = torch.where(kept & own.isfinite(), own, refined)
    prediction.hypotheses = None
    if prediction.sigma is not None and result.sigma_factor is not None:
        prediction.sigma = prediction.sigma * result.sigma_factor.to(dtype)
    if result.root is not None and not oracle:
        prediction.trajectory = result.root[..., 0, :].to(dtype)


def status_counts(result: TtoResult) -> Tensor:
    """Samples by status, ``(statuses,)`` int, on the device of the result."""
    states = torch.arange(len(Status), device=result.status.device)
    return (result.status[:, None] == states).sum(0)
