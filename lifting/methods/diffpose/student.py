"""A student of the denoiser, which answers in one call where the denoiser's path ends.

Consistency distillation: all states on a deterministic path of the trained denoiser end in one
clean pose. At each state the student learns to answer what its own average answers further down
the path, where a step of the denoiser leads; at the clean end that is the state itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lifting.errors import CheckpointError, ConfigError
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import Ends, add_noise, ends_of, signal_at

AVERAGE_DECAY = 0.95

Answer = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What a network answers, less the centre, to states less the centre at steps ``(batch,)``."""


class Student(nn.Module):
    """A copy of a denoiser, and the moving average that it is trained after.

    Args:
        denoiser: The teacher, trained or not.
        config: The switches.

    Source: Song et al. 2023 (Consistency Models), algorithm 2; Luo et al. 2023 (Latent Consistency
        Models) for steps of the teacher over several levels.
    """

    distilled: Tensor

    def __init__(self, denoiser: nn.Module, config: Config) -> None:
        super().__init__()
        self.config = config
        self.network = copy.deepcopy(denoiser)
        self.average = copy.deepcopy(denoiser).requires_grad_(False)
        self.register_buffer("distilled", torch.tensor(False))

    def check_answering(self) -> None:
        """Check, before any training, that validation will hear the student.

        Raises:
            ConfigError: The configuration never calls it.
        """
        if self.config.student_steps == 0:
            raise ConfigError(
                "expected method.student_steps of at least 1 in training, got 0, with which the "
                "student would never be validated; set it to 0 when testing"
            )

    def check_distilled(self) -> None:
        """Check that the weights are those of a trained student.

        It waits for the device.

        Raises:
            CheckpointError: They are of an earlier stage.
        """
        if not self.distilled:
            raise CheckpointError(
                "expected weights after the stage 'distil', got those of an earlier one, whose "
                "student is not trained; take checkpoints/best.ckpt of the run, or "
                "method.student_steps=0 for the denoiser's answer"
            )

    def begin(self, denoiser: nn.Module) -> None:
        """Start from a trained denoiser."""
        for network in (self.network, self.average):
            network.load_state_dict(denoiser.state_dict())
        self.distilled.fill_(True)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the student, after a step of its training."""
        ours: list[Tensor] = list(self.average.parameters())
        theirs: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - AVERAGE_DECAY)

    def loss(
        self, teacher: nn.Module, answer: Answer, x: Tensor, t: Tensor, signal: Tensor
    ) -> Tensor:
        """Squared distance of the student's answers from its average's, ``(batch, joints)``.

        Args:
            teacher: The trained denoiser.
            answer: Calls a network.
            x: States less the centre, ``(batch, joints, channels)``.
            t: Their steps, ``(batch,)``.
            signal: Signal shares of all steps.
        """

        def ends(network: nn.Module, x: Tensor, t: Tensor) -> Ends:
            shares = signal_at(signal, t - 1), signal_at(signal, t)
            return ends_of(x, answer(network, x, t), shares, self.config.prediction)

        with torch.no_grad():
            before = (t - self.config.student_stride).clamp(min=-1)
            below = add_noise(*ends(teacher, x, t), signal_at(signal, before))
            further = ends(self.average, below, before.clamp(min=0)).clean
            wanted = torch.where((before < 0)[:, None, None], below, further)
        return (ends(self.network, x, t).clean - wanted).square().sum(dim=-1)
