"""What the denoiser's training sees of a batch, and what it asks for."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lifting.methods.diffpose.denoiser import Given
from lifting.methods.diffpose.diffusion import Prediction, signal_at
from lifting.methods.diffpose.endpoint import Place
from lifting.methods.diffpose.network import Encoded


class Example(NamedTuple):
    """A batch made ready.

    Attributes:
        clean: Labels in the channels of the diffused variable, ``(batch, joints, channels)``.
        place: Where noise leads.
        given: What the denoiser has beside a state.
        context: The context encoder's answer; None where nothing needs it.
    """

    clean: Tensor
    place: Place
    given: Given
    context: Encoded | None


class Noised(NamedTuple):
    """Noisy states of an example.

    Attributes:
        state: ``(batch, joints, channels)``.
        noise: What was added, scaled, same shape.
        t: Steps, ``(batch,)``.
    """

    state: Tensor
    noise: Tensor
    t: Tensor


def wanted(example: Example, noised: Noised, prediction: Prediction, signal: Tensor) -> Tensor:
    """What the denoiser is to answer, less the centre, ``(batch, joints, channels)``.

    Args:
        example: The batch.
        noised: Its states.
        prediction: What is predicted.
        signal: Signal shares of all steps.
    """
    if prediction == "eps":
        return noised.noise
    if prediction == "x0":
        return example.clean - example.place.centre
    # The same noise as in the state itself, so that the chain is one path.
    share = signal_at(signal, noised.t - 1)
    return example.place.noisy(example.clean, noised.noise, share) - example.place.centre
