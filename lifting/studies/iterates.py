"""The answer at every step of one optimisation, without running it again for each length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import nn

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.studies.measure import answered_frames
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Latents, Refinable, TtoResult
from lifting.tto.refine import FINALISE, refinable, refine


def iterates(module: LiftingModule, batch: PoseBatch, config: TtoConfig) -> Iterator[TtoResult]:
    """Optimise a batch once, and give what it would have left after 0, 1, 2, ... steps.

    Args:
        module: The method, in evaluation mode.
        batch: Windows.
        config: How to optimise: by Adam, with every step taken (no acceptance, no early stop).

    Yields:
        For each number of steps a result whose ``pose`` and ``residual_after`` are those of that
        iterate.
    """
    targets, flip = answered_frames(module), module.settings.flip_test
    recorder = _Recorder(module, config)
    refine(recorder, batch, replace(config, latent="own"), targets=targets, flip=flip)
    assert len(recorder.answers) == config.iterations + 1
    still = replace(config, latent="own", optimise="latent", iterations=0)
    first = recorder.answers[0]
    for answer in recorder.answers:
        known = first if config.sigma == "initial" else answer
        shown = answer._replace(log_sigma=known.log_sigma)
        yield refine(_Replay(recorder, shown), batch, still, targets=targets, flip=flip)


class _Recorder(nn.Module):
    """A method that keeps its answers, call after call."""

    def __init__(self, module: LiftingModule, config: TtoConfig) -> None:
        super().__init__()
        self.module = module
        self.skeleton = module.skeleton
        self.method: Refinable = refinable(module, config)
        self.lr_scale: Mapping[str, float] = self.method.lr_scale
        self.answers: list[Decoded] = []
        _pass_on(self.method, self)

    def encode(self, batch: PoseBatch) -> Latents:
        return self.method.encode(batch)

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        answer = self.method.decode(latents, batch)
        rest = (None if value is None else value.detach() for value in answer[1:])
        self.answers.append(Decoded(answer.pose.detach(), *rest))
        return answer


class _Replay(nn.Module):
    """A method that answers what another one did, whatever it is asked."""

    lr_scale: Mapping[str, float] = {}

    def __init__(self, original: _Recorder, answer: Decoded) -> None:
        super().__init__()
        self.skeleton = original.skeleton
        self.answer = answer
        _pass_on(original, self)

    def encode(self, batch: PoseBatch) -> Latents:
        return {"none": batch.keypoints_2d.new_zeros(len(batch), 1)}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        return self.answer


def _pass_on(method: object, wrapper: nn.Module) -> None:
    """Give a wrapper the optional part of a method's contract, where the method has it."""
    if hasattr(method, FINALISE):
        setattr(wrapper, FINALISE, getattr(method, FINALISE))
