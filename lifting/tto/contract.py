"""What test-time optimisation asks of a method, and what it gives back.

A method offers its own latents by having ``encode``, ``decode`` and ``lr_scale`` on its module; no
base class is needed. One that has none of them gets its 2D input as the latent (see
:mod:`lifting.tto.adapter`). Poses cross this border in mm and keypoints in pixels; a latent has
whatever unit suits the method, and ``lr_scale`` brings the learning rate to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.geometry.solver import Lengths
from lifting.tto.config import TtoConfig
from lifting.typing import ImageSize, Intrinsics, PerJoint, PerSample, Pose2D, Pose3D

Latents = dict[str, Tensor]
"""State that is optimised, by name; every tensor has the samples first."""


class Decoded(NamedTuple):
    """A method's answer to its latents.

    Attributes:
        pose: ``(samples, frames, joints, 3)``, camera axes, root-relative, mm. The root's entry
            may be the network's own, near zero; it counts in the anchor and nowhere else.
        log_sigma: ``(samples, frames, joints)``, natural log of the expected error in mm; None
            where the method knows none.
        root: ``(samples, frames, 1, 3)``, absolute position of the root, mm; None where the method
            predicts none.
        prior: ``(samples,)``, penalty of the latents themselves, for example half their square;
            None for no penalty.
    """

    pose: Pose3D
    log_sigma: PerJoint | None = None
    root: Tensor | None = None
    prior: PerSample | None = None


class Observations(NamedTuple):
    """What was seen of the frames that are answered.

    Attributes:
        uv: ``(samples, frames, joints, 2)``, pixels, finite.
        confidence: ``(samples, frames, joints)``, 0 to 1.
        intrinsics: ``(samples, 9)``, pixels.
        size: ``(samples, 2)``, width and height, pixels.
        root_gt: ``(samples, frames, 1, 3)``, true absolute position of the root, mm; None without
            labels. An oracle: only the root rule ``gt`` reads it.
        valid: ``(samples, frames, joints)`` bool, keypoints that may be compared with.
    """

    uv: Pose2D
    confidence: PerJoint
    intrinsics: Intrinsics
    size: ImageSize
    root_gt: Tensor | None
    valid: PerJoint

    def rows(self, index: Tensor) -> Observations:
        """What was seen of some samples, by their indices, ``(chosen,)``."""
        return Observations(*(None if value is None else value[index] for value in self))  # type: ignore[arg-type]


@runtime_checkable
class Refinable(Protocol):
    """A method with latents of its own.

    Its copies, plain and mirrored, are averaged, unless it is :class:`Finalising` too.
    """

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent, by name; 1 for a missing name."""
        ...

    def encode(self, batch: PoseBatch) -> Latents:
        """Where the optimisation starts. Called without gradients, on finite keypoints.

        Args:
            batch: Windows; their second half may be the mirrored copies of the first.

        Returns:
            Floating-point tensors whose first axis is that of the batch.
        """
        ...

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Answer to the latents.

        It must be differentiable in them, deterministic, and treat every sample on its own: no
        statistics over the batch. It changes nothing in place.

        Args:
            latents: Of the form that ``encode`` gave.
            batch: The batch that was encoded, for what is no latent; or some of its samples, and
                then the latents are those of the same samples.
        """
        ...


@runtime_checkable
class Finalising(Protocol):
    """A method that makes one answer of those of its optimised copies in its own way."""

    def finalise(self, poses: Tensor) -> Pose3D:
        """One answer a sample.

        Args:
            poses: ``(copies, samples, frames, joints, 3)``, mm; those of mirrored copies have been
                mirrored back.

        Returns:
            ``(samples, frames, joints, 3)``, mm.
        """
        ...


class Evaluation(NamedTuple):
    """An energy at some latents.

    Attributes:
        energy: ``(samples,)``, what is minimised, every sample on its own.
        pose: ``(samples, frames, joints, 3)``, as decoded, mm.
        log_sigma: ``(samples, frames, joints)``, natural log of mm.
        root: ``(samples, frames, 1, 3)``, where the pose was projected from, mm; zeros where it
            has no place.
        residual: ``(samples,)``, mean distance from the keypoints that count, pixels.
        behind: ``(samples,)`` int, joints that the guard in front of the camera held.
    """

    energy: PerSample
    pose: Pose3D
    log_sigma: PerJoint
    root: Tensor
    residual: PerSample
    behind: PerSample


Energy = Callable[[Latents], Evaluation]
"""What is minimised: differentiable in the latents, and of every sample on its own."""


@runtime_checkable
class Packable(Protocol):
    """An energy that can do without the samples that have stopped."""

    def rows(self, index: Tensor) -> Energy:
        """The energy of some samples, once that of all has been asked for.

        Args:
            index: Their indices, ``(chosen,)``, in ascending order.
        """
        ...


@runtime_checkable
class SumOfLengths(Protocol):
    """An energy that is a weighted sum of lengths of residuals, as Gauss-Newton needs it."""

    def residuals(self, latents: Latents) -> Tensor:
        """Residuals, ``(samples, residuals)``, differentiable forward."""
        ...

    def lengths(self) -> Lengths:
        """Which of the residuals make up a length, and its weight."""
        ...


class Status(IntEnum):
    """How the optimisation of a sample ended; a later one hides an earlier one."""

    MOVED = 0
    """All iterations were done, and the pose changed."""
    CONVERGED = 1
    """Steps ended early, because nothing was gained any more or the trust radius was reached."""
    KEPT = 2
    """No iterate was better than the start, which is returned."""
    BEHIND = 3
    """A joint came nearer to the camera plane than the guard, and was held there."""
    UNOBSERVED = 4
    """Too few keypoints to compare with: the pose is returned as the method gave it."""
    NOT_FINITE = 5
    """The start or its gradient is not finite: the pose is returned as the method gave it."""

    @classmethod
    def of_copies(cls, status: Tensor) -> PerSample:
        """How a sample ended whose copies ended so: the worst there is.

        A copy that kept its start counts only where every one did, and else as converged.

        Args:
            status: ``(copies, samples)`` int.
        """
        worst = status.amax(0)
        mixed = (worst == cls.KEPT) & (status != cls.KEPT).any(0)
        moved = (status == cls.MOVED).any(0) & (worst <= cls.KEPT)
        worst = torch.where(mixed, torch.full_like(worst, cls.CONVERGED), worst)
        return torch.where(moved, torch.full_like(worst, cls.MOVED), worst)


class TtoResult(NamedTuple):
    """What test-time optimisation leaves of a batch.

    Attributes:
        pose: ``(samples, frames, joints, 3)``, root-relative, mm.
        log_sigma: ``(samples, frames, joints)``, calibrated, natural log of mm; None where the
            method has none.
        sigma_factor: ``(samples, frames, joints)``, that expected error over the method's own
            before; None where the method has none.
        root: ``(samples, frames, 1, 3)``, position of the root the pose was compared at, mm; None
            under the scaled orthography.
        start: ``(samples, frames, joints, 3)``, the pose before, root-relative, mm.
        status: ``(samples,)`` int, values of :class:`Status`.
        iterations: ``(samples,)`` int, steps that were made.
        before: ``(samples,)``, objective at the start.
        after: ``(samples,)``, objective of what is returned.
        residual_before: ``(samples,)``, mean distance from the keypoints at the start, pixels.
        residual_after: ``(samples,)``, the same of what is returned.
        behind: ``(samples,)`` int, joints that the guard in front of the camera held.
        masked: ``(samples,)`` int, keypoints that could not be compared with.
        history: ``(evaluations, samples)``, objective at every iterate that was tried, that of a
            sample which stopped unchanged from then on; None unless asked for.
        latents: Of what is returned, by name; None where copies were averaged.
    """

    pose: Pose3D
    log_sigma: PerJoint | None
    sigma_factor: PerJoint | None
    root: Tensor | None
    start: Pose3D
    status: PerSample
    iterations: PerSample
    before: PerSample
    after: PerSample
    residual_before: PerSample
    residual_after: PerSample
    behind: PerSample
    masked: PerSample
    history: Tensor | None = None
    latents: Latents | None = None

    @classmethod
    def joined(cls, parts: Sequence[TtoResult]) -> TtoResult:
        """One result of several, one after the other.

        Args:
            parts: Of the same configuration, at least one.
        """

        def join(name: str) -> Tensor | None:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else torch.cat(values, dim=int(name == "history"))

        names = (name for name in cls._fields if name != "latents")
        return cls(**{name: join(name) for name in names})  # type: ignore[arg-type]


@runtime_checkable
class Fitting(Protocol):
    """A method that optimises a batch by itself, from several starts or in stages."""

    def fit(self, batch: PoseBatch, config: TtoConfig) -> TtoResult:
        """Optimise every sample of a batch on its own; the method is as before afterwards.

        Args:
            batch: Windows; labels must not be read.
            config: Says what of it the method reads.
        """
        ...
