"""The end of a training that has diverged, before its state is saved over a good one."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lifting.errors import DivergedError
from lifting.experiment.terminal import SPLIT
from lifting.metrics.report import KINDS

FACTOR = 1000.0
EARLY_STEPS = 10  # one of few losses may be near zero by chance
SKIPPED_STEPS = 50  # of a gradient scaler in a row; it needs some twenty to find its scale


class _Step(NamedTuple):
    """Where a step was, and what came of it, on its device."""

    epoch: int
    number: int
    loss: Tensor
    norm: Tensor


class DivergenceGuard(Callback):
    """Ends a training by its losses, the norms of its gradients, and that of its weights.

    A loss or gradient that is not finite, or a loss over 1,000 times the median size of those of
    the first epoch (within it: of those so far), is read at the logging interval and before a
    state is saved; until then it stays on the device, so that no step waits for it. What the last
    step before a save did is seen in the weights, whose norm does not grow 1,000-fold either.

    Steps that a gradient scaler skips, since their gradient is not finite, do not count, but for
    many in a row.

    Args:
        stage: Name of the stage.
        good: Files that hold a good state, if they are there, the best first.
    """

    def __init__(self, stage: str, good: Sequence[Path]) -> None:
        self.stage, self.good = stage, tuple(good)
        self.usual: float | None = None  # median of the first epoch
        self.weights: float | None = None  # their norm at the start
        self._first: list[float] = []
        self._skipped = 0
        self._steps: list[_Step] = []
        self._norm: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with."""
        return {"usual": self.usual, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a training was interrupted."""
        self.usual, self.weights = state_dict["usual"], state_dict["weights"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the weights."""
        if self.weights is None:
            self.weights = _size(pl_module)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Keep the norm of the gradient, before it is clipped."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self._norm = get_total_norm(gradients) if gradients else None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Keep the loss; look at some of them together."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            norm = torch.zeros_like(loss) if self._norm is None else self._norm
            step = _Step(trainer.current_epoch, trainer.global_step, loss.detach(), norm)
            self._steps.append(step)
        self._norm = None
        if len(self._steps) >= int(trainer.log_every_n_steps):  # type: ignore[attr-defined]
            self._look(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the steps since, and at the weights: the best state may be saved next."""
        self._look_at_all(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same without a validation: the last state is saved next."""
        self._look_at_all(trainer, pl_module)
        if self.usual is None and self._first:
            self.usual, self._first = _middle(self._first), []

    def _look_at_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer)
        size = _size(pl_module)
        if not size <= FACTOR * (self.weights or math.inf):
            found = f"weights of norm {size:.3g}, {self.weights:.3g} at the start"
            raise self._error(found, trainer.current_epoch, trainer.global_step)

    def _look(self, trainer: pl.Trainer) -> None:
        """Read what was kept; all processes read the same, and end together."""
        steps, self._steps = self._steps, []
        if not steps:
            return
        values = torch.stack([torch.stack((s.loss.float(), s.norm.float())) for s in steps])
        values = torch.where(values.isfinite(), values, torch.inf)
        if trainer.world_size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        for step, (loss, norm) in zip(steps, values.tolist(), strict=True):
            if scaled and not math.isfinite(loss + norm):
                self._skipped += 1
                if self._skipped < SKIPPED_STEPS:
                    continue
            self._skipped = 0
            found = self._judge(loss, norm)
            if found:
                raise self._error(found, step.epoch, step.number)
            if self.usual is None:
                insort(self._first, abs(loss))

    def _judge(self, loss: float, norm: float) -> str:
        """What is wrong with a step; empty where nothing is."""
        if not math.isfinite(loss):
            return "a loss that is not finite"
        if not math.isfinite(norm):
            return f"a gradient that is not finite, at a loss of {loss:.3g}"
        if self.usual is not None:
            usual, least = self.usual, 0.0
        elif self._first:
            usual, least = _middle(self._first), FACTOR * (len(self._first) < EARLY_STEPS)
        else:
            return ""
        if usual and loss > max(FACTOR * usual, least):
            return f"a loss of {loss:.3g}, over {FACTOR:,.0f} times the usual {usual:.3g}"
        return ""

    def _error(self, found: str, epoch: int, step: int) -> DivergedError:
        good = next((path for path in self.good if path.is_file()), None)
        kept = (
            "no state was good enough to be kept"
            if good is None
            else f"the last good state is {good}: `lifting test` and `predict` take it by "
            "--checkpoint, a new training by --init-from"
        )
        return DivergedError(
            f"expected a training that converges, got {found}, in stage '{self.stage}', epoch "
            f"{epoch + 1}, step {step}; train with a lower optimizer.lr, or with "
            f"trainer.gradient_clip; {kept}"
        )


def check_scores(scores: Mapping[str, float], headline: str) -> None:
    """Check that a test has a result; other scores may be undefined.

    Args:
        scores: By logged key.
        headline: Score that the protocol is about.

    Raises:
        DivergedError: A score of the main answer's position, or the headline, is not finite.
    """
    for name in (headline, *KINDS):
        value = scores.get(f"{SPLIT}/{name}", 0.0)
        if not math.isfinite(value):
            raise DivergedError(
                f"expected finite scores, got {name} {value:g}; no result is written: take an "
                "earlier checkpoint, train with a lower optimizer.lr, or see by `lifting data "
                "check` whether any label counts"
            )


def _middle(ascending: Sequence[float]) -> float:
    return ascending[len(ascending) // 2]


def _size(module: torch.nn.Module) -> float:
    return float(get_total_norm([p.detach() for p in module.parameters()]))
