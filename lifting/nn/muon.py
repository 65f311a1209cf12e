"""Muon for matrices, AdamW for all else, as one optimiser.

Jordan et al.: "Muon: An optimizer for hidden layers in neural networks", 2024; the steps' size is
matched to AdamW's after Liu et al.: "Muon is scalable for LLM training", arXiv 2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

SMALLEST_SIDE = 16
"""A matrix with fewer rows or columns, as of an input or an answer, is AdamW's."""


class MuonAdamW(Optimizer):
    """Steps of Muon for weights of two axes and at least 16 rows and columns, else of AdamW.

    Both are torch's own and share one table of state, so that schedules, checkpoints and averaged
    weights see one optimiser.

    Args:
        parameters: To train.
        lr: Learning rate of AdamW.
        matrix_lr: Learning rate of Muon, in AdamW's measure: the root mean square of its step.
        betas: AdamW's moment decay rates.
        weight_decay: Decoupled, of both.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        matrix_lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        given = list(parameters)
        matrices = [p for p in given if p.ndim == 2 and min(p.shape) >= SMALLEST_SIDE]
        chosen = {id(p) for p in matrices}
        others = [p for p in given if id(p) not in chosen]
        self._parts: list[Optimizer] = []
        if others:
            self._parts.append(AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay))
        if matrices:
            self._parts.append(
                Muon(
                    matrices,
                    lr=matrix_lr,
                    weight_decay=weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of each.

        Args:
            closure: Evaluates the model again and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint holds."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let the parts see this optimiser's groups and state."""
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end
