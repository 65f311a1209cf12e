"""The denoiser of a configuration: how it is built, what it is given, what its answer says."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.forward import Forward
from lifting.methods.diffpose.network import Denoiser, Encoded, Folded
from lifting.methods.diffpose.size import Hearing, NetworkSize
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
    hearing = Hearing(config.conditioning, told) if config.conditioning != "none" else None
    size = NetworkSize.of_denoiser(config)
    denoiser = Denoiser(STATE_CHANNELS, process.channels, skeleton, size, hearing)
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
    """What the configuration predicts, less the centre; arguments as :func:`denoise`."""
    answer = denoise(network, state, t, given)
    # The next state is told as a change: fifty whole answers in a row would drift away.
    return answer + (state - given.centre) if config.prediction == "next" else answer
