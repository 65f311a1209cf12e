"""The denoiser of a configuration: how it is built, asked, trained and distilled.

The student answers in one call where the denoiser's path ends. Consistency distillation: all
states on a deterministic path of the trained denoiser end in one clean pose. At each state the
student learns to answer what its own average answers further down the path, where a step of the
denoiser leads; at the clean end that is the state itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.errors import CheckpointError, ConfigError
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import Ends, Prediction, add_noise, ends_of, signal_at
from lifting.methods.diffpose.forward import Forward, NoiseEnd
from lifting.methods.diffpose.network import Conditioning, Denoiser, Encoded, Folded, NetworkSize
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D

STATE_CHANNELS = 5


class Given(NamedTuple):
    """What a denoiser has beside a noisy state.

    Attributes:
        uv: Detections, ``(batch, joints, 2)``.
        told: Of the context, ``(batch, joints, channels)``, or of fewer poses that the batch
            repeats; None for nothing.
        centre: What its answer is relative to, ``(batch, joints, channels)``.
        folded: What computes its layers in their place; None for themselves.
    """

    uv: Pose2D
    told: Tensor | None
    centre: Tensor
    folded: Folded | None = None


def build_denoiser(config: Config, process: Forward, skeleton: Skeleton) -> Denoiser:
    """A fresh denoiser.

    Args:
        config: The switches.
        process: The forward process that it reverses.
        skeleton: Joints.
    """
    feature = config.context_width if config.context == "mixste" else config.hidden
    told = 3 if config.conditioning_on == "pose" else feature
    conditioning = (
        Conditioning(config.conditioning, told) if config.conditioning != "none" else None
    )
    size = NetworkSize.of_denoiser(config)
    denoiser = Denoiser(STATE_CHANNELS, process.channels, skeleton, size, conditioning)
    if config.shared_init:
        denoiser.share_initial_weights()
    at_context = config.centre == "context" or process.is_mixture
    if config.prediction == "next" or (config.prediction == "x0" and at_context):
        # Starts as a refiner that corrects nothing: its answer is the centre, or the state.
        nn.init.zeros_(denoiser.output.weight)
    return denoiser


def told_of(context: Encoded | None, config: Config) -> Tensor | None:
    """What a denoiser is told of the context, ``(batch, joints, channels)``."""
    if context is None or config.conditioning == "none":
        return None
    return context.pose if config.conditioning_on == "pose" else context.feature


def denoise(network: nn.Module, state: Tensor, t: Tensor, given: Given) -> Tensor:
    """A denoiser's answer, ``(batch, joints, channels)``.

    Args:
        network: The denoiser.
        state: Absolute states, ``(batch, joints, channels)``.
        t: Their steps, ``(batch,)``, or ``(1,)`` for one step.
        given: What it has beside them.
    """
    if state.shape[-1] != STATE_CHANNELS:
        state = torch.cat((given.uv, state), dim=-1)
    answer: Tensor = network(state, t, context=given.told, folded=given.folded)
    return answer


def predict(network: nn.Module, state: Tensor, t: Tensor, given: Given, config: Config) -> Tensor:
    """What the configuration predicts, less the centre, ``(batch, joints, channels)``.

    Arguments as :func:`denoise`.
    """
    answer = denoise(network, state, t, given)
    # The next state is told as a change: fifty whole answers in a row would drift away.
    return answer + (state - given.centre) if config.prediction == "next" else answer


class TrainingPoses(NamedTuple):
    """A batch made ready.

    Attributes:
        clean: Labels in the channels of the diffused variable, ``(batch, joints, channels)``.
        end: Where noise leads.
        given: What the denoiser has beside a state.
        context: The context encoder's answer; None where nothing needs it.
    """

    clean: Tensor
    end: NoiseEnd
    given: Given
    context: Encoded | None


class Noised(NamedTuple):
    """Noisy states of training poses.

    Attributes:
        state: ``(batch, joints, channels)``.
        noise: What was added, scaled, same shape.
        t: Steps, ``(batch,)``.
    """

    state: Tensor
    noise: Tensor
    t: Tensor


def denoising_target(
    poses: TrainingPoses, noised: Noised, prediction: Prediction, signal: Tensor
) -> Tensor:
    """What the denoiser is to answer, less the centre, ``(batch, joints, channels)``.

    Args:
        poses: The batch.
        noised: Its states.
        prediction: What is predicted.
        signal: Signal shares of all steps.
    """
    if prediction == "eps":
        return noised.noise
    if prediction == "x0":
        return poses.clean - poses.end.centre
    # The same noise as in the state itself, so that the chain is one path.
    share = signal_at(signal, noised.t - 1)
    return poses.end.noisy(poses.clean, noised.noise, share) - poses.end.centre


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
